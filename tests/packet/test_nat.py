"""NAT: address and port are rewritten in both directions, and every checksum is right."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import TCP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet

from dataplane.records import MODE_NAT, Tag
from tests.packet.balancer import (
    BACKEND_MACS,
    BALANCER_MAC,
    OUT_MAC,
    ROUTER_MAC,
    Balancer,
    Verdict,
)
from tests.packet.families import V4, V6, Family, checksummed

TO_US = Ether(src=ROUTER_MAC, dst=BALANCER_MAC)
FROM_BACKEND = Ether(src=BACKEND_MACS[0], dst=BALANCER_MAC)
TO_BACKEND = Ether(src=BALANCER_MAC, dst=BACKEND_MACS[0])
TO_CLIENT = Ether(src=OUT_MAC, dst=ROUTER_MAC)


def request(family: Family, l4: Packet, *, ttl: int = 64) -> Packet:
    return TO_US / family.ip(family.client, family.vip, ttl=ttl) / l4


def reply(family: Family, l4: Packet, *, to: str | None = None, ttl: int = 64) -> Packet:
    return FROM_BACKEND / family.ip(family.backends[0], to or family.client, ttl=ttl) / l4


def test_a_request_gets_its_backends_address_and_port(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, mode=MODE_NAT, backend_port=8080)

    verdict, sent = balancer.send_bytes(
        bytes(request(family, TCP(sport=5555, dport=80, flags="S") / b"hello"))
    )

    wanted = (
        TO_BACKEND
        / family.ip(family.client, family.backends[0], ttl=63)
        / TCP(sport=5555, dport=8080, flags="S")
        / b"hello"
    )
    assert verdict is Verdict.TX
    assert sent == checksummed(wanted)
    assert set(balancer.reasons()) == {"forwarded_nat"}


def test_a_reply_comes_from_the_vip_and_its_port(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, mode=MODE_NAT, backend_port=8080)

    verdict, sent = balancer.send_bytes(
        bytes(reply(family, TCP(sport=8080, dport=5555, flags="SA") / b"world"))
    )

    wanted = (
        TO_CLIENT
        / family.ip(family.vip, family.client, ttl=63)
        / TCP(sport=80, dport=5555, flags="SA")
        / b"world"
    )
    assert verdict is Verdict.REDIRECT
    assert sent == checksummed(wanted)
    assert set(balancer.reasons()) == {"replied_nat"}


def test_udp_is_translated_both_ways(balancer: Balancer, family: Family) -> None:
    balancer.add_service(family, mode=MODE_NAT, port=53, protocol=17, backend_port=5300)

    _, asked = balancer.send_bytes(bytes(request(family, UDP(sport=999, dport=53) / b"?")))
    _, answered = balancer.send_bytes(
        bytes(reply(family, UDP(sport=5300, dport=999) / b"!"))
    )

    assert asked == checksummed(
        TO_BACKEND
        / family.ip(family.client, family.backends[0], ttl=63)
        / UDP(sport=999, dport=5300)
        / b"?"
    )
    assert answered == checksummed(
        TO_CLIENT
        / family.ip(family.vip, family.client, ttl=63)
        / UDP(sport=53, dport=999)
        / b"!"
    )


def test_vlan_tags_are_kept(balancer: Balancer, family: Family) -> None:
    balancer.add_service(family, mode=MODE_NAT, backend_tags=(Tag(5),))
    tagged = TO_US / Dot1Q(vlan=5) / request(family, TCP(sport=1, dport=80)).payload

    verdict, sent = balancer.send_bytes(bytes(tagged))

    assert verdict is Verdict.TX
    assert sent == checksummed(
        TO_BACKEND
        / Dot1Q(vlan=5)
        / family.ip(family.client, family.backends[0], ttl=63)
        / TCP(sport=1, dport=80)
    )


def test_ipv4_options_stay_where_they_are(balancer: Balancer) -> None:
    balancer.add_service(mode=MODE_NAT)
    options = [b"\x01" * 12]
    packet = TO_US / V4.ip(V4.client, V4.vip, options=options) / TCP(sport=1, dport=80)

    _, sent = balancer.send_bytes(bytes(packet))

    to_backend = V4.ip(V4.client, V4.backends[0], ttl=63, options=options)
    assert sent == checksummed(TO_BACKEND / to_backend / TCP(sport=1, dport=80))


def test_a_udp_checksum_of_0_stays_0(balancer: Balancer) -> None:
    balancer.add_service(mode=MODE_NAT, port=53, protocol=17)

    _, sent = balancer.send(request(V4, UDP(sport=999, dport=53, chksum=0) / b"?"))

    assert sent[UDP].chksum == 0


def test_a_backend_that_meets_itself_by_the_vip_is_a_hairpin(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, mode=MODE_NAT)
    own = FROM_BACKEND / family.ip(family.backends[0], family.vip) / TCP(sport=1, dport=80)

    verdict, _ = balancer.send(own)

    assert verdict is Verdict.DROP
    assert set(balancer.reasons()) == {"hairpin"}


CLIENTS = {
    4: st.integers(0x01000000, 0x7EFFFFFF).map(lambda number: str(IPv4Address(number))),
    6: st.integers(0x2000 << 112, (0x4000 << 112) - 1).map(
        lambda number: str(IPv6Address(number))
    ),
}


@given(
    data=st.data(),
    sport=st.integers(0, 65535),
    payload=st.binary(max_size=64),
    protocol=st.sampled_from([TCP, UDP]),
)
@settings(max_examples=300)
def check_checksums(balancer, family, data, sport, payload, protocol):
    client = data.draw(CLIENTS[family.version])
    l4 = protocol(sport=sport, dport=80) / payload

    verdict, sent = balancer.send_bytes(bytes(TO_US / family.ip(client, family.vip) / l4))

    assert verdict is Verdict.TX
    assert sent == checksummed(Ether(sent))


def test_the_checksums_of_every_packet_are_right(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, mode=MODE_NAT, protocol=6, backend_port=8080)
    balancer.add_service(family, mode=MODE_NAT, protocol=17, backend_port=8080)

    check_checksums(balancer, family)


def test_a_udp_checksum_that_becomes_zero_is_sent_as_all_ones(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, mode=MODE_NAT, port=53, protocol=17)
    header = family.ip(family.client, family.backends[0])
    blank = header / UDP(sport=999, dport=53) / b"\0\0"
    # A word equal to the checksum makes the sum all ones, and its complement zero.
    word = type(header)(bytes(blank))[UDP].chksum.to_bytes(2, "big")
    zero_after = request(family, UDP(sport=999, dport=53) / word)

    _, sent = balancer.send(zero_after)

    assert sent[UDP].chksum == 0xFFFF


@pytest.mark.parametrize("ttl", [0, 1])
def test_a_packet_at_the_end_of_its_ttl_is_dropped(
    balancer: Balancer, family: Family, ttl: int
) -> None:
    balancer.add_service(family, mode=MODE_NAT)

    there = balancer.send(request(family, TCP(sport=1, dport=80), ttl=ttl))
    back = balancer.send(reply(family, TCP(sport=80, dport=1), ttl=ttl))

    assert (there[0], back[0]) == (Verdict.DROP, Verdict.DROP)
    assert balancer.reasons()["ttl_exceeded"].packets == 2


def test_a_reply_to_the_nodes_own_address_is_not_translated(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, mode=MODE_NAT)
    balancer.add_direct(family.own)
    probed = reply(family, TCP(sport=80, dport=40000, flags="SA"), to=family.own)

    verdict, sent = balancer.send_bytes(bytes(probed))

    assert (verdict, sent) == (Verdict.PASS, bytes(probed))
    assert set(balancer.reasons()) == {"reply_direct"}


def test_a_reply_to_a_direct_prefix_is_not_translated(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, mode=MODE_NAT)
    balancer.add_direct(family.clients)

    direct, _ = balancer.send(reply(family, TCP(sport=80, dport=1)))
    translated, _ = balancer.send(reply(family, TCP(sport=80, dport=1), to=family.stranger))

    assert (direct, translated) == (Verdict.PASS, Verdict.PASS)
    assert set(balancer.reasons()) == {"reply_direct", "replied_by_host"}


def test_a_reply_whose_next_hop_is_unknown_is_translated_and_left_to_the_host(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, mode=MODE_NAT, backend_port=8080)
    packet = reply(family, TCP(sport=8080, dport=1, flags="SA"), to=family.stranger)

    verdict, sent = balancer.send_bytes(bytes(packet))

    wanted = (
        FROM_BACKEND
        / family.ip(family.vip, family.stranger)
        / TCP(sport=80, dport=1, flags="SA")
    )
    assert verdict is Verdict.PASS
    assert sent == checksummed(wanted)
    assert set(balancer.reasons()) == {"replied_by_host"}


def test_other_traffic_of_a_nat_backend_is_the_hosts(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, mode=MODE_NAT)
    own = reply(family, TCP(sport=54321, dport=443, flags="S"))

    verdict, sent = balancer.send_bytes(bytes(own))

    assert (verdict, sent) == (Verdict.PASS, bytes(own))
    assert set(balancer.reasons()) == {"not_ours"}


@pytest.mark.parametrize(
    ("shouting", "to"), [(V4, "255.255.255.255"), (V6, "ff02::1")], ids=["IPv4", "IPv6"]
)
def test_a_broadcast_of_a_backend_is_not_taken_for_a_reply(
    balancer: Balancer, shouting: Family, to: str
) -> None:
    balancer.add_service(shouting, mode=MODE_NAT, port=53, protocol=17)
    shout = (
        Ether(src=BACKEND_MACS[0], dst="ff:ff:ff:ff:ff:ff")
        / shouting.ip(shouting.backends[0], to)
        / UDP(sport=53, dport=53)
    )

    verdict, sent = balancer.send_bytes(bytes(shout))

    assert (verdict, sent) == (Verdict.PASS, bytes(shout))
