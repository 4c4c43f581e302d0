"""Who is suspected by the handshakes of a pool, and who never is."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import ConfigError
from control.health.passive import Finding, Findings, look, suspected
from control.health.suspicion import Suspicion
from control.model import Backend, Mode, Protocol, Service
from control.pool_policy import PoolPolicy
from control.serving import Served
from dataplane.image import Ring
from dataplane.records import Handshakes

LOOK = 1.0  # seconds
NAMES = ("a", "b", "c", "d")
Gained = Mapping[str, Handshakes]


def after(looks: int, gained: Gained, findings: Findings | None = None) -> Findings:
    """Return what is known when so many looks have found the same."""
    known = findings or {}
    for _ in range(looks):
        known = look(known, gained, LOOK)
    return known


def pool(**completed: int) -> Gained:
    """Return a hundred handshakes of each backend, so many of them completed."""
    return {name: Handshakes(100, 0, number) for name, number in completed.items()}


def test_who_completes_far_fewer_than_the_others_is_suspected() -> None:
    known = after(3, pool(a=99, b=98, c=5))

    assert suspected(known) == {"c"}
    assert known["c"].usual == pytest.approx(0.985)


def test_one_look_is_not_enough_since_answers_are_on_their_way() -> None:
    begins = {"a": Handshakes(50, 0, 50), "new": Handshakes(50, 0, 0)}
    goes_on = {"a": Handshakes(50, 0, 50), "new": Handshakes(50, 0, 50)}

    known = after(1, begins)
    assert known["new"].against == 1
    known = after(5, goes_on, known)

    assert suspected(known) == set()
    assert known["new"].against == 0


def test_a_bit_fewer_is_not_far_fewer() -> None:
    assert suspected(after(20, pool(a=100, b=100, c=40))) == set()


def test_a_few_handshakes_say_nothing() -> None:
    few = {"a": Handshakes(1000, 0, 1000), "b": Handshakes(3, 0, 0)}

    assert suspected(after(50, few)) == set()


def test_a_pool_of_which_nobody_answers_suspects_nobody() -> None:
    assert suspected(after(50, pool(a=0, b=0, c=0))) == set()


def test_a_backend_that_is_alone_is_not_suspected() -> None:
    assert suspected(after(50, pool(a=0))) == set()


@pytest.mark.parametrize("backends", range(1, 9))
def test_no_more_than_half_of_a_pool_is_suspected(backends: int) -> None:
    bad = {f"bad{number}": Handshakes(100) for number in range(backends - 1)}

    known = after(50, {**bad, "good": Handshakes(1000, 0, 1000)})

    assert len(suspected(known)) == min(backends // 2, backends - 1)
    assert not known["good"].is_suspected


def test_who_answers_again_is_not_suspected_any_more() -> None:
    known = after(5, pool(a=100, b=0))
    assert suspected(known) == {"b"}

    known = after(5, pool(a=100, b=0), known)
    assert suspected(known) == {"b"}

    # What it failed at before is forgotten by and by.
    known = after(15, pool(a=100, b=100), known)
    assert suspected(known) == set()


def test_between_the_thresholds_everybody_stays_what_he_is() -> None:
    between = pool(a=100, b=50)
    known = after(5, pool(a=100, b=0))

    assert suspected(after(40, between, known)) == {"b"}
    assert suspected(after(40, between)) == set()


def test_who_is_not_heard_of_is_tried_again_after_a_minute() -> None:
    known = after(5, pool(a=100, b=0))
    silent = {"a": Handshakes(100, 0, 100), "b": Handshakes()}

    # What it failed at is still enough to judge by for some seconds.
    assert suspected(after(55, silent, known)) == {"b"}
    assert suspected(after(90, silent, known)) == set()


def test_who_has_left_the_pool_is_forgotten() -> None:
    known = after(5, pool(a=100, b=0))

    assert set(after(1, pool(a=100), known)) == {"a"}


def test_what_is_said_of_a_suspect_names_both_parts() -> None:
    found = Finding(begun=50, completed=6, is_suspected=True, usual=0.98)

    assert str(found) == "is suspected: 12% of its handshakes end, of others' 98%"


@given(
    flood=st.integers(0, 200_000),
    clients=st.integers(0, 5_000),
    answered=st.floats(0, 1),
    weights=st.lists(st.integers(1, 20), min_size=2, max_size=8),
    looks=st.integers(1, 30),
)
def test_a_flood_in_proportion_is_nobodys_fault(
    flood: int, clients: int, answered: float, weights: list[int], looks: int
) -> None:
    """Whatever the weights, and whatever part of the clients' packets arrives."""
    gained = {
        f"b{number}": Handshakes(
            begun=(flood + clients) * weight,
            repeated=clients * weight,
            completed=int(clients * answered) * weight,
        )
        for number, weight in enumerate(weights)
    }

    assert suspected(after(looks, gained)) == set()


