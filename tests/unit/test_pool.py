"""Who of a pool serves, by its policy."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.desired import DesiredState
from control.errors import ConfigError
from control.model import Backend, Mode, Protocol, Service
from control.pool import Condition, Memory, Pool, decide
from control.pool_policy import PoolPolicy, SorryServer, WhenAllDown

UP, DOWN, OUT, UNKNOWN = (
    Condition.UP,
    Condition.FAILING,
    Condition.OUT,
    Condition.UNKNOWN,
)
SORRY = SorryServer(IPv4Address("10.0.0.250"), 80)
NOTHING = Memory()
LOST = Memory(lost=True)


def web(*weights: int, **policy) -> Service:
    """Return a service of backends b0, b1 … of these weights."""
    backends = tuple(
        Backend(f"b{number}", IPv4Address("10.0.0.1") + number, 80, weight)
        for number, weight in enumerate(weights)
    )
    vip = IPv4Address("192.0.2.1")
    return Service(
        "web", vip, Protocol.TCP, 80, Mode.DR, backends, pool=PoolPolicy(**policy)
    )


def decided(service: Service, *conditions: Condition, memory=NOTHING, reached=True) -> Pool:
    named = {b.name: c for b, c in zip(service.backends, conditions, strict=True)}
    reached = reached and service.sorry is not None
    return decide(service, named, memory, sorry_is_reached=reached)


@pytest.mark.parametrize(
    ("live", "was_lost", "quorum"),
    [
        pytest.param(5, False, True, id="all are up"),
        pytest.param(2, False, True, id="at the lower threshold it is not lost"),
        pytest.param(1, False, False, id="below it, it is"),
        pytest.param(0, False, False, id="nobody is up"),
        pytest.param(3, True, False, id="what would not lose it does not gain it"),
        pytest.param(4, True, True, id="at the upper threshold it is there again"),
    ],
)
def test_a_quorum_has_two_thresholds(live: int, was_lost: bool, quorum: bool) -> None:
    service = web(1, 1, 1, 1, 1, quorum=3, hysteresis=1, sorry_server=SORRY)
    conditions = [UP] * live + [DOWN] * (5 - live)

    pool = decided(service, *conditions, memory=Memory(lost=was_lost))

    assert pool == Pool(live, quorum, sorry=not quorum, has_sorry=True)


def test_it_is_weight_that_makes_a_quorum() -> None:
    service = web(5, 1, quorum=4, sorry_server=SORRY)

    assert decided(service, UP, DOWN).quorum
    assert not decided(service, DOWN, UP).quorum


def test_whom_nobody_has_asked_yet_neither_loses_a_quorum_nor_gains_it() -> None:
    service = web(1, 1, quorum=2, sorry_server=SORRY)

    assert decided(service, UP, UNKNOWN).quorum
    assert not decided(service, UP, UNKNOWN, memory=LOST).quorum
    assert not decided(service, DOWN, UNKNOWN).quorum


def test_without_a_sorry_server_those_who_are_up_serve_on() -> None:
    pool = decided(web(1, 1, quorum=2), UP, DOWN)

    assert pool == Pool(1, quorum=False)


def test_a_sorry_server_without_a_way_to_it_takes_nothing_from_those_who_are_up() -> None:
    service = web(1, 1, quorum=2, sorry_server=SORRY)

    pool = decided(service, UP, DOWN, reached=False)

    assert pool == Pool(1, quorum=False, has_sorry=True)


@pytest.mark.parametrize(
    ("when", "served", "kept"),
    [
        (WhenAllDown.SORRY, {"b0"}, set()),
        (WhenAllDown.NONE, {"b0"}, set()),
        (WhenAllDown.ALL, set(), {"b0", "b1"}),
        (WhenAllDown.LAST_KNOWN, {"b1"}, {"b1"}),
        (WhenAllDown.LAST_KNOWN, set(), set()),
        (WhenAllDown.LAST_KNOWN, {"b2"}, set()),  # there is no way to it any more
    ],
)
def test_when_all_are_down_the_policy_says_who_serves(when, served, kept) -> None:
    service = web(1, 1, 1, when_all_down=when)

    pool = decided(service, DOWN, DOWN, OUT, memory=Memory(served=served))

    assert pool.kept == dict.fromkeys(kept, f"when_all_down: {when}")


def test_all_of_them_come_before_the_sorry_server_if_that_is_wanted() -> None:
    service = web(1, 1, quorum=2, sorry_server=SORRY, when_all_down=WhenAllDown.ALL)

    some, none = decided(service, UP, DOWN), decided(service, DOWN, DOWN)

    assert some.sorry
    assert not none.sorry
    assert none.kept.keys() == {"b0", "b1"}


conditions = st.lists(st.sampled_from(Condition), min_size=1, max_size=12)


@given(conditions, st.floats(0, 1), st.randoms())
def test_checks_never_take_out_more_than_they_may(found, share, random) -> None:
    service = web(*[1] * len(found), max_ejected=share)

    pool = decided(service, *found)

    out = found.count(OUT) + found.count(DOWN) - len(pool.kept)
    assert out <= max(share * len(found) + 1e-6, found.count(OUT))
    # What is given to keep, is kept: not one more serves than has to.
    assert not pool.kept or out + 1 > share * len(found)
    shuffled = list(zip(service.backends, found, strict=True))
    random.shuffle(shuffled)
    other = replace(service, backends=tuple(backend for backend, _ in shuffled))
    assert decided(other, *(one for _, one in shuffled)).kept == pool.kept


@given(
    st.integers(1, 20).flatmap(lambda q: st.tuples(st.just(q), st.integers(0, q - 1))),
    st.lists(st.integers(0, 40), min_size=1),
)
def test_a_quorum_does_not_flap_between_its_thresholds(policy, lives) -> None:
    quorum, hysteresis = policy
    lost, changes, crossed = False, 0, 0
    low, high = quorum - hysteresis, quorum + hysteresis
    for live in lives:
        service = web(live, 1, quorum=quorum, hysteresis=hysteresis)

        pool = decided(service, UP if live else DOWN, DOWN, memory=Memory(lost=lost))

        if pool.quorum == lost:
            changes += 1
            crossed += live >= high if lost else live < low
        lost = not pool.quorum
    assert changes == crossed


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        ({"quorum": 0}, "quorum 0 is not in 1…4294967295"),
        ({"quorum": 2, "hysteresis": 2}, "hysteresis 2 is not in 0…1"),
        ({"slow_start": 3601.0}, "slow_start 3601 is not in 0…3600 seconds"),
        ({"max_ejected": 1.5}, "max_ejected 1.5 is not in 0…1"),
        ({"max_ejected": float("nan")}, "max_ejected nan is not in 0…1"),
        (
            {"sorry_server": SORRY, "when_all_down": WhenAllDown.NONE},
            "none contradicts the sorry server",
        ),
        (
            {"sorry_server": replace(SORRY, port=81)},
            "sorry server: port 81 differs from the service's 80, and DR",
        ),
        (
            {"sorry_server": SorryServer(IPv4Address("10.0.0.1"), 80)},
            "sorry server: backend 'sorry' has the address 10.0.0.1:80",
        ),
        (
            {"sorry_server": SorryServer(IPv4Address("127.0.0.1"), 80)},
            "127.0.0.1 is not an address that a host can have",
        ),
    ],
)
def test_a_policy_that_cannot_be_is_refused(policy, problem) -> None:
    with pytest.raises(ConfigError) as refused:
        web(1, 1, **policy)

    assert problem in str(refused.value)
    assert (refused.value.field or "").startswith("pool.")


def test_a_sorry_server_that_is_a_vip_is_refused() -> None:
    other = replace(web(), name="other", vip=SORRY.address)

    with pytest.raises(ConfigError, match="a VIP is not forwarded to another one"):
        DesiredState((web(1, sorry_server=SORRY), other))
