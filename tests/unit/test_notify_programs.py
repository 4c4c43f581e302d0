"""Programs that are told, for real: in order, in time, and waited for by nobody."""

import asyncio
import os
import pwd
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from structlog.testing import capture_logs

from control.notifying.changes import Change, Kind, Subject
from control.notifying.runner import Runner
from control.notifying.settings import Occasion, Program
from tests.support.users import AS_ROOT

ME = pwd.getpwuid(os.geteuid()).pw_name
pytestmark = AS_ROOT
B1 = Subject(Kind.BACKEND, "web", "b1")
DOWN = Change(B1, "up", "down", "refused", 1000.25, version=3)
UP = replace(DOWN, before="down", after="up", reason="")


def shell(script: str, **more) -> Program:
    return Program(("/bin/sh", "-c", script, "told"), user=ME, **more)


def running(
    *programs: Program, work: Callable[[Runner], Awaitable[None]], within: float = 20.0
) -> list[Change]:
    """Let ``work`` happen to a runner of these programs; return what was not told."""
    runner = Runner("lb1")
    runner.adopt(programs)

    async def everything() -> list[Change]:
        async with asyncio.TaskGroup() as tasks:
            runner.serve(tasks)
            await work(runner)
            return await runner.finish(within)

    with capture_logs() as logs:
        untold = asyncio.run(asyncio.wait_for(everything(), 30))
    logged = sum(x["subjects"] for x in logs if x["event"] == "changes not told")
    assert logged == len(untold)
    return untold


def test_a_program_is_told_in_order_by_arguments_and_environment(tmp_path: Path) -> None:
    told = tmp_path / "told"
    program = shell(f'echo "$*" $GUIDEWAY_OLD $GUIDEWAY_NEW $GUIDEWAY_NODE >> {told}')

    async def work(runner: Runner) -> None:
        for number in range(5):
            runner.tell(replace(DOWN, subject=replace(B1, name=f"b{number}")))

    running(program, work=work)

    assert told.read_text().splitlines() == [
        f"RS b{number} web DOWN up down lb1" for number in range(5)
    ]


def test_nobody_waits_for_a_program_that_hangs_and_it_learns_the_last_state_alone(
    tmp_path: Path,
) -> None:
    told = tmp_path / "told"
    hangs = shell(f"echo $GUIDEWAY_NEW $GUIDEWAY_CHANGES >> {told}; sleep 0.5")
    quick = shell(f"echo $GUIDEWAY_NEW >> {tmp_path / 'quick'}")
    took: list[float] = []

    async def work(runner: Runner) -> None:
        runner.tell(DOWN)
        await asyncio.to_thread(_until, told)
        begun = time.perf_counter()
        for _ in range(500):
            runner.tell(UP)
            runner.tell(DOWN)
        runner.tell(UP)
        took.append(time.perf_counter() - begun)

    running(hangs, quick, work=work)

    assert told.read_text() == "down 1\nup 1\n"
    assert (tmp_path / "quick").read_text().splitlines()[-1] == "up"
    assert took[0] < 1


def test_programs_for_up_and_down_of_a_backend_do_not_overtake_each_other(
    tmp_path: Path,
) -> None:
    told = tmp_path / "told"
    down = shell(
        f"sleep 0.4; echo down >> {told}", events=frozenset({Occasion.BACKEND_DOWN})
    )
    up = shell(f"echo up >> {told}", events=frozenset({Occasion.BACKEND_UP}))

    async def work(runner: Runner) -> None:
        runner.tell(DOWN)
        await asyncio.sleep(0.1)  # it is under way
        runner.tell(UP)

    running(down, up, work=work)

    assert told.read_text() == "down\nup\n"


