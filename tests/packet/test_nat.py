"""NAT: address and port are rewritten in both directions, and every checksum is right."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from dataplane.records import MODE_NAT
from tests.packet.balancer import (
    BACKEND_MACS,
    BACKENDS,
    BALANCER_MAC,
    CLIENT,
    OUT_MAC,
    OWN_ADDRESS,
    ROUTER_MAC,
    STRANGER,
    VIP,
    Balancer,
    Verdict,
)

TO_US = Ether(src=ROUTER_MAC, dst=BALANCER_MAC)
FROM_BACKEND = Ether(src=BACKEND_MACS[0], dst=BALANCER_MAC)


def request(l4: Packet, *, ttl: int = 64) -> Packet:
    return TO_US / IP(src=CLIENT, dst=VIP, ttl=ttl, id=7) / l4


def reply(l4: Packet, *, to: str = CLIENT, ttl: int = 64) -> Packet:
    return FROM_BACKEND / IP(src=BACKENDS[0], dst=to, ttl=ttl, id=8) / l4


def checksummed(packet: Packet) -> bytes:
    """Return the bytes of ``packet`` with all checksums computed from nothing."""
    fresh = packet.copy()
    for layer in (IP, TCP, UDP):
        if layer in fresh:
            del fresh[layer].chksum
    return bytes(fresh)


def test_a_request_gets_its_backends_address_and_port(balancer: Balancer) -> None:
    balancer.add_service(mode=MODE_NAT, backend_port=8080)

    verdict, sent = balancer.send_bytes(
        bytes(request(TCP(sport=5555, dport=80, flags="S") / b"hello"))
    )

    wanted = (
        Ether(src=BALANCER_MAC, dst=BACKEND_MACS[0])
        / IP(src=CLIENT, dst=BACKENDS[0], ttl=63, id=7)
        / TCP(sport=5555, dport=8080, flags="S")
        / b"hello"
    )
    assert verdict is Verdict.TX
    assert sent == checksummed(wanted)
    assert set(balancer.reasons()) == {"forwarded_nat"}


def test_a_reply_comes_from_the_vip_and_its_port(balancer: Balancer) -> None:
    balancer.add_service(mode=MODE_NAT, backend_port=8080)

    verdict, sent = balancer.send_bytes(
        bytes(reply(TCP(sport=8080, dport=5555, flags="SA") / b"world"))
    )

    wanted = (
        Ether(src=OUT_MAC, dst=ROUTER_MAC)
        / IP(src=VIP, dst=CLIENT, ttl=63, id=8)
        / TCP(sport=80, dport=5555, flags="SA")
        / b"world"
    )
    assert verdict is Verdict.REDIRECT
    assert sent == checksummed(wanted)
    assert set(balancer.reasons()) == {"replied_nat"}


def test_udp_is_translated_both_ways(balancer: Balancer) -> None:
    balancer.add_service(mode=MODE_NAT, port=53, protocol=17, backend_port=5300)

    _, asked = balancer.send_bytes(bytes(request(UDP(sport=999, dport=53) / b"?")))
    _, answered = balancer.send_bytes(bytes(reply(UDP(sport=5300, dport=999) / b"!")))

    assert asked == checksummed(
        Ether(src=BALANCER_MAC, dst=BACKEND_MACS[0])
        / IP(src=CLIENT, dst=BACKENDS[0], ttl=63, id=7)
        / UDP(sport=999, dport=5300)
        / b"?"
    )
    assert answered == checksummed(
        Ether(src=OUT_MAC, dst=ROUTER_MAC)
        / IP(src=VIP, dst=CLIENT, ttl=63, id=8)
        / UDP(sport=53, dport=999)
        / b"!"
    )


def test_udp_without_a_checksum_stays_without(balancer: Balancer) -> None:
    balancer.add_service(mode=MODE_NAT, port=53, protocol=17)

    _, sent = balancer.send(request(UDP(sport=999, dport=53, chksum=0) / b"?"))

    assert sent[UDP].chksum == 0


@given(
    client=st.integers(0x01000000, 0xDFFFFFFF),
    sport=st.integers(0, 65535),
    payload=st.binary(max_size=64),
    tos=st.integers(0, 255),
    protocol=st.sampled_from([TCP, UDP]),
)
@settings(max_examples=300, deadline=None)
def check_checksums(balancer, client, sport, payload, tos, protocol):
    l4 = protocol(sport=sport, dport=80) / payload
    packet = TO_US / IP(src=str(IPv4Address(client)), dst=VIP, tos=tos) / l4

    verdict, sent = balancer.send_bytes(bytes(packet))

    assert verdict is Verdict.TX
    assert sent == checksummed(Ether(sent))


def test_the_checksums_of_every_packet_are_right(balancer: Balancer) -> None:
    balancer.add_service(mode=MODE_NAT, protocol=6, backend_port=8080)
    balancer.add_service(mode=MODE_NAT, protocol=17, backend_port=8080)

    check_checksums(balancer)


def test_a_udp_checksum_that_becomes_zero_is_sent_as_all_ones(balancer: Balancer) -> None:
    balancer.add_service(mode=MODE_NAT, port=53, protocol=17)
    blank = IP(src=CLIENT, dst=BACKENDS[0]) / UDP(sport=999, dport=53) / b"\0\0"
    # A word equal to the checksum makes the sum all ones, and its complement zero.
    word = IP(bytes(blank))[UDP].chksum.to_bytes(2, "big")
    zero_after = request(UDP(sport=999, dport=53) / word)

    _, sent = balancer.send(zero_after)

    assert sent[UDP].chksum == 0xFFFF


@pytest.mark.parametrize("ttl", [0, 1])
def test_a_packet_at_the_end_of_its_time_is_dropped(balancer: Balancer, ttl: int) -> None:
    balancer.add_service(mode=MODE_NAT)

    there = balancer.send(request(TCP(sport=1, dport=80), ttl=ttl))
    back = balancer.send(reply(TCP(sport=80, dport=1), ttl=ttl))

    assert (there[0], back[0]) == (Verdict.DROP, Verdict.DROP)
    assert balancer.reasons()["ttl_exceeded"].packets == 2


def test_a_reply_to_the_node_itself_is_not_translated(balancer: Balancer) -> None:
    balancer.add_service(mode=MODE_NAT)
    balancer.add_direct(f"{OWN_ADDRESS}/32")
    probed = reply(TCP(sport=80, dport=40000, flags="SA"), to=OWN_ADDRESS)

    verdict, sent = balancer.send_bytes(bytes(probed))

    assert (verdict, sent) == (Verdict.PASS, bytes(probed))
    assert set(balancer.reasons()) == {"reply_direct"}


def test_a_reply_to_a_direct_prefix_is_not_translated(balancer: Balancer) -> None:
    balancer.add_service(mode=MODE_NAT)
    balancer.add_direct("192.0.2.0/28")

    direct, _ = balancer.send(reply(TCP(sport=80, dport=1), to=CLIENT))
    translated, _ = balancer.send(reply(TCP(sport=80, dport=1), to=STRANGER))

    assert (direct, translated) == (Verdict.PASS, Verdict.PASS)
    assert set(balancer.reasons()) == {"reply_direct", "replied_by_host"}


def test_a_reply_whose_next_hop_is_unknown_is_translated_and_left_to_the_host(
    balancer: Balancer,
) -> None:
    balancer.add_service(mode=MODE_NAT, backend_port=8080)
    packet = reply(TCP(sport=8080, dport=1, flags="SA"), to=STRANGER)

    verdict, sent = balancer.send_bytes(bytes(packet))

    wanted = (
        FROM_BACKEND / IP(src=VIP, dst=STRANGER, id=8) / TCP(sport=80, dport=1, flags="SA")
    )
    assert verdict is Verdict.PASS
    assert sent == checksummed(wanted)
    assert set(balancer.reasons()) == {"replied_by_host"}


def test_other_traffic_of_a_backend_is_the_hosts(balancer: Balancer) -> None:
    balancer.add_service(mode=MODE_NAT)
    own = reply(TCP(sport=54321, dport=443, flags="S"))

    verdict, sent = balancer.send_bytes(bytes(own))

    assert (verdict, sent) == (Verdict.PASS, bytes(own))
    assert set(balancer.reasons()) == {"not_ours"}


def test_a_broadcast_of_a_backend_is_not_taken_for_a_reply(balancer: Balancer) -> None:
    balancer.add_service(mode=MODE_NAT, port=53, protocol=17)
    shout = (
        Ether(src=BACKEND_MACS[0], dst="ff:ff:ff:ff:ff:ff")
        / IP(src=BACKENDS[0], dst="255.255.255.255")
        / UDP(sport=53, dport=53)
    )

    verdict, sent = balancer.send_bytes(bytes(shout))

    assert (verdict, sent) == (Verdict.PASS, bytes(shout))
