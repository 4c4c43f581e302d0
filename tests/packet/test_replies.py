"""NAT replies whose flow says whose they are, and not their backend alone."""

from dataclasses import replace
from ipaddress import ip_address

import pytest
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from dataplane import libbpf
from dataplane.abi import constants
from dataplane.records import MODE_NAT, Return
from tests.packet.balancer import (
    BACKEND_MACS,
    BALANCER_MAC,
    OUT_MAC,
    ROUTER_MAC,
    Balancer,
    Verdict,
    age,
)
from tests.packet.families import Family, checksummed

ALWAYS = 2**64 - 1
FROM_BACKEND = Ether(src=BACKEND_MACS[0], dst=BALANCER_MAC)
TO_CLIENT = Ether(src=OUT_MAC, dst=ROUTER_MAC)


@pytest.fixture(autouse=True)
def _none_yet(replies: int) -> None:
    """Begin with no flow written down."""


def track(balancer: Balancer, *, until_ns: int) -> None:
    """Have all NAT backends' flows written down."""
    image = balancer.image
    balancer.fill(
        backends={i: replace(b, is_tracked=True) for i, b in image.backends.items()},
        returns={
            place: replace(reply, is_tracked=True, until_ns=until_ns)
            for place, reply in image.returns.items()
        },
    )


def two_services(balancer: Balancer, family: Family) -> None:
    """Let one backend be that of two VIPs; who is unknown speaks for the first."""
    for vip in (family.vip, family.other):
        balancer.add_service(family, vip=vip, mode=MODE_NAT, backend_port=8080)
    first = Return(ip_address(family.vip), 80)
    balancer.fill(returns=dict.fromkeys(balancer.image.returns, first))
    track(balancer, until_ns=ALWAYS)


def tracked_service(balancer: Balancer, family: Family, *, until_ns: int = 0) -> None:
    balancer.add_service(family, mode=MODE_NAT, backend_port=8080)
    track(balancer, until_ns=until_ns)


def request(family: Family, vip: str, *, sport: int = 5555, flags: str = "S") -> Packet:
    return (
        Ether(src=ROUTER_MAC, dst=BALANCER_MAC)
        / family.ip(family.client, vip)
        / TCP(sport=sport, dport=80, flags=flags)
    )


def reply(family: Family, *, dport: int = 5555) -> Packet:
    return (
        FROM_BACKEND
        / family.ip(family.backends[0], family.client)
        / TCP(sport=8080, dport=dport, flags="SA")
    )


def reply_of(family: Family, vip: str, *, dport: int = 5555) -> bytes:
    return checksummed(
        TO_CLIENT
        / family.ip(vip, family.client, ttl=63)
        / TCP(sport=80, dport=dport, flags="SA")
    )


def test_a_backend_of_two_services_answers_each_flow_as_the_vip_that_it_came_by(
    balancer: Balancer, family: Family, replies: int
) -> None:
    two_services(balancer, family)
    balancer.send(request(family, family.vip, sport=1))
    balancer.send(request(family, family.other, sport=2))

    answers = [balancer.send_bytes(bytes(reply(family, dport=port))) for port in (1, 2)]

    assert answers == [
        (Verdict.REDIRECT, reply_of(family, family.vip, dport=1)),
        (Verdict.REDIRECT, reply_of(family, family.other, dport=2)),
    ]
    assert len(list(libbpf.map_items(replies))) == 2


def test_a_port_that_speaks_to_another_vip_now_gets_that_ones_replies(
    balancer: Balancer, family: Family
) -> None:
    two_services(balancer, family)
    balancer.send(request(family, family.vip))
    balancer.send(request(family, family.other))

    _, sent = balancer.send_bytes(bytes(reply(family)))

    assert sent == reply_of(family, family.other)


def test_a_flow_from_before_anything_was_written_down_is_the_first_services(
    balancer: Balancer, family: Family
) -> None:
    two_services(balancer, family)

    _, sent = balancer.send_bytes(bytes(reply(family)))

    assert sent == reply_of(family, family.vip)


