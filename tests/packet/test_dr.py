"""Direct return: the MAC is rewritten and nothing else; and whose packets are not ours."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6ND_NS,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

from dataplane.records import MODE_DR, MODE_NAT, SERVICE_VLAN, Counter, Tag
from tests.packet.balancer import (
    BACKEND_MACS,
    BALANCER_MAC,
    ELSEWHERE,
    OUT,
    OUT_MAC,
    ROUTER_MAC,
    Balancer,
    Verdict,
)
from tests.packet.families import V4, V6, Family

TO_US = Ether(src=ROUTER_MAC, dst=BALANCER_MAC)
VLANS = {
    "one VLAN tag (802.1Q)": (Dot1Q(vlan=5, prio=3), (Tag(5),)),
    "two VLAN tags (802.1ad)": (
        Dot1AD(vlan=7) / Dot1Q(vlan=5),
        (Tag(7, SERVICE_VLAN), Tag(5)),
    ),
}


def to_vip(family: Family, **fields) -> Packet:
    """Return the headers of a packet to the VIP, at the last hop of its life."""
    return TO_US / family.ip(family.client, family.vip, ttl=1, **fields)


def syn(family: Family) -> Packet:
    return to_vip(family) / TCP(sport=5555, dport=80, flags="S")


def to_backend(packet: Packet, number: int = 0) -> bytes:
    """Return ``packet`` as the backend should get it."""
    wanted = packet.copy()
    wanted[Ether].src, wanted[Ether].dst = BALANCER_MAC, BACKEND_MACS[number]
    return bytes(wanted)


FORWARDED: dict[str, Callable[[Family], Packet]] = {
    "syn": syn,
    "data": lambda f: to_vip(f) / TCP(sport=1, dport=80, flags="A") / b"GET /",
    "SYN+ACK": lambda f: to_vip(f) / TCP(sport=1, dport=80, flags="SA"),
    "Christmas tree": lambda f: to_vip(f) / TCP(sport=1, dport=80, flags="FPU"),
    "RST from port zero": lambda f: to_vip(f) / TCP(sport=0, dport=80, flags="R"),
    "FIN": lambda f: to_vip(f) / TCP(sport=1, dport=80, flags="FA"),
    "full size": lambda f: to_vip(f) / TCP(sport=1, dport=80) / (b"x" * 1400),
}


@pytest.mark.parametrize("kind", FORWARDED)
def test_a_packet_to_a_service_gets_its_backends_mac_and_nothing_else(
    balancer: Balancer, family: Family, kind: str
) -> None:
    balancer.add_service(family)
    packet = FORWARDED[kind](family)

    verdict, sent = balancer.send_bytes(bytes(packet))

    assert verdict is Verdict.TX
    assert sent == to_backend(packet)
    assert set(balancer.reasons()) == {"forwarded_dr"}


def test_padding_behind_a_packet_stays(balancer: Balancer, family: Family) -> None:
    balancer.add_service(family)
    padded = bytes(syn(family)) + b"\0" * 6

    verdict, sent = balancer.send_bytes(padded)

    assert verdict is Verdict.TX
    assert sent == to_backend(syn(family)) + b"\0" * 6


def test_ipv4_with_options_is_forwarded_like_any_other(balancer: Balancer) -> None:
    balancer.add_service()
    packet = to_vip(V4, options=[b"\x01" * 12]) / TCP(dport=80)

    assert balancer.send_bytes(bytes(packet)) == (Verdict.TX, to_backend(packet))


EXTENSIONS = {
    "hop-by-hop": IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 12)]),
    "routing": IPv6ExtHdrRouting(addresses=["2001:db8::5"], segleft=0),
    "destination options": IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)]),
    "all of them and an atomic fragment": IPv6ExtHdrHopByHop(
        options=[PadN(optdata=b"\0" * 4)]
    )
    / IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)])
    / IPv6ExtHdrRouting(addresses=["2001:db8::5"], segleft=0)
    / IPv6ExtHdrFragment(offset=0, m=0, id=9),
}


@pytest.mark.parametrize("kind", EXTENSIONS)
@pytest.mark.parametrize("l4", [TCP, UDP])
def test_ipv6_extension_headers_are_parsed_through(
    balancer: Balancer, kind: str, l4: type[Packet]
) -> None:
    balancer.add_service(V6, protocol=6 if l4 is TCP else 17)
    packet = to_vip(V6) / EXTENSIONS[kind] / l4(sport=1, dport=80)

    assert balancer.send_bytes(bytes(packet)) == (Verdict.TX, to_backend(packet))


def test_more_than_four_extension_headers_are_malformed(balancer: Balancer) -> None:
    balancer.add_service(V6)
    packet = to_vip(V6)
    for _ in range(5):
        packet = packet / IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)])

    verdict, _ = balancer.send(packet / TCP(dport=80))

    assert verdict is Verdict.DROP
    assert set(balancer.reasons()) == {"malformed"}


@pytest.mark.parametrize("vlan", VLANS)
def test_vlan_tags_are_looked_through_and_kept(
    balancer: Balancer, family: Family, vlan: str
) -> None:
    headers, tags = VLANS[vlan]
    balancer.add_service(family, backend_tags=tags)
    packet = TO_US / headers / syn(family).payload

    assert balancer.send_bytes(bytes(packet)) == (Verdict.TX, to_backend(packet))


def test_udp_has_services_of_its_own(balancer: Balancer, family: Family) -> None:
    balancer.add_service(family, port=53, protocol=17)
    query = to_vip(family) / UDP(sport=5353, dport=53) / b"?"

    assert balancer.send_bytes(bytes(query)) == (Verdict.TX, to_backend(query))
    assert balancer.send(to_vip(family) / TCP(dport=53))[0] is Verdict.PASS


def test_a_service_of_port_0_takes_every_port(balancer: Balancer, family: Family) -> None:
    balancer.add_service(family, port=0)
    packet = to_vip(family) / TCP(sport=4, dport=31337)

    assert balancer.send_bytes(bytes(packet)) == (Verdict.TX, to_backend(packet))


def test_an_exact_port_comes_before_port_0(balancer: Balancer, family: Family) -> None:
    balancer.add_service(family, port=0)
    balancer.add_service(family, port=80)
    packet = to_vip(family) / TCP(sport=4, dport=80)

    balancer.send(packet)

    assert balancer.of_services() == {1: Counter(1, len(packet), 1)}


def test_a_backend_on_another_interface_is_sent_to_by_redirect(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, backend_ifindex=OUT)

    verdict, sent = balancer.send(syn(family))

    assert verdict is Verdict.REDIRECT
    assert (sent.src, sent.dst) == (OUT_MAC, BACKEND_MACS[0])
    assert bytes(sent.payload) == bytes(syn(family).payload)


def test_a_backend_on_an_interface_that_is_gone_gets_nothing(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, backend_ifindex=ELSEWHERE)

    verdict, _ = balancer.send(syn(family))

    assert verdict is Verdict.DROP
    assert set(balancer.reasons()) == {"port_gone"}


def fragment_to_other(family: Family) -> Packet:
    if family.version == 4:
        return TO_US / IP(src=family.client, dst=family.other, frag=9, proto=6) / b"x"
    return (
        TO_US
        / family.ip(family.client, family.other)
        / IPv6ExtHdrFragment(offset=9, nh=6)
        / b"12345678"
    )


NOT_OURS: dict[str, Callable[[Family], Packet]] = {
    "other protocol": lambda f: to_vip(f) / UDP(dport=80),
    "other port": lambda f: to_vip(f) / TCP(dport=81),
    "other address": lambda f: TO_US / f.ip(f.client, f.other) / TCP(dport=80),
    "esp to the vip": lambda f: (
        TO_US
        / f.ip(f.client, f.vip, **({"proto": 50} if f.version == 4 else {"nh": 50}))
        / b"12345678"
    ),
    "fragment to another address": fragment_to_other,
    "vrrp": lambda _: TO_US / IP(src=V4.own, dst="224.0.0.18", proto=112),
    "arp": lambda _: TO_US / ARP(pdst=V4.vip),
    "neighbour solicitation": lambda _: (
        TO_US / IPv6(dst="ff02::1") / ICMPv6ND_NS(tgt=V6.vip)
    ),
    "three vlan tags": lambda f: TO_US / Dot1AD() / Dot1AD() / Dot1Q() / syn(f).payload,
    "lldp": lambda _: Ether(type=0x88CC) / Raw(b"\0" * 46),
}


@pytest.mark.parametrize("kind", NOT_OURS)
def test_what_is_not_ours_goes_to_the_host_untouched(
    balancer: Balancer, family: Family, kind: str
) -> None:
    balancer.add_service(family)
    packet = NOT_OURS[kind](family)

    verdict, sent = balancer.send_bytes(bytes(packet))

    assert (verdict, sent) == (Verdict.PASS, bytes(packet))
    ((reason, counter),) = balancer.reasons().items()
    assert (reason, counter.packets, counter.bytes) == ("not_ours", 1, len(packet))


def test_a_frame_for_another_station_is_left_alone(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family)
    flooded = syn(family)
    flooded[Ether].dst = "02:00:00:00:00:99"

    verdict, sent = balancer.send(flooded)

    assert (verdict, bytes(sent)) == (Verdict.PASS, bytes(flooded))
    assert set(balancer.reasons()) == {"other_station"}


@pytest.mark.parametrize("spoiled", [{"frag": 1}, {"len": 1500}], ids=str)
def test_a_spoiled_packet_in_a_frame_for_another_station_is_left_alone(
    balancer: Balancer, spoiled: dict
) -> None:
    balancer.add_service()
    flooded = (
        Ether(dst="02:00:00:00:00:99")
        / IP(src=V4.client, dst=V4.vip, proto=6, **spoiled)
        / TCP()
    )

    verdict, sent = balancer.send_bytes(bytes(flooded))

    assert (verdict, sent) == (Verdict.PASS, bytes(flooded))
    assert set(balancer.reasons()) == {"other_station"}


def test_a_broadcast_frame_to_a_service_is_forwarded(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family)
    broadcast = syn(family)
    broadcast[Ether].dst = "ff:ff:ff:ff:ff:ff"

    assert balancer.send_bytes(bytes(broadcast)) == (Verdict.TX, to_backend(syn(family)))


MARTIANS = {
    4: [V4.vip, "0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.9", "239.1.1.1"],
    6: [V6.vip, "::", "::1", "ff02::1", "ff0e::99"],
}


@pytest.mark.parametrize(
    ("martian_family", "source"),
    [(family, source) for family in (V4, V6) for source in MARTIANS[family.version]],
)
def test_a_source_address_that_no_client_has_is_dropped_as_martian(
    balancer: Balancer, martian_family: Family, source: str
) -> None:
    balancer.add_service(martian_family)

    verdict, _ = balancer.send(
        TO_US / martian_family.ip(source, martian_family.vip) / TCP(dport=80)
    )

    assert verdict is Verdict.DROP
    assert set(balancer.reasons()) == {"martian"}


def test_another_vip_is_a_martian_as_well(balancer: Balancer, family: Family) -> None:
    balancer.add_service(family)
    balancer.add_service(family, vip=family.other, port=443)

    verdict, _ = balancer.send(TO_US / family.ip(family.other, family.vip) / TCP(dport=80))

    assert verdict is Verdict.DROP
    assert set(balancer.reasons()) == {"martian"}


def test_a_service_without_backends_drops(balancer: Balancer, family: Family) -> None:
    balancer.add_service(family, backends=0)

    verdict, _ = balancer.send(syn(family))

    assert verdict is Verdict.DROP
    assert balancer.reasons() == {"no_backend": Counter(1, len(syn(family)), 1)}


def test_a_deleted_backend_gets_nothing_even_if_a_slot_names_it(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family)
    balancer.become(replace(balancer.image, backends={}))

    verdict, _ = balancer.send(syn(family))

    assert verdict is Verdict.DROP
    assert set(balancer.reasons()) == {"no_backend"}


HEADERS = {
    "no tag": TO_US,
    "one tag": TO_US / Dot1Q(vlan=5),
    "two tags": TO_US / Dot1AD(vlan=7) / Dot1Q(vlan=5),
}
TRUNCATED = {
    "TCP": TCP(sport=1, dport=80),
    "UDP": UDP(sport=1, dport=80),
}


@pytest.mark.parametrize("l4", TRUNCATED)
@pytest.mark.parametrize("tags", HEADERS)
def test_a_packet_to_a_vip_that_is_truncated_anywhere_is_dropped_as_malformed(
    balancer: Balancer, family: Family, tags: str, l4: str
) -> None:
    balancer.add_service(family)
    balancer.add_service(family, protocol=17)
    l3 = family.ip(family.client, family.vip)
    packet = bytes(HEADERS[tags] / l3 / TRUNCATED[l4])
    named = len(HEADERS[tags]) + len(l3)  # from here on we know for whom

    for length in range(14, len(packet)):
        verdict, sent = balancer.send_bytes(packet[:length])

        assert sent == packet[:length]
        assert verdict is (Verdict.DROP if length >= named else Verdict.PASS), length

    assert set(balancer.reasons()) == {"malformed", "not_ours"}


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({"ihl": 4}, id="ihl below 5"),
        pytest.param({"len": 19}, id="total length below the header"),
        pytest.param({"len": 39}, id="total length below the headers"),
        pytest.param({"len": 41, "ihl": 6}, id="no room for tcp behind options"),
        pytest.param({"len": 1500}, id="total length beyond the frame"),
        pytest.param({"version": 6}, id="version 6"),
    ],
)
def test_impossible_lengths_to_a_vip_are_dropped(balancer: Balancer, header: dict) -> None:
    balancer.add_service()
    packet = TO_US / IP(src=V4.client, dst=V4.vip, **header) / TCP(dport=80)

    verdict, _ = balancer.send_bytes(bytes(packet))

    assert verdict is Verdict.DROP
    assert set(balancer.reasons()) == {"malformed"}


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({"plen": 19}, id="payload below tcp's header"),
        pytest.param({"plen": 0}, id="no payload, or a jumbogram"),
        pytest.param({"plen": 1500}, id="payload beyond the frame"),
        pytest.param({"version": 4}, id="version 4"),
    ],
)
def test_impossible_lengths_of_ipv6_are_dropped(balancer: Balancer, header: dict) -> None:
    balancer.add_service(V6)
    packet = TO_US / IPv6(src=V6.client, dst=V6.vip, **header) / TCP(dport=80)

    verdict, _ = balancer.send_bytes(bytes(packet))

    assert verdict is Verdict.DROP
    assert set(balancer.reasons()) == {"malformed"}


@pytest.mark.parametrize("mode", [MODE_DR, MODE_NAT], ids=["DR", "NAT"])
@pytest.mark.parametrize(
    "ends",
    [
        pytest.param((V6.client, f"::ffff:{V4.vip}"), id="to an IPv4 VIP"),
        pytest.param((f"::ffff:{V4.client}", f"::ffff:{V4.vip}"), id="between two"),
        pytest.param((f"::ffff:{V4.client}", V6.vip), id="from one"),
        pytest.param((f"::ffff:{V4.backends[0]}", V6.client), id="from an IPv4 backend"),
    ],
)
@pytest.mark.parametrize("cut", [0, 1], ids=["whole", "cut short"])
def test_an_ipv6_packet_with_an_ipv4_mapped_address_is_the_hosts(
    balancer: Balancer, mode: int, ends: tuple[str, str], cut: int
) -> None:
    for family in (V4, V6):
        balancer.add_service(family, mode=mode)
    packet = bytes(TO_US / V6.ip(*ends) / TCP(sport=80, dport=80))
    packet = packet[: len(packet) - cut]

    assert balancer.send_bytes(packet) == (Verdict.PASS, packet)
    assert set(balancer.reasons()) == {"not_ours"}