@pytest.mark.parametrize("flood", [0, 100, 10_000])
@pytest.mark.parametrize("seed", range(2))
def test_nor_does_the_luck_of_a_quarter_of_an_hour_make_a_suspect(
    flood: int, seed: int
) -> None:
    """A flood falls as the hash has it, and so do clients, a tenth of whom are gone."""
    luck = Random(seed)

    def around(mean: float) -> int:
        return max(0, round(luck.gauss(mean, mean**0.5)))

    known: Findings = {}
    for _ in range(900):
        gained = {}
        for name in NAMES:
            clients = around(20)
            completed = sum(luck.random() < 0.9 for _ in range(clients))
            gained[name] = Handshakes(clients + around(flood), 0, completed)
        known = look(known, gained, LOOK)
        assert suspected(known) == set()


@pytest.mark.parametrize("flood", [0, 100, 10_000])
def test_a_flood_does_not_hide_who_does_not_answer(flood: int) -> None:
    gained = {name: Handshakes(20 + flood, 0, 19) for name in NAMES[1:]}
    gained["dead"] = Handshakes(20 + flood, 0, 0)

    assert suspected(after(10, gained)) == {"dead"}


def served(*names: str, **policy) -> Served:
    """Return a service as it came out, whose backends have ids from 1 on."""
    backends = tuple(
        Backend(name, IPv4Address("10.0.0.1") + number, 80)
        for number, name in enumerate(names)
    )
    vip = IPv4Address("192.0.2.1")
    pool = PoolPolicy(**policy)
    service = Service("web", vip, Protocol.TCP, 80, Mode.DR, backends, pool=pool)
    ids = {name: number for number, name in enumerate(names, 1)}
    return Served(service, 0, Ring(b""), 0, {}, ids, {}, frozenset())


def test_what_is_counted_is_taken_by_its_differences() -> None:
    web = served("a", "b", watch_handshakes=True)
    suspicion = Suspicion()

    for total in (5000, 5100, 5200, 5300):  # the ids were others' before
        counts = {1: Handshakes(total, 0, total), 2: Handshakes(total, 0, 4900)}
        suspicion.look([web], counts, LOOK)

    assert suspicion.suspects() == {("web", "b")}
    finding = suspicion.finding(("web", "b"))
    assert finding
    assert finding.is_suspected
    assert suspicion.every().keys() == {("web", "a"), ("web", "b")}


def test_an_id_that_is_anothers_now_says_nothing_of_before() -> None:
    suspicion = Suspicion()
    counts = {1: Handshakes(100, 0, 100), 2: Handshakes(10, 0, 10)}
    suspicion.look([served("a", "b", watch_handshakes=True)], counts, LOOK)

    suspicion.look([served("b", "a", watch_handshakes=True)], counts, LOOK)

    assert {one.begun for one in suspicion.every().values()} == {0.0}


def test_a_service_that_is_not_watched_any_more_is_forgotten() -> None:
    suspicion = Suspicion()
    for total in (0, 100, 200, 300):
        counts = {1: Handshakes(total, 0, total), 2: Handshakes(total)}
        suspicion.look([served("a", "b", watch_handshakes=True)], counts, LOOK)
    assert suspicion.suspects() == {("web", "b")}

    suspicion.look([served("a", "b")], counts, LOOK)

    assert suspicion.suspects() == frozenset()
    assert suspicion.finding(("web", "b")) is None


def test_udp_has_no_handshakes() -> None:
    web = served("a", watch_handshakes=True).service

    with pytest.raises(ConfigError, match="watch_handshakes goes with protocol tcp only"):
        replace(web, protocol=Protocol.UDP)