def test_a_reply_of_an_unknown_flow_of_a_tracked_service_passes_untouched(
    balancer: Balancer, family: Family
) -> None:
    tracked_service(balancer, family)

    before = balancer.send_bytes(bytes(reply(family)))
    balancer.send(request(family, family.vip))
    after = balancer.send_bytes(bytes(reply(family)))

    assert before == (Verdict.PASS, bytes(reply(family)))
    assert after == (Verdict.REDIRECT, reply_of(family, family.vip))
    assert balancer.reasons()["reply_unknown"].packets == 1


def test_unknown_flows_are_the_services_until_those_from_before_are_over(
    balancer: Balancer, family: Family
) -> None:
    tracked_service(balancer, family, until_ns=ALWAYS)

    _, sent = balancer.send_bytes(bytes(reply(family)))

    assert sent == reply_of(family, family.vip)


def test_a_tracked_flow_that_was_silent_for_too_long_is_unknown(
    balancer: Balancer, family: Family, replies: int
) -> None:
    tracked_service(balancer, family)
    balancer.send(request(family, family.vip))

    age(replies, constants.GW_REPLY_SECONDS - 5)
    kept, _ = balancer.send(reply(family))
    age(replies, constants.GW_REPLY_SECONDS + 5)
    silent, _ = balancer.send(reply(family))

    assert (kept, silent) == (Verdict.REDIRECT, Verdict.PASS)


def test_an_error_about_a_tracked_flow_is_translated_as_its_replies_are(
    balancer: Balancer, family: Family
) -> None:
    two_services(balancer, family)
    balancer.send(request(family, family.other))
    quoted = family.ip(family.client, family.backends[0]) / TCP(sport=5555, dport=8080)
    error = ICMP(type=3, code=3) if family.version == 4 else ICMPv6DestUnreach(code=4)

    verdict, sent = balancer.send(
        FROM_BACKEND / family.ip(family.backends[0], family.client) / error / quoted
    )

    assert verdict is Verdict.REDIRECT
    assert sent.payload.src == family.other
    assert family.backends[0] not in sent.show(dump=True)


def test_a_flow_that_goes_nowhere_is_not_written_down(
    balancer: Balancer, family: Family, replies: int
) -> None:
    tracked_service(balancer, family)
    dying = request(family, family.vip)
    setattr(dying.payload, {4: "ttl", 6: "hlim"}[family.version], 1)

    balancer.send(dying)

    assert list(libbpf.map_items(replies)) == []


def test_udp_is_tracked_as_well(balancer: Balancer, family: Family) -> None:
    balancer.add_service(family, port=53, protocol=17, mode=MODE_NAT)
    track(balancer, until_ns=0)
    question = family.ip(family.client, family.vip) / UDP(sport=7, dport=53) / b"?"
    answer = family.ip(family.backends[0], family.client) / UDP(sport=53, dport=7) / b"!"

    balancer.send(Ether(src=ROUTER_MAC, dst=BALANCER_MAC) / question)
    verdict, _ = balancer.send(FROM_BACKEND / answer)

    assert verdict is Verdict.REDIRECT


@pytest.mark.parametrize("flags", ["R", "RA", "F", "FA", "SF", "FPU", "SA", "", "PU"])
def test_ends_of_connections_and_odd_flags_are_not_written_down(
    balancer: Balancer, family: Family, replies: int, flags: str
) -> None:
    tracked_service(balancer, family)

    verdict, _ = balancer.send(request(family, family.vip, flags=flags))

    assert verdict is Verdict.TX
    assert list(libbpf.map_items(replies)) == []


def test_a_dying_packet_of_an_unknown_flow_passes_untouched_too(
    balancer: Balancer, family: Family
) -> None:
    tracked_service(balancer, family)
    dying = reply(family)
    setattr(dying.payload, {4: "ttl", 6: "hlim"}[family.version], 1)

    assert balancer.send_bytes(bytes(dying)) == (Verdict.PASS, bytes(dying))


def test_a_flow_that_another_cpu_has_just_seen_is_not_taken_for_a_silent_one(
    balancer: Balancer, family: Family, replies: int
) -> None:
    tracked_service(balancer, family)
    balancer.send(request(family, family.vip))
    age(replies, -1)  # its clock is ahead of ours

    verdict, _ = balancer.send(reply(family))

    assert verdict is Verdict.REDIRECT
