"""Probes by programs and files of the operator's, good ones and bad ones."""

import asyncio
import os
import time
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from control.checks import ExecCheck, FileCheck
from control.health.kinds import probe
from control.health.result import PASSED, NoResultError, Result
from tests.support.wait import eventually

BACKEND = IPv6Address("2001:db8::7")
LATE = Result("it runs for more than 1.5 s")


def run(check: ExecCheck | FileCheck) -> Result:
    return asyncio.run(probe(BACKEND, 80, check))


def shell(script: str, **settings: object) -> ExecCheck:
    return ExecCheck(command=("/bin/sh", "-c", script), **({"timeout": 10.0} | settings))


@pytest.mark.parametrize(
    ("code", "result", "dynamic"),
    [
        (0, PASSED, PASSED),
        (1, Result("exit code 1"), Result("exit code 1")),
        (2, Result("exit code 2"), Result(weight=0)),
        (12, Result("exit code 12"), Result(weight=10)),
        (255, Result("exit code 255"), Result(weight=253)),
    ],
)
def test_exit_codes_mean_what_they_mean_to_misc_check(code, result, dynamic) -> None:
    assert run(shell(f"exit {code}")) == result
    assert run(shell(f"exit {code}", dynamic=True)) == dynamic


def test_the_first_line_that_it_prints_is_the_reason() -> None:
    assert run(shell("echo the disk is full >&2; echo more; exit 1")) == Result(
        "exit code 1: the disk is full"
    )
    assert run(shell("echo well")) == PASSED
    assert run(shell("kill -9 $$")) == Result("ended by SIGKILL")
    assert run(shell("kill -40 $$")) == Result("ended by signal 40")
    binary = run(shell(r"printf '\033[2J\377\n'; exit 1")).problem
    assert (binary.startswith("exit code 1: "), binary.isprintable()) == (True, True)


def test_arguments_are_passed_as_they_are_without_a_shell() -> None:
    script = 'test "$1$2$3" = "\\$HOMEa b[2001:db8::7]:80"'
    words = ("/bin/sh", "-c", script, "sh", "$HOME", "a b", "[{address}]:{port}")

    assert run(ExecCheck(command=words, timeout=10)) == PASSED


def test_it_has_nothing_of_ours_but_what_it_needs(monkeypatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    opened = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(opened, True)  # noqa: FBT003
    script = f'test -z "$SECRET" -a -n "$PATH" -a ! -e /proc/$$/fd/{opened} && ! read line'

    assert run(shell(script)) == PASSED
    os.close(opened)


@pytest.mark.parametrize("command", ["/nowhere/program", "/etc/passwd", "/"])
def test_a_program_that_cannot_be_run_says_nothing_of_the_backend(command) -> None:
    with pytest.raises(NoResultError, match=command):
        run(ExecCheck(command=(command,)))


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("sleep 60", id="hangs"),
        pytest.param("trap '' TERM; while :; do sleep 1; done", id="ignores SIGTERM"),
        pytest.param("kill -STOP $$", id="stops itself"),
        pytest.param("sleep 60 & wait", id="waits for its child"),
    ],
)
def test_who_does_not_end_in_time_is_ended(script, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    started = time.monotonic()

    assert run(shell(f"echo $$ > {pid}; {script}", timeout=1.5)) == LATE

    assert time.monotonic() - started < 5
    assert nobody_is_left(int(pid.read_text()))


def test_who_is_to_end_has_a_moment_to_tidy_up(tmp_path: Path) -> None:
    trap = f"trap 'touch {tmp_path}/tidy; exit' TERM; sleep 60 & wait"

    assert run(shell(trap, timeout=1.5)) == LATE

    assert (tmp_path / "tidy").exists()


def test_children_that_outlive_it_are_ended_and_not_waited_for(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    started = time.monotonic()

    assert run(shell(f"echo $$ > {pid}; sleep 60 & sleep 60 & exit 0")) == PASSED

    assert time.monotonic() - started < 5
    assert nobody_is_left(int(pid.read_text()))


def test_a_gigabyte_of_output_is_neither_kept_nor_waited_for() -> None:
    result = run(shell("exec cat /dev/zero", timeout=0.5))

    assert result == Result("it prints 65536 bytes or more")


def test_a_probe_that_is_not_wanted_any_more_leaves_nothing(tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    async def scenario() -> None:
        check = shell(f"echo $$ > {pid}.new; mv {pid}.new {pid}; sleep 60")
        probing = asyncio.create_task(probe(BACKEND, 80, check))
        while not pid.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        probing.cancel()
        await asyncio.wait([probing])

    asyncio.run(scenario())

    assert nobody_is_left(int(pid.read_text()))


def test_no_descriptor_is_left_behind() -> None:
    before = os.listdir("/proc/self/fd")  # noqa: PTH208

    run(shell("exit 1"))
    run(shell("sleep 60", timeout=0.05))

    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


def nobody_is_left(group: int) -> bool:
    """Wait until a process group is gone; orphans are reaped by somebody else."""

    def gone() -> bool:
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, _, of_group = status.read_text().rpartition(")")[2].split()[:3]
            except OSError:
                continue
            if int(of_group) == group and state != "Z":
                return False
        return True

    eventually(gone, within=5, what="the process group is gone")
    return True


@pytest.mark.parametrize(
    ("said", "result"),
    [
        ("up\n", PASSED),
        ("  up", PASSED),
        ("0", Result(weight=0)),
        ("65535\n", Result(weight=65535)),
        ("down", Result("FILE says down")),
        ("65536", Result("FILE says '65536', and not up, down or 0…65535")),
        ("-1", Result("FILE says '-1', and not up, down or 0…65535")),
        ("\xb2", Result("FILE says '²', and not up, down or 0…65535")),
        ("", Result("FILE says '', and not up, down or 0…65535")),
        ("x" * 10**6, Result(f"FILE says '{'x' * 20}', and not up, down or 0…65535")),
    ],
    ids=lambda value: value[:9] if isinstance(value, str) else "",
)
def test_a_file_says_up_down_or_a_weight(tmp_path: Path, said, result) -> None:
    (tmp_path / "2001:db8::7-80").write_text(said)
    check = FileCheck(path=f"{tmp_path}/{{address}}-{{port}}")

    found = run(check)

    path = f"{tmp_path}/2001:db8::7-80"
    assert Result(found.problem.replace(path, "FILE"), found.weight) == result


def test_what_is_no_file_fails_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "binary").write_bytes(b"\xff\0\x1b")

    problems = {
        name: run(FileCheck(path=f"{tmp_path}/{name}")).problem.partition(": ")[2]
        for name in ("fifo", "missing", ".")
    }

    assert problems == {
        "fifo": "is not a regular file",
        "missing": "No such file or directory",
        ".": "is not a regular file",
    }
    assert run(FileCheck(path=f"{tmp_path}/binary")).problem.isprintable()
