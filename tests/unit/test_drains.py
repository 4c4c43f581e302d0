"""Draining with a deadline: who is late, and when somebody will be."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from control.cli.client import Unanswered
from control.cli.draining import Patience, Progress, Seen, is_late
from control.desired import DesiredState
from control.drains import next_deadline, overdue
from control.errors import ConfigError
from control.model import Backend, BackendState, Mode, Protocol, Service

DRAINING = BackendState.DRAINING


def backend(number: int, deadline: float | None = None) -> Backend:
    address = IPv4Address("10.0.0.1") + number
    state = BackendState.ACTIVE if deadline is None else DRAINING
    return Backend(f"b{number}", address, 80, state=state, drain_deadline=deadline)


def state(*backends: Backend) -> DesiredState:
    vip = IPv4Address("192.0.2.1")
    return DesiredState((Service("web", vip, Protocol.TCP, 80, Mode.DR, backends),))


def test_whoever_is_past_the_deadline_is_overdue_and_the_next_one_is_known() -> None:
    wanted = state(backend(0, 50.0), backend(1, 100.0), backend(2, 70.0), backend(3))

    assert overdue(wanted, 70.0) == {("web", "b0"), ("web", "b2")}
    assert next_deadline(wanted, 70.0) == 100.0
    assert next_deadline(wanted, 100.0) is None
    assert overdue(state(backend(0)), 1e9) == frozenset()


def test_another_state_takes_the_deadline_away_and_so_does_a_drain_without_one() -> None:
    wanted = state(backend(0, 50.0))

    for new in (BackendState.ACTIVE, BackendState.DISABLED, DRAINING):
        changed = wanted.with_changed_backend("web", "b0", state=new)
        assert changed.service("web").backend("b0").drain_deadline is None
    heavier = wanted.with_changed_backend("web", "b0", weight=7)
    assert heavier.service("web").backend("b0").drain_deadline == 50.0
    later = wanted.with_changed_backend("web", "b0", drain_deadline=90.0)
    assert later.service("web").backend("b0").drain_deadline == 90.0


@pytest.mark.parametrize(
    ("one", "problem"),
    [
        (replace(backend(0), drain_deadline=5.0), "goes with state draining"),
        (backend(0, -1.0), "no time from 1970 to 9999"),
        (backend(0, float("nan")), "no time from 1970 to 9999"),
        (backend(0, 1e12), "no time from 1970 to 9999"),
    ],
)
def test_a_deadline_that_cannot_be_is_refused(one: Backend, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as refused:
        state(one)

    assert refused.value.field.endswith("backends[0].drain_deadline")


def test_a_wait_is_over_when_there_was_no_packet_for_long_enough() -> None:
    progress = Progress(quiet=10)

    looks = [(100, 5), (105, 5), (106, 6), (115, 6), (116, 6)]
    over = [progress.observe(Seen(time, packets, None)) for time, packets in looks]

    assert over == [False, False, False, False, True]


def test_a_wait_is_over_at_the_deadline_though_packets_still_come() -> None:
    progress = Progress(quiet=10)
    early, late = Seen(100, 5, 104.0), Seen(104, 9, 104.0)

    assert not progress.observe(early)
    assert progress.sentence(early) == "packets still come; 4s until the deadline"
    assert progress.observe(late)
    assert is_late(late)
    assert not progress.is_quiet(late)


@pytest.mark.parametrize(
    ("deadline", "end"), [(None, 260.0), (210.0, 260.0), (900.0, 900.0)]
)
def test_a_guidewayd_that_is_gone_is_asked_again_until_the_deadline_or_for_a_minute(
    deadline: float | None, end: float
) -> None:
    patience, gone = Patience(), Unanswered("cannot reach guidewayd")
    patience.gain(Seen(199, 5, deadline))

    patience.lose(gone, 200)
    patience.lose(gone, end - 1)
    with pytest.raises(Unanswered):
        patience.lose(gone, end)
    patience.gain(Seen(end, 5, deadline))
    patience.lose(gone, end + 1)  # it was there in between
