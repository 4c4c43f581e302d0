"""The state machine, one situation at a time; the clock is a number."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from vrrp.machine import (
    ANNOUNCE_GAP,
    Announce,
    Announcements,
    Config,
    Effect,
    Release,
    Send,
    State,
    Take,
    VirtualRouter,
)
from vrrp.packet import Advertisement

ANNOUNCE_AGAIN = 5.0  # seconds
LOWER = IPv4Address("10.0.0.1")
ME = IPv4Address("10.0.0.2")
GREATER = IPv4Address("10.0.0.3")
CONFIG = Config(vrid=7, addresses=(IPv4Address("10.0.0.100"),), priority=100, interval=1.0)
MINE = Advertisement(7, 100, 1.0, CONFIG.addresses)
RESIGNATION = replace(MINE, priority=0)
BECOME_ACTIVE: list[Effect] = [Send(MINE), Take(), Announce(5)]
SILENCE = 3 + (256 - 100) / 256


def backup(config: Config = CONFIG) -> VirtualRouter:
    router = VirtualRouter(config)
    assert router.start(ME, now=0.0) == []
    assert router.state is State.BACKUP
    return router


def active() -> VirtualRouter:
    """Active since 0, with its announcements behind it."""
    router = VirtualRouter(CONFIG)
    router.start(ME, now=-20.0)
    assert router.tick(now=-10.0) == BECOME_ACTIVE
    for second in range(-9, 1):
        assert router.tick(now=float(second))[0] == Send(MINE)
    return router


def said(priority: int, interval: float = 1.0) -> Advertisement:
    return replace(MINE, priority=priority, interval=interval)


# Starting and stopping


def test_a_backup_takes_over_after_three_intervals_and_its_skew() -> None:
    router = backup()

    assert router.deadline == SILENCE
    assert router.tick(now=SILENCE - 0.001) == []
    assert router.tick(now=SILENCE) == BECOME_ACTIVE
    assert (router.state, router.active) == (State.ACTIVE, ME)


@pytest.mark.parametrize(
    ("priority", "interval", "down", "skew"),
    [
        (254, 1.0, 3.008, 0.008),
        (200, 1.0, 3.219, 0.219),
        (100, 1.0, 3.609, 0.609),
        (1, 1.0, 3.996, 0.996),
        (254, 0.2, 0.602, 0.002),
        (150, 0.2, 0.683, 0.083),
        (90, 0.1, 0.365, 0.065),
        (50, 0.01, 0.038, 0.008),
        (1, 0.01, 0.040, 0.010),
    ],
)
def test_skew_and_down_interval_are_those_of_the_rfc(
    priority: int, interval: float, down: float, skew: float
) -> None:
    router = backup(replace(CONFIG, priority=priority, interval=interval))

    assert router.deadline == pytest.approx(down, abs=0.0006)
    assert router.skew == pytest.approx(skew, abs=0.0006)


def test_the_owner_of_the_addresses_is_active_at_once() -> None:
    router = VirtualRouter(replace(CONFIG, priority=255))

    assert router.start(ME, now=0.0) == [Send(said(255)), Take(), Announce(5)]
    assert router.state is State.ACTIVE


def test_an_active_that_stops_resigns_and_then_lets_go() -> None:
    router = active()

    assert router.stop() == [Send(RESIGNATION), Release()]
    assert (router.state, router.active, router.deadline) == (State.INITIALIZE, None, None)


def test_a_backup_that_stops_says_nothing() -> None:
    router = backup()

    assert router.stop() == []
    assert (router.state, router.deadline) == (State.INITIALIZE, None)


def test_a_stopped_router_hears_nothing_and_does_nothing() -> None:
    router = active()
    router.stop()

    assert router.receive(said(0), LOWER, now=1.0) == []
    assert router.tick(now=100.0) == []


def test_a_router_can_start_again_with_another_address() -> None:
    router = active()
    router.stop()

    assert router.start(GREATER, now=10.0) == []
    assert router.tick(now=10.0 + SILENCE) == BECOME_ACTIVE
    assert router.active == GREATER


# Backup


@pytest.mark.parametrize("priority", [100, 101, 255])
def test_an_active_that_is_not_inferior_keeps_a_backup_quiet(priority: int) -> None:
    router = backup()

    assert router.receive(said(priority), GREATER, now=3.0) == []
    assert router.tick(now=SILENCE) == []
    assert router.deadline == 3.0 + SILENCE
    assert router.active == GREATER


def test_a_backup_learns_the_interval_of_the_active() -> None:
    router = backup()

    router.receive(said(200, interval=0.1), GREATER, now=1.0)

    assert router.deadline == pytest.approx(1.0 + SILENCE / 10)
    assert router.skew == pytest.approx(0.0609, abs=0.0001)


def test_a_learned_interval_does_not_outlive_the_interface() -> None:
    router = backup()
    router.receive(said(200, interval=0.1), GREATER, now=1.0)
    router.stop()

    router.start(ME, now=2.0)

    assert router.deadline == 2.0 + SILENCE


def test_an_active_speaks_at_its_own_interval_not_at_the_one_it_learned() -> None:
    router = backup()
    router.receive(said(200, interval=0.1), GREATER, now=1.0)

    assert router.tick(now=2.0) == BECOME_ACTIVE
    assert router.deadline == 3.0


def test_a_backup_preempts_a_lower_priority_when_its_timer_ends() -> None:
    router = backup()

    assert router.receive(said(99), GREATER, now=3.0) == []
    assert router.deadline == SILENCE
    assert router.tick(now=SILENCE) == BECOME_ACTIVE


def test_without_preemption_a_lower_priority_stays_active() -> None:
    router = backup(replace(CONFIG, preempt=False))

    router.receive(said(1), LOWER, now=3.0)

    assert router.deadline == 3.0 + SILENCE


def test_an_inferior_active_is_left_alone_for_as_long_as_the_delay() -> None:
    router = backup(replace(CONFIG, preempt_delay=10.0))

    for second in range(1, 11):
        router.receive(said(99), LOWER, now=float(second))
        assert router.deadline == second + SILENCE
    router.receive(said(99), LOWER, now=11.0)
    router.receive(said(99), LOWER, now=12.0)

    assert router.deadline == 10 + SILENCE
    assert router.tick(now=10 + SILENCE) == BECOME_ACTIVE


def test_a_superior_active_ends_the_delay() -> None:
    router = backup(replace(CONFIG, preempt_delay=10.0))
    router.receive(said(99), LOWER, now=1.0)
    router.receive(said(100), GREATER, now=2.0)

    router.receive(said(99), LOWER, now=11.5)

    assert router.deadline == 11.5 + SILENCE


def test_the_delay_does_not_hold_back_where_there_is_no_active() -> None:
    router = backup(replace(CONFIG, preempt_delay=1000.0))

    assert router.tick(now=SILENCE) == BECOME_ACTIVE


def test_version_2_has_a_skew_that_does_not_depend_on_the_interval() -> None:
    router = backup(replace(CONFIG, version=2, interval=10.0))

    assert router.deadline == 30 + (256 - 100) / 256


def test_more_advertisements_may_get_lost_where_the_operator_says_so() -> None:
    router = backup(replace(CONFIG, down_adverts=10))

    assert router.deadline == 10 + (256 - 100) / 256


def test_the_owner_preempts_whatever_its_configuration_says() -> None:
    router = VirtualRouter(replace(CONFIG, priority=255, preempt=False))
    router.start(ME, now=0.0)
    router.receive(said(255), GREATER, now=1.0)
    due = router.deadline

    router.receive(said(254), LOWER, now=2.0)

    assert router.state is State.BACKUP
    assert router.deadline == due


def test_after_a_resignation_a_backup_waits_only_its_skew() -> None:
    router = backup()
    router.receive(said(200), GREATER, now=1.0)

    assert router.receive(said(0), GREATER, now=1.5) == []
    assert router.active is None
    assert router.deadline == pytest.approx(1.5 + 0.609, abs=0.001)


# Active


def test_an_active_advertises_at_every_interval_without_drift() -> None:
    router = active()

    assert router.deadline == 1.0
    assert router.tick(now=1.2) == [Send(MINE)]
    assert router.deadline == 2.0


def test_an_active_that_slept_sends_one_advertisement_not_all_it_missed() -> None:
    router = active()

    assert router.tick(now=2.9) == [Send(MINE)]
    assert router.deadline == 3.9


def test_a_backup_goes_by_when_it_was_told_and_not_by_when_it_listened() -> None:
    late, in_time = backup(), backup()

    late.receive(said(200), GREATER, now=9.0, arrived=1.0)
    in_time.receive(said(200), GREATER, now=9.0, arrived=8.5)

    assert late.tick(now=9.0) == BECOME_ACTIVE
    assert in_time.tick(now=9.0) == []
    assert in_time.deadline == 8.5 + SILENCE


def test_an_active_that_was_silent_for_too_long_lets_go_before_it_speaks_again() -> None:
    router = active()

    assert router.tick(now=3.01) == [Release()]
    assert (router.state, router.active) == (State.BACKUP, None)


def test_an_active_that_was_silent_for_too_long_does_not_answer_its_successor() -> None:
    router = active()

    assert router.receive(said(50), LOWER, now=3.01) == [Release()]
    assert (router.state, router.active) == (State.BACKUP, LOWER)


def test_after_its_silence_it_listens_for_an_interval_and_takes_over_if_nobody_speaks() -> (
    None
):
    router = active()
    router.tick(now=3.01)

    assert router.deadline == pytest.approx(3.01 + 1.0 + (256 - 100) / 256)
    assert router.tick(now=4.7) == BECOME_ACTIVE


def test_how_long_a_silence_may_be_follows_from_the_adverts_that_may_get_lost() -> None:
    router = VirtualRouter(replace(CONFIG, priority=255, down_adverts=5))
    router.start(ME, now=0.0)

    assert router.tick(now=4.9)[0] == Send(said(255))
    assert router.tick(now=10.0) == [Release()]


def test_a_shorter_interval_by_a_reload_does_not_make_the_last_silence_too_long() -> None:
    router = VirtualRouter(replace(CONFIG, priority=255, interval=10.0))
    router.start(ME, now=0.0)

    router.config = replace(router.config, interval=0.1)

    assert router.tick(now=10.0)[0] == Send(said(255, 0.1))
    assert router.tick(now=10.1) == [Send(said(255, 0.1))]
    assert router.tick(now=10.5) == [Release()]


def test_an_active_in_time_keeps_the_addresses_even_if_no_advertisement_may_get_lost() -> (
    None
):
    router = VirtualRouter(replace(CONFIG, priority=255, down_adverts=1))
    router.start(ME, now=0.0)

    assert router.tick(now=1.0) == [Send(said(255))]
    assert router.tick(now=2.005) == [Send(said(255))]
    assert router.tick(now=3.02) == [Release()]


def test_a_new_active_announces_again_after_five_seconds() -> None:
    router = backup()
    taken = 4.0
    assert router.tick(now=taken) == BECOME_ACTIVE

    for second in (1, 2, 3, 4):
        assert router.tick(now=taken + second) == [Send(MINE)]
    assert router.tick(now=taken + ANNOUNCE_AGAIN) == [Send(MINE), Announce(5)]
    assert router.tick(now=taken + 6) == [Send(MINE)]


def test_a_quiet_active_announces_itself_as_often_as_the_operator_wants() -> None:
    how = Announcements(repeat=2, delay=0, refresh=60.0, refresh_repeat=3)
    router = VirtualRouter(replace(CONFIG, priority=255, interval=30.0, announcements=how))
    assert router.start(ME, now=0.0)[-1] == Announce(2)

    assert router.tick(now=30.0) == [Send(said(255, 30.0))]
    assert router.tick(now=60.0) == [Send(said(255, 30.0)), Announce(3)]
    assert router.tick(now=90.0) == [Send(said(255, 30.0))]
    assert router.tick(now=120.0) == [Send(said(255, 30.0)), Announce(3)]


@pytest.mark.parametrize(
    ("priority", "source"),
    [
        pytest.param(101, LOWER, id="higher priority"),
        pytest.param(255, LOWER, id="owner"),
        pytest.param(100, GREATER, id="equal priority, greater address"),
    ],
)
def test_an_active_yields_to_a_superior(priority: int, source: IPv4Address) -> None:
    router = active()

    assert router.receive(said(priority, interval=0.1), source, now=0.5) == [Release()]
    assert (router.state, router.active) == (State.BACKUP, source)
    assert router.deadline == pytest.approx(0.5 + SILENCE / 10)


def test_a_router_that_yields_does_not_announce_any_more() -> None:
    router = backup()
    assert router.tick(now=4.0) == BECOME_ACTIVE
    router.receive(said(200), GREATER, now=5.0)
    router.receive(said(200), GREATER, now=8.0)

    assert router.tick(now=4.0 + ANNOUNCE_AGAIN) == []


@pytest.mark.parametrize(
    ("priority", "source"),
    [
        pytest.param(99, GREATER, id="lower priority"),
        pytest.param(100, LOWER, id="equal priority, lower address"),
    ],
)
def test_a_losing_advertisement_is_answered_and_announced_over_at_once(
    priority: int, source: IPv4Address
) -> None:
    router = active()

    assert router.receive(said(priority), source, now=0.5) == [Send(MINE), Announce(5)]
    assert router.state is State.ACTIVE
    assert router.deadline == 1.0


def test_every_losing_advertisement_is_answered_but_announcements_keep_a_distance() -> None:
    router = active()
    router.receive(said(1), LOWER, now=0.1)

    assert router.receive(said(1), LOWER, now=0.2) == [Send(MINE)]
    assert router.receive(said(1), LOWER, now=0.3) == [Send(MINE)]
    assert router.tick(now=1.0) == [Send(MINE)]
    assert router.tick(now=0.1 + ANNOUNCE_GAP) == [Announce(5)]


def test_a_flood_of_losing_advertisements_is_not_answered_in_kind() -> None:
    router = active()

    said_back = [
        effect
        for number in range(1000)
        for effect in router.receive(said(1), LOWER, now=0.5 + number / 10000)
        if effect == Send(MINE)
    ]

    assert len(said_back) == 10
    assert router.deadline == 1.0


def test_an_active_answers_a_resignation_and_starts_its_interval_anew() -> None:
    router = active()

    assert router.receive(said(0), GREATER, now=0.5) == [Send(MINE)]
    assert router.state is State.ACTIVE
    assert router.deadline == 1.5


@pytest.mark.parametrize("priority", [0, 1, 100, 255])
def test_what_bears_our_own_address_is_not_answered(priority: int) -> None:
    router = active()

    assert router.receive(said(priority), ME, now=0.5) == []
    assert (router.state, router.deadline) == (State.ACTIVE, 1.0)


def test_another_virtual_router_is_none_of_our_business() -> None:
    router = active()

    assert router.receive(replace(said(255), vrid=8), GREATER, now=0.5) == []
    assert router.state is State.ACTIVE


# Handing over


def test_an_active_that_hands_over_resigns_and_keeps_the_addresses() -> None:
    router = active()

    assert router.hand_over(now=0.5) == [Send(RESIGNATION)]

    assert (router.state, router.hands_over) == (State.ACTIVE, True)
    assert router.tick(now=2.4) == []


@pytest.mark.parametrize("priority", [1, 100, 254])
def test_it_lets_go_when_a_peer_speaks_and_leaves_that_one_alone(priority: int) -> None:
    router = active()
    router.hand_over(now=0.5)

    assert router.receive(said(priority), LOWER, now=0.9) == [Release(after=0.2)]

    assert (router.state, router.active) == (State.BACKUP, LOWER)
    for second in range(1, 20):
        assert router.receive(said(priority), LOWER, now=second + 0.9) == []
        assert router.tick(now=second + 0.95) == []
    assert router.stands_back


def test_it_takes_over_again_when_that_peer_goes() -> None:
    router = active()
    router.hand_over(now=0.0)
    router.receive(said(1), LOWER, now=0.9)

    router.receive(said(0), LOWER, now=2.0)

    assert router.tick(now=2.61)[0] == Send(MINE)
    assert not router.stands_back


def test_without_a_peer_it_goes_on_after_two_intervals() -> None:
    router = active()
    router.hand_over(now=0.5)

    assert router.tick(now=2.5) == [Send(MINE)]

    assert (router.state, router.hands_over) == (State.ACTIVE, False)
    assert router.receive(said(99), LOWER, now=2.6) == [Send(MINE), Announce(5)]


def test_it_does_not_answer_a_peer_that_resigns_while_it_hands_over() -> None:
    router = active()
    router.hand_over(now=0.5)

    assert router.receive(said(0), LOWER, now=0.6) == []
    assert router.hands_over


def test_one_that_is_late_with_a_hand_over_lets_go() -> None:
    router = active()
    router.hand_over(now=0.5)

    assert router.tick(now=4.0) == [Release()]
    assert (router.state, router.hands_over) == (State.BACKUP, False)


def test_even_an_owner_stands_back_when_it_has_handed_over() -> None:
    router = VirtualRouter(replace(CONFIG, priority=255))
    router.start(ME, now=0.0)
    router.hand_over(now=0.5)
    router.receive(said(100), LOWER, now=0.6)

    router.receive(said(100), LOWER, now=1.6)

    assert router.tick(now=4.0) == []


# Why


def test_a_backup_knows_why_it_became_active() -> None:
    silent, resigned, inferior = backup(), backup(), backup()
    owner = VirtualRouter(replace(CONFIG, priority=255))

    silent.tick(now=SILENCE)
    resigned.receive(said(200), GREATER, now=0.5)
    resigned.receive(said(0), GREATER, now=1.0)
    resigned.tick(now=2.0)
    inferior.receive(said(90), GREATER, now=SILENCE - 0.1)
    inferior.tick(now=SILENCE)
    owner.start(ME, now=0.0)

    every = [silent, resigned, inferior, owner]
    assert all(router.state is State.ACTIVE for router in every)
    assert [router.reason for router in every] == [
        "nobody was heard to be Active",
        "10.0.0.3 resigned",
        "10.0.0.3 has a lower priority, 90",
        "it owns the addresses",
    ]


def test_one_that_resigned_and_came_back_is_not_the_reason() -> None:
    router = backup()

    router.receive(said(0), GREATER, now=1.0)
    router.receive(said(200), GREATER, now=1.1)
    router.tick(now=10.0)

    assert (router.state, router.reason) == (State.ACTIVE, "nobody was heard to be Active")


def test_an_active_knows_why_it_is_no_more() -> None:
    yields, late, follows, stops, hands = (active() for _ in range(5))

    yields.receive(said(200), GREATER, now=0.5)
    late.tick(now=60.25)
    follows.follow(0.5, "along with back: it says why")
    stops.stop()
    hands.hand_over(now=0.5)
    hands.receive(said(50), LOWER, now=1.0)

    assert [router.reason for router in (yields, late, follows, stops, hands)] == [
        "10.0.0.3 is superior, with priority 200",
        "it was itself late: silent for 60.250 s",
        "along with back: it says why",
        "",
        "handed over to 10.0.0.1",
    ]
    assert [each.handed_over for each in (yields, hands)] == [0, 1]
