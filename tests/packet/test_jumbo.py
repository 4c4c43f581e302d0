"""Jumbo frames: what is behind the first 3,520 bytes lies in further buffers here, too."""

import pytest
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet

from dataplane.records import MODE_DR, MODE_NAT, Counter, Tag
from tests.packet.balancer import BACKEND_MACS, BALANCER_MAC, ROUTER_MAC, Balancer, Verdict
from tests.packet.families import Family, checksummed

TO_US = Ether(src=ROUTER_MAC, dst=BALANCER_MAC)
TO_BACKEND = Ether(src=BALANCER_MAC, dst=BACKEND_MACS[0])
FROM_BACKEND = Ether(src=BACKEND_MACS[0], dst=BALANCER_MAC)
PAYLOAD = bytes(range(250)) * 35  # bytes; with headers it is more than two pages
L4 = {"TCP": (6, TCP), "UDP": (17, UDP)}
MORE_THAN_ONE_BUFFER = [3600, 4200, 8000]


@pytest.mark.parametrize("l4", L4)
def test_dr_leaves_all_buffers_of_a_frame_as_they_are(
    balancer: Balancer, family: Family, l4: str
) -> None:
    protocol, layer = L4[l4]
    balancer.add_service(family, protocol=protocol)
    flow = family.ip(family.client, family.vip) / layer(sport=5555, dport=80) / PAYLOAD

    result = balancer.send_bytes(bytes(TO_US / flow))

    assert result == (Verdict.TX, bytes(TO_BACKEND / flow))
    counted = Counter(1, len(TO_US / flow), 1 if l4 == "TCP" else 0)
    assert balancer.reasons() == {"forwarded_dr": counted}
    assert balancer.of_services() == {0: counted}
    assert balancer.of_backends() == {1: counted}


@pytest.mark.parametrize("l4", L4)
def test_nat_mends_the_checksum_over_all_buffers_in_both_directions(
    balancer: Balancer, family: Family, l4: str
) -> None:
    protocol, layer = L4[l4]
    balancer.add_service(family, protocol=protocol, mode=MODE_NAT, backend_port=8080)
    backend = family.backends[0]

    def packet(source: str, dest: str, sport: int, dport: int, ttl: int = 64) -> Packet:
        header = family.ip(source, dest, ttl=ttl)
        return header / layer(sport=sport, dport=dport) / PAYLOAD

    there = TO_US / packet(family.client, family.vip, 5555, 80)
    back = FROM_BACKEND / packet(backend, family.client, 8080, 5555)
    sent, answered = (balancer.send_bytes(bytes(one)) for one in (there, back))

    translated = TO_BACKEND / packet(family.client, backend, 5555, 8080, ttl=63)
    assert sent == (Verdict.TX, checksummed(translated))
    # Larger than the client's network allows: the host says so, or cuts it up.
    shown = FROM_BACKEND / packet(family.vip, family.client, 80, 5555)
    assert answered == (Verdict.PASS, checksummed(shown))
    assert set(balancer.reasons()) == {"forwarded_nat", "replied_by_host"}


def test_a_jumbo_frame_gets_the_tag_of_its_backend(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, backend_tags=(Tag(5),))
    flow = family.ip(family.client, family.vip) / TCP(sport=5555, dport=80) / PAYLOAD

    result = balancer.send_bytes(bytes(TO_US / flow))

    assert result == (Verdict.TX, bytes(TO_BACKEND / Dot1Q(vlan=5) / flow))


@pytest.mark.parametrize("mode", [MODE_DR, MODE_NAT], ids=["DR", "NAT"])
@pytest.mark.parametrize("length", MORE_THAN_ONE_BUFFER)
def test_a_jumbo_frame_cut_short_is_malformed(
    balancer: Balancer, family: Family, mode: int, length: int
) -> None:
    balancer.add_service(family, mode=mode)
    flow = family.ip(family.client, family.vip) / TCP(sport=5555, dport=80) / PAYLOAD

    verdict, _ = balancer.send_bytes(bytes(TO_US / flow)[:length])

    assert verdict is Verdict.DROP
    assert balancer.reasons() == {"malformed": Counter(1, length)}


def test_a_large_ping_is_answered_with_all_that_it_carries(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family)

    def echo(kind: int) -> Packet:
        if family.version == 4:
            return ICMP(type=8 * kind, id=5, seq=9) / PAYLOAD
        message = ICMPv6EchoRequest if kind else ICMPv6EchoReply
        return message(id=5, seq=9, data=PAYLOAD)

    result = balancer.send_bytes(
        bytes(TO_US / family.ip(family.client, family.vip) / echo(1))
    )

    back = Ether(src=BALANCER_MAC, dst=ROUTER_MAC)
    pong = back / family.ip(family.vip, family.client) / echo(0)
    assert result == (Verdict.TX, checksummed(pong))
