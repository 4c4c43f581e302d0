"""Backends that come up get their weight in steps."""

from collections.abc import Set as AbstractSet
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.checks import TcpCheck
from control.compile import Compiled, compile_image
from control.desired import DesiredState
from control.facts import Facts, Interface, Moment, Network, NextHop
from control.model import Backend, Mode, Protocol, Service
from control.pool_policy import EACH_BY_ITSELF, PoolPolicy
from control.ramp import STEPS
from control.rounds import Settings
from control.serving import STARTING
from control.slow_start import LONG_AGO, recalled, relative, served_by, since, steps
from control.starts import Starts
from control.status import Health
from control.tables import Tables
from control.transition import is_in_transition, owners
from dataplane.image import Image
from dataplane.source import Limits

UP, DOWN = Health.UP, Health.DOWN
ETH0 = Interface("eth0", 3, b"\2\0\0\0\0\1")
HOP = NextHop("eth0", 3, ETH0.mac, b"\2\0\0\0\1\1")


def web(*weights: int) -> Service:
    backends = tuple(
        Backend(f"b{number}", IPv4Address("10.0.0.1") + number, 80, weight)
        for number, weight in enumerate(weights)
    )
    vip, pool = IPv4Address("192.0.2.1"), PoolPolicy(slow_start=100.0)
    return Service("web", vip, Protocol.TCP, 80, Mode.DR, backends, pool=pool)


def checked(service: Service) -> Service:
    return replace(service, checks=(TcpCheck(),))


def key(number: int) -> tuple[str, str]:
    return "web", f"b{number}"


def test_who_has_no_flows_begins_and_who_serves_goes_on() -> None:
    state = DesiredState((web(1, 1),))

    began = since({}, state, frozenset(), 10.0)
    assert began == {key(0): 10.0, key(1): 10.0}
    began = since(began, state, {key(0)}, 50.0)
    assert began == {key(0): 10.0, key(1): 50.0}
    began = since(began, state, {key(1)}, 60.0)
    assert began == {key(0): 60.0, key(1): 50.0}


def test_those_who_serve_when_it_is_switched_on_have_their_whole_weight() -> None:
    state = DesiredState((web(1, 1, 1),))

    began = since({}, state, {key(0), key(1)}, 10.0)

    assert began == {key(0): LONG_AGO, key(1): LONG_AGO, key(2): 10.0}
    assert steps(began, state, 10.0) == {key(2): 1}


def test_only_services_that_want_it_are_looked_at() -> None:
    service = replace(web(1, 1), pool=EACH_BY_ITSELF)
    state = DesiredState((service,))

    assert since({key(0): 1.0}, state, {key(0)}, 10.0) == {}
    assert steps({key(0): 10.0}, state, 10.0) == {}
    assert served_by(state, made(service, {}, Image()).services) == frozenset()


def test_its_weight_comes_in_ten_steps() -> None:
    state, began = DesiredState((web(1),)), {key(0): 1000.0}

    found = [
        steps(began, state, 1000.0 + second).get(key(0)) for second in range(0, 101, 5)
    ]

    assert found == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, None, None, None]


def test_a_daemon_notices_each_step_once_and_switching_it_off_at_once() -> None:
    now, state = 1000.0, DesiredState((web(1, 1),))
    starts = Starts(lambda: state, lambda: None, clock=lambda: now)

    assert starts.moved()
    assert starts.look() == {key(0): 1, key(1): 1}
    assert not starts.moved()
    state = DesiredState((replace(web(1, 1), pool=EACH_BY_ITSELF),))
    assert starts.moved()
    assert (starts.look(), starts.moved()) == ({}, False)


def test_a_daemon_that_begins_goes_on_from_what_the_maps_hold() -> None:
    now, state = 1000.0, DesiredState((web(1, 1),))
    starts = Starts(lambda: state, lambda: None, clock=lambda: now)
    half = made(state.services[0], {key(0): 5}, Image()).image

    starts.recall(lambda: half, {})

    assert starts.look() == {key(0): 5}
    now += 10.0  # a step is a tenth of 100 s
    assert starts.look() == {key(0): 6}


def test_who_comes_with_another_goes_with_it() -> None:
    state = DesiredState((web(1, 1, 1),))
    began = {key(0): LONG_AGO, key(1): 10.0}

    assert since(began, state, {key(0), key(1)}, 19.9)[key(2)] == 10.0
    assert since(began, state, {key(0), key(1)}, 20.0)[key(2)] == 20.0
    assert since(began, state, {key(0)}, 19.9)[key(2)] == 19.9


def test_the_furthest_have_their_whole_weights() -> None:
    found = {key(0): 4, key(1): 4, key(2): 1}

    assert relative("web", {"b0", "b1"}, found) == {}
    assert relative("web", {"b0", "b1", "b2"}, found) == {"b2": 1}
    assert relative("web", {"b0", "b1", "b3"}, found) == {"b0": 4, "b1": 4}
    assert relative("web", frozenset(), found) == {}


