"""Each kind of check, on what this machine has."""

import asyncio
import socket
import subprocess
import time
from pathlib import Path
from threading import Event

import pytest

from tests.support.processes import gone
from tests.support.wait import eventually
from vrrp.checks import (
    Check,
    Checker,
    DataPlaneProbe,
    FileProbe,
    InterfaceProbe,
    Probe,
    ProcessProbe,
    ScriptProbe,
)
from vrrp.tracking import Finding

WELL = Finding()
FOREVER = ("/bin/sh", "-c", "sleep 60 & echo $! >$0; wait")


def look(probe: Probe) -> Finding:
    return probe.look(Event())


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (("/bin/true",), ""),
        (("/bin/sh", "-c", "exit 3"), "/bin/sh ended with 3"),
        (("/bin/sh", "-c", "kill -9 $$"), "/bin/sh was ended by SIGKILL"),
        (
            ("/no/such/thing",),
            "/no/such/thing does not start: "
            + str(FileNotFoundError(2, "No such file or directory", "/no/such/thing")),
        ),
    ],
)
def test_a_script_is_judged_by_its_exit_code(
    command: tuple[str, ...], problem: str
) -> None:
    assert look(ScriptProbe(command, timeout=10)) == Finding(problem)


def test_a_script_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    child = tmp_path / "pid"

    found = look(ScriptProbe((*FOREVER, str(child)), timeout=1.5))

    assert found == Finding("/bin/sh took longer than 1.5 s")
    pid = int(child.read_text())
    eventually(lambda: gone(pid), within=5, what="the child is gone")


def test_a_user_that_does_not_exist_fails_the_script() -> None:
    found = look(ScriptProbe(("/bin/true",), timeout=1, user="nobody-of-that-name"))

    assert found.problem.startswith("/bin/true does not start: ")


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (None, Finding(points=0)),
        ("", Finding(points=0)),
        ("0\n", Finding(points=0)),
        ("-12\n", Finding("FILE says -12", -12)),
        ("many\n", Finding("FILE does not hold a number")),
    ],
)
def test_a_file_says_a_number(tmp_path: Path, text: str | None, finding: Finding) -> None:
    path = tmp_path / "number"
    if text is not None:
        path.write_text(text)

    found = look(FileProbe(path))

    named = finding.problem.replace("FILE", str(path))
    assert found == Finding(named, finding.points)


def test_processes_are_counted_by_name() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        eventually(
            lambda: Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n",
            within=5,
            what="it has its name",
        )
        assert look(ProcessProbe("sleep")) == WELL
        assert (
            "processes are called sleep, not 9999"
            in look(ProcessProbe("sleep", 9999)).problem
        )
        process.kill()
    missing = look(ProcessProbe("of-this-name-no-"))
    assert missing == Finding("0 processes are called of-this-name-no-, not 1")


def test_an_interface_that_is_not_there_is_a_failure() -> None:
    assert look(InterfaceProbe("none0")) == Finding("interface none0: No such device")


def test_the_data_plane_is_what_guidewayd_says_and_the_kernel_confirms(
    tmp_path: Path,
) -> None:
    status, links = tmp_path / "guidewayd.json", tmp_path / "links"
    probe = DataPlaneProbe(status)

    assert look(probe) == Finding(f"guidewayd has not served: there is no {status}")
    status.write_text("{")
    assert look(probe).problem.startswith(f"{status} is not guidewayd's: ")
    said = '{"interfaces": [%s], "links": "%s", "services": 2, "serving": %d}'
    status.write_text(said % ("", links, 0))
    assert look(probe) == Finding("no service has a backend")
    assert look(DataPlaneProbe(status, backends=False)) == WELL
    status.write_text(said % ("", links, 1))
    assert look(probe) == WELL
    status.write_text((said % ("", links, 1)).replace("{", '{"synced": false, '))
    assert look(probe) == Finding("guidewayd has not heard of its peers' flows yet")
    status.write_text(said % ('"lo"', links, 1))
    assert look(probe) == Finding("the data plane is not attached to lo")
    links.mkdir()
    (links / f"ifindex-{socket.if_nametoindex('lo')}").touch()  # a link that has died
    assert look(probe) == Finding("the data plane is not attached to lo")


def test_a_checker_tells_changes_and_ends_what_is_under_way(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    command = ("/bin/sh", "-c", 'test -e "$0" || { touch "$0"; exit 1; }; sleep 60')
    check = Check("slow", ScriptProbe((*command, str(marker)), timeout=60), interval=0.01)

    async def watch() -> tuple[list[tuple[str, Finding]], float]:
        heard: asyncio.Queue[tuple[str, Finding]] = asyncio.Queue()
        checker = Checker(check, lambda *told: heard.put_nowait(told))
        checker.start()
        first = await asyncio.wait_for(heard.get(), 5)
        asked = time.monotonic()
        await asyncio.to_thread(checker.stop)
        return [first], time.monotonic() - asked

    told, took = asyncio.run(watch())

    assert told == [("slow", Finding("/bin/sh ended with 1"))]
    assert took < 5
