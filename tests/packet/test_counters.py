"""Everything is counted, once."""

from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6ExtHdrFragment
from scapy.layers.l2 import Dot1Q, Ether

from dataplane.records import MODE_NAT, Counter
from tests.packet.balancer import BALANCER_MAC, ROUTER_MAC, Balancer, Verdict
from tests.packet.families import V4, V6

TO_US = Ether(src=ROUTER_MAC, dst=BALANCER_MAC)
V4_ANSWER = V4.ip(V4.vip, V4.client) / UDP(sport=53, dport=5555) / b"answer"
V6_ANSWER = V6.ip(V6.vip, V6.client) / UDP(sport=53, dport=5555) / b"answer"
SYN = (
    Ether(src=ROUTER_MAC, dst=BALANCER_MAC)
    / IP(src=V4.client, dst=V4.vip)
    / TCP(sport=5555, dport=80, flags="S")
)


def test_a_forwarded_packet_counts_for_its_service_and_its_backend(
    balancer: Balancer,
) -> None:
    balancer.add_service()

    balancer.send(SYN)
    balancer.send(SYN / b"12345")

    both = Counter(2, 2 * len(SYN) + 5, 2)
    assert balancer.reasons() == {"forwarded_dr": both}
    assert balancer.of_services() == {0: both}
    assert balancer.of_backends() == {1: both}


def test_a_dropped_packet_counts_for_nobody(balancer: Balancer) -> None:
    balancer.add_service(mode=MODE_NAT)
    dying = SYN.copy()
    dying[IP].ttl = 1

    balancer.send(dying)

    assert (balancer.of_services(), balancer.of_backends()) == ({}, {})


def test_an_id_with_a_new_owner_starts_from_zero(balancer: Balancer) -> None:
    balancer.add_service()
    balancer.send(SYN)
    balancer.clear()
    balancer.start()

    balancer.add_service(port=443)

    assert (balancer.of_services(), balancer.of_backends()) == ({}, {})


@given(
    start=st.sampled_from(
        [
            bytes(SYN),
            bytes(SYN / b"data"),
            bytes(TO_US / V4.ip(V4.client, V4.vip) / UDP(dport=53) / b"q"),
            bytes(TO_US / V6.ip(V6.client, V6.vip) / UDP(dport=53) / b"q"),
            bytes(TO_US / Dot1Q(vlan=5) / V6.ip(V6.client, V6.vip) / TCP(dport=80)),
            bytes(
                TO_US / V6.ip(V6.client, V6.vip) / IPv6ExtHdrFragment(m=1) / TCP(dport=80)
            ),
            bytes(TO_US / V4.ip(V4.client, V4.vip) / ICMP()),
            bytes(TO_US / V4.ip(V4.router, V4.vip) / ICMP(type=3) / V4_ANSWER),
            bytes(TO_US / V6.ip(V6.router, V6.vip) / ICMPv6PacketTooBig() / V6_ANSWER),
        ]
    ),
    places=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=4),
    length=st.integers(14, 140),
)
@settings(max_examples=2000)
def check_mutant(balancer, start, places, length):
    """No matter what comes in: a verdict, a reason, and nothing aborted."""
    packet = bytearray(start[:length].ljust(14, b"\0"))
    for place, byte in places:
        if place < len(packet):
            packet[place] = byte
    before = sum(counter.packets for counter in balancer.reasons().values())

    verdict, sent = balancer.send_bytes(bytes(packet))

    assert verdict is not Verdict.ABORTED
    assert len(sent) == len(packet)
    assert sum(counter.packets for counter in balancer.reasons().values()) == before + 1


def test_the_reasons_add_up_to_the_packets_seen(balancer: Balancer) -> None:
    for family in (V4, V6):
        balancer.add_service(family)
        balancer.add_service(family, port=53, protocol=17, mode=MODE_NAT)

    check_mutant(balancer)
