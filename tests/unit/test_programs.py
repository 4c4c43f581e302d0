"""Programs of the operator's: bounded in time and output, ended with their children."""

import time
from pathlib import Path
from threading import Event, Timer

import pytest

from programs import MAX_OUTPUT, Manner, run
from tests.support.processes import gone
from tests.support.users import AS_ROOT
from tests.support.wait import eventually


def shell(script: str, timeout: float = 20.0, **manner) -> tuple[str, bytes]:
    """Run a script; return what went wrong, and what it said."""
    said: list[bytes] = []
    command = ("/bin/sh", "-c", script)
    problem = run(command, timeout, None, Event(), Manner(said=said.append, **manner))
    return problem, b"".join(said)


def test_what_it_says_is_kept_and_so_is_how_it_ended() -> None:
    assert shell("echo out; echo error >&2; exit 3") == (
        "/bin/sh ended with 3",
        b"out\nerror\n",
    )
    assert shell("true") == ("", b"")
    assert shell("kill -TERM $$")[0] == "/bin/sh was ended by SIGTERM"


def test_who_prints_without_end_is_read_and_mostly_forgotten() -> None:
    problem, said = shell("head -c 20000000 /dev/zero | tr '\\0' x")

    assert problem == ""
    assert said == b"x" * MAX_OUTPUT


def test_it_has_the_environment_that_it_is_given_and_no_other() -> None:
    problem, said = shell("env; pwd", environment={"PATH": "/usr/bin:/bin", "A": "b c"})

    assert problem == ""
    assert {b"A=b c", b"PATH=/usr/bin:/bin", b"/"} <= set(said.splitlines())
    assert b"HOME" not in said


def test_who_takes_too_long_may_tidy_up(tmp_path: Path) -> None:
    tidied = tmp_path / "tidied"
    script = f"trap 'echo done > {tidied}; exit 0' TERM; sleep 60 & wait"

    problem, _ = shell(script, timeout=1.5, grace=10.0)

    assert problem == "/bin/sh took longer than 1.5 s"
    assert tidied.read_text() == "done\n"


def test_who_ignores_that_is_killed_with_its_children(tmp_path: Path) -> None:
    child = tmp_path / "child"
    script = f"trap '' TERM; sleep 60 & echo $! > {child}; sleep 60; sleep 60"
    begun = time.monotonic()

    problem, _ = shell(script, timeout=1.5, grace=0.2)

    assert problem == "/bin/sh took longer than 1.5 s"
    assert time.monotonic() - begun < 10
    pid = int(child.read_text())
    eventually(lambda: gone(pid), within=5, what="the child is gone")


def test_who_leaves_a_child_behind_that_holds_its_output_is_not_waited_for() -> None:
    begun = time.monotonic()

    assert shell("echo early; sleep 5 & exit 0") == ("", b"early\n")
    assert time.monotonic() - begun < 4


def test_a_stop_ends_what_is_under_way() -> None:
    stopping, begun = Event(), time.monotonic()
    timer = Timer(0.2, stopping.set)
    timer.start()

    problem = run(("/bin/sleep", "60"), 60, None, stopping)

    timer.join()
    assert problem == "/bin/sleep was stopped half-way, since its daemon ends"
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("command", "user", "problem"),
    [
        (("/nowhere/at/all",), None, "/nowhere/at/all does not start: [Errno 2]"),
        (("/etc/passwd",), None, "/etc/passwd does not start: [Errno 13]"),
        (("/bin/true",), "nobody-here", '/bin/true does not start: "getpwnam()'),
    ],
)
def test_who_does_not_start_is_said_so(command, user, problem) -> None:
    assert run(command, 5, user, Event()).startswith(problem)


@AS_ROOT
def test_another_user_has_no_groups_and_no_capabilities() -> None:
    said: list[bytes] = []
    command = ("/bin/sh", "-c", "id -un; id -Gn; grep CapEff /proc/self/status")

    assert run(command, 20, "nobody", Event(), Manner(said=said.append)) == ""
    assert b"".join(said).split() == [b"nobody", b"nogroup", b"CapEff:", b"0" * 16]
