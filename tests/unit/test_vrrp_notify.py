"""The operator's programs: run in order, one at a time, not for ever."""

import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.support.wait import eventually
from vrrp.machine import State
from vrrp.notify import Kind, Notice, Notifier, Program, Turn, turn_of, turn_of_group


def notice(program: Program, turn: Turn, priority: int = 100) -> Notice:
    return Notice(program, Kind.INSTANCE, "front", turn, priority)


def shell(script: str, timeout: float = 30.0) -> Program:
    return Program(("/bin/sh", "-c", script, "notify"), timeout)


def test_programs_get_the_arguments_that_those_of_keepalived_get(tmp_path: Path) -> None:
    told = tmp_path / "told"
    program = shell(f'echo "$@" >> {told}')
    notifier = Notifier()

    notifier.tell(notice(program, Turn.BACKUP, 150))
    notifier.tell(notice(program, Turn.ACTIVE, 150))
    notifier.tell(Notice(program, Kind.GROUP, "both", Turn.FAULT, 7))
    notifier.tell(notice(program, Turn.STOP, 150))
    notifier.end(within=10)

    assert told.read_text().splitlines() == [
        "INSTANCE front BACKUP 150",
        "INSTANCE front MASTER 150",
        "GROUP both FAULT 7",
        "INSTANCE front STOP 150",
    ]


def test_a_program_that_hangs_is_killed_and_the_next_one_told(tmp_path: Path) -> None:
    told = tmp_path / "told"
    notifier = Notifier()

    with capture_logs() as logs:
        notifier.tell(notice(shell("sleep 60", timeout=0.3), Turn.ACTIVE))
        notifier.tell(notice(shell(f"echo $3 > {told}"), Turn.BACKUP))
        notifier.end(within=10)

    assert told.read_text() == "BACKUP\n"
    assert [line["problem"] for line in logs] == ["/bin/sh took longer than 0.3 s"]


def test_an_end_does_not_wait_for_ever_and_says_who_was_not_told(tmp_path: Path) -> None:
    notifier = Notifier()
    begun = time.monotonic()

    with capture_logs() as logs:
        notifier.tell(notice(shell(f"echo > {tmp_path}/begun; sleep 60"), Turn.ACTIVE))
        eventually((tmp_path / "begun").exists, within=5, what="the first is told")
        for turn in (Turn.BACKUP, Turn.STOP):
            notifier.tell(notice(Program(("/bin/touch", f"{tmp_path}/told")), turn))
        notifier.end(within=0.3)

    assert time.monotonic() - begun < 10
    assert [(line["event"], line.get("problem"), line.get("command")) for line in logs] == [
        (
            "notify program failed",
            "/bin/sh was stopped half-way, since its daemon ends",
            None,
        ),
        (
            "notice not told: guideway-vrrpd ends",
            None,
            ("/bin/touch", f"{tmp_path}/told", "INSTANCE", "front", "STOP", "100"),
        ),
    ]
    assert not (tmp_path / "told").exists()


def test_a_program_that_is_not_there_or_fails_is_logged() -> None:
    notifier = Notifier()

    with capture_logs() as logs:
        notifier.tell(notice(Program(("/nowhere/notify",)), Turn.ACTIVE))
        notifier.tell(notice(shell("exit 3"), Turn.ACTIVE))
        notifier.end(within=10)

    missing = "[Errno 2] No such file or directory: '/nowhere/notify'"
    assert [line["problem"] for line in logs] == [
        f"/nowhere/notify does not start: {missing}",
        "/bin/sh ended with 3",
    ]


def test_what_piles_up_behind_a_program_that_hangs_is_bounded() -> None:
    notifier = Notifier()

    with capture_logs() as logs:
        for _ in range(1200):
            notifier.tell(notice(shell("sleep 60"), Turn.ACTIVE))
        notifier.end(within=0)

    dropped = [line for line in logs if line["event"] == "notice dropped: too many wait"]
    assert len(dropped) in (199, 200)  # one may have been taken already


@pytest.mark.parametrize(
    ("turns", "whole"),
    [
        ([Turn.ACTIVE, Turn.ACTIVE], Turn.ACTIVE),
        ([Turn.ACTIVE, Turn.BACKUP], Turn.BACKUP),
        ([Turn.FAULT, Turn.BACKUP], Turn.FAULT),
        ([Turn.FAULT, Turn.STOP], Turn.STOP),
    ],
)
def test_a_group_is_what_its_least_member_is(turns: list[Turn], whole: Turn) -> None:
    assert turn_of_group(turns) is whole


def test_a_state_has_keepaliveds_name() -> None:
    assert [turn_of(state).value for state in State] == ["FAULT", "BACKUP", "MASTER"]
