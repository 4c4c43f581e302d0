"""A backend that flaps stays down for longer each time, and never for too long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.checks import TcpCheck
from control.health.tracker import Tracker
from control.status import Health

CHECK = TcpCheck(rise=1, fall=1, damping=160)


def observed(tracker: Tracker, results: str, check: TcpCheck, now: float) -> Tracker:
    for result in results:
        tracker = tracker.observe(result == "+", check, now)
    return tracker


def test_each_time_it_goes_down_soon_after_it_came_up_it_is_held_for_longer() -> None:
    tracker, now, holds = observed(Tracker(), "+-", CHECK, 0), 0.0, []

    for _ in range(7):
        now += tracker.hold(CHECK, now)
        tracker = observed(tracker, "+-", CHECK, now)
        holds.append(tracker.hold(CHECK, now))

    assert holds == [10, 20, 40, 80, 160, 160, 160]


def test_the_first_time_it_is_not_held() -> None:
    tracker = observed(Tracker(), "+-", CHECK, 0)

    assert tracker.hold(CHECK, 0) == 0
    assert observed(tracker, "+", CHECK, 0).health is Health.UP


def test_while_it_is_held_it_stays_down_and_the_first_success_after_that_brings_it_up() -> (
    None
):
    held = observed(Tracker(), "+-+-", CHECK, 0)

    assert observed(held, "+" * 50, CHECK, 9.9).health is Health.DOWN
    assert observed(observed(held, "+", CHECK, 9.9), "+", CHECK, 10).health is Health.UP


def test_who_stays_up_for_long_enough_is_forgiven() -> None:
    flapping = observed(Tracker(), "+-+-", CHECK, 0)
    up = observed(flapping, "+", CHECK, 10)

    assert observed(up, "-", CHECK, 10 + 159).hold(CHECK, 169) == 20
    assert observed(up, "-", CHECK, 10 + 160).hold(CHECK, 170) == 0


def test_without_damping_nobody_is_held() -> None:
    check = TcpCheck(rise=1, fall=1)

    assert observed(Tracker(), "+-" * 20 + "+", check, 0).health is Health.UP


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1e10))), st.floats(0, 3600))
def test_nobody_is_held_for_longer_than_damping_whatever_the_clock_does(
    steps: list[tuple[bool, float]], damping: float
) -> None:
    check, tracker = TcpCheck(rise=1, fall=1, damping=damping), Tracker()

    for success, now in steps:
        tracker = tracker.observe(success, check, now)
        assert 0 <= tracker.hold(check, now) <= damping


@pytest.mark.parametrize("down", ["-", "+-+-"])
def test_going_down_is_never_delayed(down: str) -> None:
    tracker = observed(Tracker(), down, CHECK, 0)
    up = observed(tracker, "+", CHECK, 20)

    assert observed(up, "-", CHECK, 20).health is Health.DOWN
