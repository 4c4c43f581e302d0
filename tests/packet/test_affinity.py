"""Who keeps a flow when its slot changes hands."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.inet6 import ICMPv6TimeExceeded
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from dataplane import libbpf
from dataplane.abi import NO_BACKEND_ID, RECORDS_ONLY
from dataplane.image import Ring
from dataplane.records import (
    AFFINITY_ALWAYS,
    AFFINITY_NONE,
    AFFINITY_TRANSITION,
    HASH_SOURCE,
    MODE_DR,
    MODE_NAT,
    Index,
)
from tests.packet.balancer import (
    BACKEND_MACS,
    BALANCER_MAC,
    ROUTER_MAC,
    Balancer,
    Verdict,
    age,
)
from tests.packet.families import V4, Family

TO_US = Ether(src=ROUTER_MAC, dst=BALANCER_MAC)
OLD, NEW, OTHER = 1, 2, 3  # ids of backends
NOBODY = "nobody"

pytestmark = pytest.mark.usefixtures("records")


@pytest.fixture
def serve(balancer: Balancer, family: Family) -> Callable[..., None]:
    """Return how to make a service of three backends whose one slot is changing hands."""

    def make(now: int, before: int = 0, *, mode: int = MODE_DR, **fields) -> None:
        protocol = fields.pop("protocol", 6)
        if not balancer.image.services:
            balancer.add_service(family, backends=3, protocol=protocol, mode=mode)
        ((endpoint, service),) = balancer.image.services.items()
        ring = Ring.of([now], [before])
        defaults = {"affinity": AFFINITY_TRANSITION, "idle_seconds": 60}
        changed = replace(service, ring_offset=0, ring_size=1, **{**defaults, **fields})
        balancer.become(
            replace(balancer.image, rings={0: ring}, services={endpoint: changed})
        )

    return make


def backend_of(balancer: Balancer, packet: Packet) -> int | str:
    """Return the id of the backend that gets ``packet``."""
    verdict, sent = balancer.send(packet)
    if verdict is Verdict.DROP:
        return NOBODY
    return 1 + BACKEND_MACS.index(sent.dst)


def tcp(family: Family, flags: str, sport: int = 5555, client: str | None = None) -> Packet:
    header = family.ip(client or family.client, family.vip)
    return TO_US / header / TCP(sport=sport, dport=80, flags=flags)


def udp(family: Family, sport: int = 5555) -> Packet:
    return TO_US / family.ip(family.client, family.vip) / UDP(sport=sport, dport=80) / b"?"


def report(family: Family, sport: int) -> Packet:
    """Return an ICMP error about a packet of the VIP's to the client's port ``sport``."""
    quoted = bytes(family.ip(family.vip, family.client) / TCP(sport=80, dport=sport))
    kind = ICMP(type=11) if family.version == 4 else ICMPv6TimeExceeded()
    return TO_US / family.ip(family.router, family.vip) / kind / Raw(quoted)


def test_a_slot_that_is_not_changing_hands_records_nothing(
    balancer: Balancer, family: Family, serve, records: int
) -> None:
    serve(NEW)

    assert [backend_of(balancer, tcp(family, flags)) for flags in ("S", "A", "F")] == [
        2
    ] * 3
    assert list(libbpf.map_items(records)) == []


@pytest.mark.parametrize("mode", [MODE_DR, MODE_NAT], ids=["DR", "NAT"])
def test_an_old_flow_stays_and_a_new_one_goes_to_the_new_owner(
    balancer: Balancer, family: Family, serve, mode: int
) -> None:
    serve(NEW, OLD, mode=mode)

    assert backend_of(balancer, tcp(family, "A", sport=1)) == OLD
    assert backend_of(balancer, tcp(family, "S", sport=2)) == NEW
    assert backend_of(balancer, tcp(family, "A", sport=2)) == NEW
    assert backend_of(balancer, tcp(family, "A", sport=1)) == OLD


@pytest.mark.parametrize("affinity", [AFFINITY_TRANSITION, AFFINITY_ALWAYS])
def test_old_flows_stay_while_nobody_takes_new_ones(
    balancer: Balancer, family: Family, serve, affinity: int
) -> None:
    serve(NEW, OLD)
    backend_of(balancer, tcp(family, "S", sport=2))

    serve(NO_BACKEND_ID, OLD, affinity=affinity)

    assert backend_of(balancer, tcp(family, "A", sport=1)) == OLD
    assert backend_of(balancer, tcp(family, "A", sport=2)) == NEW
    assert backend_of(balancer, tcp(family, "S", sport=3)) == NOBODY


def test_two_changes_within_one_transition_break_neither_generation(
    balancer: Balancer, family: Family, serve
) -> None:
    serve(NEW, OLD)
    backend_of(balancer, tcp(family, "A", sport=1))
    backend_of(balancer, tcp(family, "S", sport=2))

    serve(OTHER, OLD)

    assert backend_of(balancer, tcp(family, "A", sport=1)) == OLD
    assert backend_of(balancer, tcp(family, "A", sport=2)) == NEW
    assert backend_of(balancer, tcp(family, "S", sport=3)) == OTHER
    assert backend_of(balancer, tcp(family, "A", sport=4)) == OLD  # silent so far


def test_a_port_used_again_begins_a_new_flow(
    balancer: Balancer, family: Family, serve
) -> None:
    serve(NEW, OLD)
    assert backend_of(balancer, tcp(family, "A")) == OLD

    assert backend_of(balancer, tcp(family, "S")) == NEW
    assert backend_of(balancer, tcp(family, "A")) == NEW


def test_when_the_window_has_ended_records_still_count_and_other_flows_are_new(
    balancer: Balancer, family: Family, serve
) -> None:
    serve(NEW, OLD)
    backend_of(balancer, tcp(family, "A", sport=1))

    serve(NEW, RECORDS_ONLY)

    assert backend_of(balancer, tcp(family, "A", sport=1)) == OLD
    assert backend_of(balancer, tcp(family, "A", sport=2)) == NEW


def test_udp_stays_with_whom_it_was_as_long_as_that_is_known(
    balancer: Balancer, family: Family, serve
) -> None:
    serve(NEW, OLD, protocol=17)
    assert backend_of(balancer, udp(family, sport=1)) == OLD

    serve(NEW, RECORDS_ONLY)

    assert backend_of(balancer, udp(family, sport=1)) == OLD
    assert backend_of(balancer, udp(family, sport=2)) == NEW


def test_the_flows_of_a_dead_backend_move_at_once(
    balancer: Balancer, family: Family, serve
) -> None:
    serve(NEW, OLD)
    backend_of(balancer, tcp(family, "A", sport=1))
    dead = replace(balancer.image.backends[Index(OLD)], is_down=True)

    balancer.fill(backends={Index(OLD): dead})

    assert backend_of(balancer, tcp(family, "A", sport=1)) == NEW  # its record is replaced
    assert backend_of(balancer, tcp(family, "A", sport=2)) == NEW
    alive = replace(dead, is_down=False)
    balancer.fill(backends={Index(OLD): alive})
    assert backend_of(balancer, tcp(family, "A", sport=1)) == NEW


def test_a_record_does_not_survive_the_backend_that_it_names(
    balancer: Balancer, family: Family, serve
) -> None:
    serve(NEW, OLD)
    backend_of(balancer, tcp(family, "A"))
    old = balancer.image.backends[Index(OLD)]
    stranger = replace(old, address=type(old.address)(family.backends[7]))

    balancer.fill(backends={Index(OLD): stranger})
    serve(NEW, RECORDS_ONLY)

    assert backend_of(balancer, tcp(family, "A")) == NEW


def test_a_flow_that_was_silent_for_too_long_is_forgotten(
    balancer: Balancer, family: Family, serve, records: int
) -> None:
    serve(NEW, OLD, idle_seconds=60)
    backend_of(balancer, tcp(family, "A"))
    serve(NEW, RECORDS_ONLY, idle_seconds=60)

    age(records, seconds=50)
    assert backend_of(balancer, tcp(family, "A")) == OLD  # seen now
    age(records, seconds=50)
    assert backend_of(balancer, tcp(family, "A")) == OLD
    age(records, seconds=70)
    assert backend_of(balancer, tcp(family, "A")) == NEW


@pytest.mark.parametrize("flags", ["R", "RA", "F", "FA", "SF", "FPU", "SA", "", "PU"])
def test_rst_fin_and_odd_flag_mixes_never_create_state(
    balancer: Balancer, family: Family, serve, records: int, flags: str
) -> None:
    serve(NEW, OLD)

    assert backend_of(balancer, tcp(family, flags)) == OLD
    assert list(libbpf.map_items(records)) == []


def test_a_backend_alone_with_its_slots_needs_no_one_before(
    balancer: Balancer, family: Family, serve
) -> None:
    serve(NEW, OLD)
    backends = balancer.image.backends
    balancer.become(
        replace(
            balancer.image, backends={i: b for i, b in backends.items() if i != Index(OLD)}
        )
    )

    assert backend_of(balancer, tcp(family, "A")) == NEW


def test_affinity_always_records_every_flow(
    balancer: Balancer, family: Family, serve
) -> None:
    serve(OLD, affinity=AFFINITY_ALWAYS)
    assert backend_of(balancer, tcp(family, "S", sport=1)) == OLD

    serve(NEW, affinity=AFFINITY_ALWAYS)

    assert backend_of(balancer, tcp(family, "A", sport=1)) == OLD
    assert backend_of(balancer, tcp(family, "A", sport=2)) == NEW


def test_hash_source_sends_all_flows_of_a_client_to_one_backend(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, backends=8, ring_size=1021)
    ((endpoint, service),) = balancer.image.services.items()
    balancer.fill(services={endpoint: replace(service, hash=HASH_SOURCE)})

    met = {backend_of(balancer, tcp(family, "S", sport=sport)) for sport in range(1, 99)}

    assert len(met) == 1


def test_records_of_hash_source_are_kept_by_the_client_alone(
    balancer: Balancer, family: Family, serve
) -> None:
    serve(NEW, OLD, hash=HASH_SOURCE)
    assert backend_of(balancer, tcp(family, "A", sport=1)) == OLD

    serve(NEW, RECORDS_ONLY, hash=HASH_SOURCE)

    assert backend_of(balancer, tcp(family, "A", sport=2)) == OLD
    assert backend_of(balancer, tcp(family, "A", client=family.stranger)) == NEW


def test_flows_of_two_services_are_recorded_apart(balancer: Balancer) -> None:
    balancer.add_service(V4, backends=2, port=80)
    balancer.add_service(V4, backends=2, port=81)
    first, second = balancer.image.services
    in_transition = {
        0: Ring.of([2, 2], [1, 1]),
        2: Ring.of([4, 4], [3, 3]),
    }
    services = {
        endpoint: replace(service, affinity=AFFINITY_TRANSITION, idle_seconds=60)
        for endpoint, service in balancer.image.services.items()
    }
    balancer.become(replace(balancer.image, rings=in_transition, services=services))

    to_vip = TO_US / V4.ip(V4.client, V4.vip)
    met = [
        counted(balancer, to_vip / TCP(dport=endpoint.port, flags=flags))
        for endpoint in (first, second)
        for flags in ("A", "S", "A")
    ]

    assert met == [{1}, {2}, {2}, {3}, {4}, {4}]


def counted(balancer: Balancer, packet: Packet) -> set[int]:
    """Return the ids of the backends that ``packet`` counts for."""
    before = balancer.of_backends()
    balancer.send(packet)
    return {
        id_ for id_, count in balancer.of_backends().items() if count != before.get(id_)
    }


def test_an_icmp_error_follows_the_record_and_writes_none(
    balancer: Balancer, serve, family: Family, records: int
) -> None:
    serve(NEW, OLD)
    backend_of(balancer, tcp(family, "S", sport=2))
    before = list(libbpf.map_items(records))

    assert backend_of(balancer, report(family, sport=2)) == NEW
    assert backend_of(balancer, report(family, sport=1)) == OLD
    assert list(libbpf.map_items(records)) == before


def test_affinity_none_is_a_slot_that_never_has_one_before(
    balancer: Balancer, family: Family, serve
) -> None:
    serve(NEW, affinity=AFFINITY_NONE)

    assert backend_of(balancer, tcp(family, "A")) == NEW


def test_a_second_connection_of_a_client_leaves_its_first_one_where_it_is(
    balancer: Balancer, family: Family, serve
) -> None:
    serve(NEW, OLD, hash=HASH_SOURCE)
    assert backend_of(balancer, tcp(family, "A", sport=1)) == OLD

    assert backend_of(balancer, tcp(family, "S", sport=2)) == OLD
    assert backend_of(balancer, tcp(family, "A", sport=1)) == OLD


def test_an_icmp_error_does_not_keep_a_record_from_being_forgotten(
    balancer: Balancer, family: Family, serve, records: int
) -> None:
    serve(NEW, OLD, idle_seconds=60)
    backend_of(balancer, tcp(family, "A", sport=1))
    serve(NEW, RECORDS_ONLY, idle_seconds=60)

    age(records, seconds=50)
    assert backend_of(balancer, report(family, sport=1)) == OLD
    age(records, seconds=20)

    assert backend_of(balancer, tcp(family, "A", sport=1)) == NEW
