"""A packet that is dropped leaves nothing behind: no record, no fragment, no count."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from scapy.layers.inet import ICMP, UDP
from scapy.layers.inet6 import ICMPv6TimeExceeded, IPv6ExtHdrFragment
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet

from dataplane import libbpf
from dataplane.records import AFFINITY_ALWAYS, MODE_NAT, Counter, Index, Segment, Tag
from tests.packet.balancer import (
    BACKEND_MACS,
    BALANCER_MAC,
    ELSEWHERE,
    LO,
    ROUTER_MAC,
    Balancer,
    Verdict,
    age,
)
from tests.packet.families import Family

PORT, BACKEND_PORT, CLIENT_PORT = 53, 5300, 999
ALWAYS = 2**64 - 1  # ns
TO_US = Ether(src=ROUTER_MAC, dst=BALANCER_MAC)
FROM_BACKEND = Ether(src=BACKEND_MACS[0], dst=BALANCER_MAC)


@pytest.fixture
def remembered(records: int, replies: int, fragments: int) -> Callable[[], list[int]]:
    """Return how to count what is in the maps of records, replies and fragments."""
    maps = records, replies, fragments
    for key, _ in list(libbpf.map_items(fragments)):
        libbpf.map_delete(fragments, key)
    return lambda: [len(list(libbpf.map_items(fd))) for fd in maps]


def serve(balancer: Balancer, family: Family, segment: Segment) -> None:
    """Add a service whose packets leave every trace there is."""
    balancer.add_service(
        family, port=PORT, protocol=17, mode=MODE_NAT, backend_port=BACKEND_PORT
    )
    image = balancer.image
    balancer.fill(
        services={
            end: replace(one, affinity=AFFINITY_ALWAYS, idle_seconds=60)
            for end, one in image.services.items()
        },
        backends={
            index: replace(one, is_tracked=True, segment=segment)
            for index, one in image.backends.items()
        },
        returns={
            end: replace(one, is_tracked=True, until_ns=ALWAYS)
            for end, one in image.returns.items()
        },
    )


def first_fragment(
    family: Family, source: str, dest: str, ports: tuple[int, int], ttl: int = 64
) -> Packet:
    l4 = UDP(sport=ports[0], dport=ports[1]) / (b"x" * 64)
    if family.version == 4:
        return family.ip(source, dest, ttl=ttl, flags="MF") / l4
    return family.ip(source, dest, ttl=ttl) / IPv6ExtHdrFragment(id=7, m=1) / l4


def request(family: Family, *, source: str | None = None, ttl: int = 64) -> Packet:
    ports = CLIENT_PORT, PORT
    return first_fragment(family, source or family.client, family.vip, ports, ttl)


def time_exceeded(family: Family) -> Packet:
    return ICMP(type=11) if family.version == 4 else ICMPv6TimeExceeded()


def run(balancer: Balancer, packet: Packet) -> Verdict:
    return balancer.send_bytes(bytes(packet))[0]


DROPS: dict[str, tuple[Segment, Callable[[Family], Packet]]] = {
    "ttl_exceeded": (Segment(LO), lambda of: TO_US / request(of, ttl=1)),
    "hairpin": (Segment(LO), lambda of: TO_US / request(of, source=of.backends[0])),
    "foreign_vlan": (Segment(LO), lambda of: TO_US / Dot1Q(vlan=9) / request(of)),
    "no_headroom": (Segment(LO, (Tag(5),)), lambda of: TO_US / request(of)),
    "port_gone": (Segment(ELSEWHERE), lambda of: TO_US / request(of)),
}


@pytest.mark.parametrize("reason", DROPS)
def test_a_request_that_is_dropped_leaves_no_trace_and_is_nobodys(
    balancer: Balancer, family: Family, remembered: Callable[[], list[int]], reason: str
) -> None:
    segment, build = DROPS[reason]
    serve(balancer, family, segment)
    packet = build(family)

    if reason == "no_headroom":
        assert balancer.send_without_room(bytes(packet)) is Verdict.DROP
    else:
        assert run(balancer, packet) is Verdict.DROP

    assert set(balancer.reasons()) == {reason}
    assert remembered() == [0, 0, 0]
    assert (balancer.of_services(), balancer.of_backends()) == ({}, {})


def test_a_request_that_gets_out_leaves_every_trace(
    balancer: Balancer, family: Family, remembered: Callable[[], list[int]]
) -> None:
    serve(balancer, family, Segment(LO))
    packet = TO_US / request(family)

    assert run(balancer, packet) is Verdict.TX

    assert remembered() == [1, 1, 1]
    assert balancer.of_services() == {0: Counter(1, len(packet))}
    assert balancer.of_backends() == {1: Counter(1, len(packet))}


@pytest.mark.parametrize("reason", ["ttl_exceeded", "foreign_vlan"])
def test_a_reply_that_is_dropped_is_not_remembered(
    balancer: Balancer, family: Family, remembered: Callable[[], list[int]], reason: str
) -> None:
    serve(balancer, family, Segment(LO))
    ports = BACKEND_PORT, CLIENT_PORT
    ttl = 1 if reason == "ttl_exceeded" else 64
    tag = Dot1Q(vlan=9 if reason == "foreign_vlan" else 0)
    backend = family.backends[0]

    reply = first_fragment(family, backend, family.client, ports, ttl)
    assert run(balancer, FROM_BACKEND / tag / reply) is Verdict.DROP

    assert set(balancer.reasons()) == {reason}
    assert remembered() == [0, 0, 0]


@pytest.mark.parametrize("name", ["records", "replies"])
def test_what_is_dropped_keeps_no_trace_alive(
    balancer: Balancer, family: Family, name: str, records: int, replies: int
) -> None:
    serve(balancer, family, Segment(LO))
    run(balancer, TO_US / request(family))
    memory = records if name == "records" else replies
    age(memory, seconds=10)
    before = list(libbpf.map_items(memory))

    ports = BACKEND_PORT, CLIENT_PORT
    reply = first_fragment(family, family.backends[0], family.client, ports, ttl=1)
    for packet in (TO_US / request(family, ttl=1), FROM_BACKEND / reply):
        assert run(balancer, packet) is Verdict.DROP
    assert list(libbpf.map_items(memory)) == before

    run(balancer, TO_US / request(family))
    assert list(libbpf.map_items(memory)) != before


def test_an_error_about_a_flow_keeps_nothing_alive_that_is_known_of_it(
    balancer: Balancer, family: Family, replies: int
) -> None:
    serve(balancer, family, Segment(LO))
    run(balancer, TO_US / request(family))
    age(replies, seconds=10)
    before = list(libbpf.map_items(replies))

    seen = first_fragment(
        family, family.client, family.backends[0], (CLIENT_PORT, BACKEND_PORT)
    )
    report = family.ip(family.router, family.client) / time_exceeded(family) / bytes(seen)
    assert run(balancer, FROM_BACKEND / report) is Verdict.REDIRECT

    assert set(balancer.reasons()) == {"forwarded_nat", "icmp_replied"}
    assert list(libbpf.map_items(replies)) == before


@pytest.mark.parametrize("whose", ["another service's", "another port's"])
def test_later_fragments_do_not_follow_a_number_that_is_anothers_by_now(
    balancer: Balancer, family: Family, whose: str
) -> None:
    serve(balancer, family, Segment(LO))
    run(balancer, TO_US / request(family))
    later = request(family)
    if family.version == 4:
        later.flags, later.frag = 0, 9
    else:
        later[IPv6ExtHdrFragment].m, later[IPv6ExtHdrFragment].offset = 0, 9
    assert run(balancer, TO_US / later) is Verdict.TX

    old = balancer.image.backends[Index(1)]
    changed = {"service_id": 7} if whose == "another service's" else {"port": 77}
    balancer.fill(backends={Index(1): replace(old, **changed)})

    assert run(balancer, TO_US / later) is Verdict.DROP
    assert balancer.reasons()["no_backend"].packets == 1