def made(
    service: Service,
    found: dict,
    known: Image,
    *,
    down: AbstractSet[int] = frozenset(),
    tables: Tables | None = None,
) -> Compiled:
    network = Network((ETH0,), next_hops={b.address: HOP for b in service.backends})
    health = {
        ("web", backend.name): DOWN if number in down else UP
        for number, backend in enumerate(service.backends)
    }
    facts = Facts(network, health, steps=found)
    settings = Settings(Limits(services=8, backends=16, slots=65536), 42, ())
    state = DesiredState((service,))
    return compile_image(state, facts, settings, known, tables or Tables(), Moment(1))


@given(st.lists(st.integers(1, 9), min_size=2, max_size=2), st.sets(st.just(3)))
def test_a_restart_finds_in_the_ring_how_far_everybody_had_come(two, down) -> None:
    service = checked(replace(web(1, 2, 3, 3), ring_size=4093))
    found = {key(0): two[0], key(1): two[1]}
    image = made(service, found, Image(), down=down).image
    state = DesiredState((service,))

    again = steps(recalled(state, {}, image, 500.0), state, 500.0)

    assert again == found
    assert made(service, again, image, down=down).image == image


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=8),
    st.sets(st.integers(0, 7)),
    st.sampled_from([11, 101, 1009]),
)
def test_a_restart_takes_nobody_for_a_beginner_who_is_none(weights, down, size) -> None:
    service = checked(replace(web(*weights), ring_size=size))
    image = made(service, {}, Image(), down=down).image
    state = DesiredState((service,))

    began = recalled(state, {}, image, 500.0)

    assert set(began.values()) <= {LONG_AGO}
    assert made(service, steps(began, state, 500.0), image, down=down).image == image


def test_weights_that_checks_give_are_none_of_a_slow_start() -> None:
    service = replace(web(1, 9), ring_size=11)
    state = DesiredState((replace(service, backends=web(5, 5).backends),))

    began = recalled(state, {key(0): 1, key(1): 9}, made(service, {}, Image()).image, 5.0)

    assert began == {key(0): LONG_AGO, key(1): LONG_AGO}


def test_who_fails_its_checks_does_not_start() -> None:
    found = {key(0): 1, key(1): 3}

    compiled = made(checked(web(1, 1, 1)), found, Image(), down={0})

    assert compiled.pools["web"].steps == {"b1": 3}


@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=5),
    st.sampled_from([5, 11, 101]),
    st.lists(st.sets(st.integers(0, 4)), max_size=6),
)
def test_whatever_comes_and_goes_all_have_their_whole_weights_in_the_end(
    weights, size, history
) -> None:
    service = checked(replace(web(*weights), ring_size=size))
    state, tables = DesiredState((service,)), Tables()
    began: dict[tuple[str, str], float] = {}
    last = made(service, {}, Image(), down=frozenset(range(5)), tables=tables)

    for number, down in enumerate([*history, *[frozenset[int]()] * 9]):
        now = 40.0 * number
        began = since(began, state, served_by(state, last.services), now)
        last = made(service, steps(began, state, now), last.image, down=down, tables=tables)

    assert steps(began, state, now) == {}
    assert last.services[0].slots == made(service, {}, Image()).services[0].slots


@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=5),
    st.sets(st.integers(2, 4)),
    st.lists(st.integers(1, 10), min_size=2, max_size=2),
)
def test_a_step_moves_only_what_comes_to_stay(weights, down, two) -> None:
    service = checked(replace(web(*weights), ring_size=1009))
    first, second = sorted(two)
    (before,), (after,), (whole,), (without,) = (
        made(service, found, Image(), down=out).image.rings.values()
        for found, out in (
            ({key(0): first}, down),
            ({key(0): second}, down),
            ({}, down),
            ({}, down | {0}),
        )
    )

    moved = owners(before) != owners(after)
    assert (owners(after)[moved] == 1).all()  # the first number is that of b0
    assert (owners(whole)[owners(after) == 1] == 1).all()
    own = owners(whole) == 1
    assert (owners(after)[~own] == owners(whole)[~own]).all()
    assert set(owners(after)[own]) <= {1, *owners(without)[own].tolist()}


def test_each_step_brings_about_a_tenth_and_flows_are_waited_for() -> None:
    service = replace(web(1, 1, 1), ring_size=4093)
    last, shares = made(service, {key(0): 1}, Image()), []
    for step in range(2, STEPS + 1):
        last = made(service, {key(0): step}, last.image)
        (ring,) = last.image.rings.values()
        assert is_in_transition(ring)
        shares.append(last.services[0].slots["b0"] / 1364)

    assert shares == pytest.approx([step / STEPS for step in range(2, 11)], abs=0.03)


def test_a_backend_whose_slots_come_later_says_so_and_begins_once() -> None:
    service = replace(web(9, 1), ring_size=11)
    state = DesiredState((service,))
    reasons = set()
    for step in range(1, STEPS + 1):
        (one,) = (compiled := made(service, {key(1): step}, Image())).services
        assert served_by(state, compiled.services) == {key(0), key(1)}
        reasons.add((one.slots["b1"], one.problems.get("b1")))

    assert reasons == {(0, STARTING), (1, None)}