def test_one_that_hangs_delays_no_other_that_is_told_of_the_same(tmp_path: Path) -> None:
    told = tmp_path / "told"
    hanging = [shell(f"sleep 60 # {number}") for number in range(6)]  # more than CPUs
    quick = shell(f"echo $GUIDEWAY_NEW >> {told}")
    took: list[float] = []

    async def work(runner: Runner) -> None:
        begun = time.monotonic()
        runner.tell(DOWN)
        await asyncio.to_thread(_until, told)
        took.append(time.monotonic() - begun)

    running(*hanging, quick, work=work, within=0.1)

    assert told.read_text() == "down\n"
    assert took[0] < 10


def test_what_is_told_to_two_in_turn_runs_in_the_order_in_which_they_came(
    tmp_path: Path,
) -> None:
    told = tmp_path / "told"
    down = shell(
        f"echo down >> {told}; sleep 0.3", events=frozenset({Occasion.BACKEND_DOWN})
    )
    up = shell(f"echo up >> {told}", events=frozenset({Occasion.BACKEND_UP}))

    async def work(runner: Runner) -> None:
        runner.tell(DOWN)
        await asyncio.to_thread(_until, told)
        runner.tell(UP)
        await asyncio.sleep(0)  # who is to be told of it waits for its turn
        runner.tell(DOWN)

    running(down, up, work=work)

    assert told.read_text() == "down\nup\ndown\n"


def test_one_that_fails_is_a_problem_until_it_succeeds(tmp_path: Path) -> None:
    flag = tmp_path / "works"
    program = shell(f"test -e {flag} || exit 3", timeout=5)
    problems: list[list[str]] = []

    async def work(runner: Runner) -> None:
        for change in (DOWN, UP, DOWN):
            if change is DOWN and len(problems) == 2:
                flag.touch()
            runner.tell(change)
            await asyncio.wait(list(runner._running))  # noqa: SLF001
            problems.append(runner.problems)

    running(program, work=work)

    assert problems == [
        ["a notify program failed, once: /bin/sh ended with 3"],
        ["a notify program failed, 2 times in a row: /bin/sh ended with 3"],
        [],
    ]


def test_a_program_runs_without_privileges_if_the_file_does_not_say_otherwise(
    open_path: Path,
) -> None:
    program = replace(shell(f"id -un > {open_path}/who"), user="nobody")

    async def work(runner: Runner) -> None:
        runner.tell(DOWN)

    running(program, work=work)

    assert Program(("/x",)).user == "nobody"
    assert (open_path / "who").read_text() == "nobody\n"


def test_an_end_does_not_wait_for_ever_and_says_what_was_not_told() -> None:
    program, begun = shell("sleep 60"), time.monotonic()
    next_one = replace(DOWN, subject=replace(B1, name="b2"))

    async def work(runner: Runner) -> None:
        runner.tell(DOWN)
        runner.tell(next_one)
        await asyncio.sleep(0.1)

    untold = running(program, work=work, within=0.3)

    assert time.monotonic() - begun < 10
    assert untold == [next_one]


def test_who_waits_for_its_turn_at_the_end_is_not_told_either(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    down_alone = frozenset({Occasion.BACKEND_DOWN})
    hangs = shell(f"echo > {begun}; sleep 60", events=down_alone)
    waits = shell(f"touch {tmp_path}/told", events=frozenset({Occasion.BACKEND_UP}))

    async def work(runner: Runner) -> None:
        runner.tell(DOWN)
        await asyncio.to_thread(_until, begun)
        runner.tell(UP)

    untold = running(hangs, waits, work=work, within=0.3)

    assert untold == [UP]
    assert not (tmp_path / "told").exists()


def test_who_is_not_in_the_file_any_more_hears_nothing_new(tmp_path: Path) -> None:
    told = tmp_path / "told"

    async def work(runner: Runner) -> None:
        runner.tell(DOWN)
        runner.adopt([])
        runner.tell(UP)

    running(shell(f"echo $GUIDEWAY_NEW >> {told}"), work=work)

    assert told.read_text() == "down\n"


def _until(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
