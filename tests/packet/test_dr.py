"""Direct return: the MAC is rewritten and nothing else."""

from dataclasses import replace

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from dataplane.records import Counter
from tests.packet.balancer import (
    BACKEND_MACS,
    BALANCER_MAC,
    CLIENT,
    ELSEWHERE,
    OTHER,
    OUT,
    OUT_MAC,
    ROUTER_MAC,
    VIP,
    Balancer,
    Verdict,
)

TO_US = Ether(src=ROUTER_MAC, dst=BALANCER_MAC)
TO_VIP = TO_US / IP(src=CLIENT, dst=VIP, ttl=1, id=7)
SYN = TO_VIP / TCP(sport=5555, dport=80, flags="S")


def to_backend(packet: Packet, number: int = 0) -> bytes:
    """Return ``packet`` as the backend should get it."""
    wanted = packet.copy()
    wanted[Ether].src, wanted[Ether].dst = BALANCER_MAC, BACKEND_MACS[number]
    return bytes(wanted)


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(SYN, id="syn"),
        pytest.param(TO_VIP / TCP(sport=1, dport=80, flags="A") / b"GET /", id="data"),
        pytest.param(TO_VIP / TCP(sport=1, dport=80, flags="FPU"), id="christmas tree"),
        pytest.param(TO_VIP / TCP(sport=0, dport=80, flags="R"), id="rst of port 0"),
        pytest.param(TO_VIP / TCP(sport=1, dport=80) / (b"x" * 1400), id="full size"),
        pytest.param(
            TO_US / IP(src=CLIENT, dst=VIP, options=[b"\x01" * 12]) / TCP(dport=80),
            id="ip options",
        ),
        pytest.param(bytes(SYN) + b"\0" * 6, id="ethernet padding"),
    ],
)
def test_a_packet_to_a_service_gets_its_backends_mac_and_nothing_else(
    balancer: Balancer, packet: Packet
) -> None:
    balancer.add_service()

    verdict, sent = balancer.send_bytes(bytes(packet))

    assert verdict is Verdict.TX
    assert sent == to_backend(Ether(bytes(packet)))
    assert set(balancer.reasons()) == {"forwarded_dr"}


def test_udp_has_services_of_its_own(balancer: Balancer) -> None:
    balancer.add_service(port=53, protocol=17)
    query = TO_VIP / UDP(sport=5353, dport=53) / b"?"

    assert balancer.send_bytes(bytes(query)) == (Verdict.TX, to_backend(query))
    assert balancer.send(TO_VIP / TCP(dport=53))[0] is Verdict.PASS


def test_a_service_of_port_0_takes_every_port(balancer: Balancer) -> None:
    balancer.add_service(port=0)
    packet = TO_VIP / TCP(sport=4, dport=31337)

    assert balancer.send_bytes(bytes(packet)) == (Verdict.TX, to_backend(packet))


def test_an_exact_port_comes_before_port_0(balancer: Balancer) -> None:
    balancer.add_service(port=0)
    balancer.add_service(port=80)
    packet = TO_VIP / TCP(sport=4, dport=80)

    balancer.send(packet)

    assert balancer.of_services() == {1: Counter(1, len(packet))}


def test_a_backend_on_another_interface_is_sent_to_by_redirect(balancer: Balancer) -> None:
    balancer.add_service(backend_ifindex=OUT)

    verdict, sent = balancer.send(SYN)

    assert verdict is Verdict.REDIRECT
    assert (sent.src, sent.dst) == (OUT_MAC, BACKEND_MACS[0])
    assert bytes(sent[IP]) == bytes(SYN[IP])


def test_a_backend_on_an_interface_that_is_gone_gets_nothing(balancer: Balancer) -> None:
    balancer.add_service(backend_ifindex=ELSEWHERE)

    verdict, _ = balancer.send(SYN)

    assert verdict is Verdict.DROP


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(TO_VIP / UDP(dport=80), id="other protocol"),
        pytest.param(TO_VIP / TCP(dport=81), id="other port"),
        pytest.param(TO_US / IP(src=CLIENT, dst=OTHER) / TCP(dport=80), id="other address"),
        pytest.param(TO_US / IP(src=CLIENT, dst=OTHER, frag=9) / b"x", id="fragment"),
        pytest.param(TO_VIP / ICMP(), id="echo request to the vip"),
        pytest.param(TO_US / IP(src="10.9.9.9", dst="224.0.0.18", proto=112), id="vrrp"),
        pytest.param(TO_US / ARP(pdst=VIP), id="arp"),
        pytest.param(TO_US / IPv6(dst="ff02::1") / UDP(dport=80), id="ipv6"),
        pytest.param(TO_US / Dot1Q(vlan=5) / IP(dst=VIP) / TCP(dport=80), id="vlan"),
        pytest.param(Ether(type=0x88CC) / Raw(b"\0" * 46), id="lldp"),
    ],
)
def test_what_is_not_ours_goes_to_the_host_untouched(
    balancer: Balancer, packet: Packet
) -> None:
    balancer.add_service()

    verdict, sent = balancer.send_bytes(bytes(packet))

    assert (verdict, sent) == (Verdict.PASS, bytes(packet))
    assert balancer.reasons() == {"not_ours": Counter(1, len(packet))}


def test_a_frame_for_another_station_is_left_alone(balancer: Balancer) -> None:
    balancer.add_service()
    flooded = SYN.copy()
    flooded[Ether].dst = "02:00:00:00:00:99"

    verdict, sent = balancer.send(flooded)

    assert (verdict, bytes(sent)) == (Verdict.PASS, bytes(flooded))
    assert set(balancer.reasons()) == {"other_station"}


@pytest.mark.parametrize("spoiled", [{"flags": "MF"}, {"len": 1500}], ids=str)
def test_a_spoiled_packet_in_a_frame_for_another_station_is_left_alone(
    balancer: Balancer, spoiled: dict
) -> None:
    balancer.add_service()
    flooded = Ether(dst="02:00:00:00:00:99") / IP(src=CLIENT, dst=VIP, **spoiled) / TCP()

    verdict, sent = balancer.send_bytes(bytes(flooded))

    assert (verdict, sent) == (Verdict.PASS, bytes(flooded))
    assert set(balancer.reasons()) == {"other_station"}


def test_a_broadcast_frame_to_a_service_is_forwarded(balancer: Balancer) -> None:
    balancer.add_service()
    broadcast = SYN.copy()
    broadcast[Ether].dst = "ff:ff:ff:ff:ff:ff"

    assert balancer.send_bytes(bytes(broadcast)) == (Verdict.TX, to_backend(SYN))


def test_a_service_without_backends_drops(balancer: Balancer) -> None:
    balancer.add_service(backends=0)

    verdict, _ = balancer.send(SYN)

    assert verdict is Verdict.DROP
    assert balancer.reasons() == {"no_backend": Counter(1, len(SYN))}


def test_a_deleted_backend_gets_nothing_even_if_a_slot_names_it(balancer: Balancer) -> None:
    balancer.add_service()
    balancer.become(replace(balancer.image, backends={}))

    verdict, _ = balancer.send(SYN)

    assert verdict is Verdict.DROP
    assert set(balancer.reasons()) == {"no_backend"}


@pytest.mark.parametrize("length", range(34, 54))
def test_a_packet_to_a_vip_that_is_cut_short_anywhere_is_dropped(
    balancer: Balancer, length: int
) -> None:
    balancer.add_service()

    verdict, _ = balancer.send_bytes(bytes(SYN)[:length])

    assert verdict is Verdict.DROP
    assert set(balancer.reasons()) == {"malformed"}


@pytest.mark.parametrize("length", range(14, 34))
def test_a_packet_too_short_to_name_its_destination_is_the_hosts(
    balancer: Balancer, length: int
) -> None:
    balancer.add_service()

    verdict, sent = balancer.send_bytes(bytes(SYN)[:length])

    assert (verdict, sent) == (Verdict.PASS, bytes(SYN)[:length])


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({"ihl": 4}, id="header below 20 bytes"),
        pytest.param({"len": 19}, id="total below its header"),
        pytest.param({"len": 41, "ihl": 6}, id="no room for tcp behind options"),
        pytest.param({"len": 1500}, id="total beyond the frame"),
        pytest.param({"version": 6}, id="version 6"),
    ],
)
def test_impossible_lengths_to_a_vip_are_dropped(balancer: Balancer, header: dict) -> None:
    balancer.add_service()
    packet = TO_US / IP(src=CLIENT, dst=VIP, **header) / TCP(dport=80)

    verdict, _ = balancer.send_bytes(bytes(packet))

    assert verdict is Verdict.DROP
    assert set(balancer.reasons()) == {"malformed"}


@pytest.mark.parametrize(
    "fragment",
    [
        pytest.param({"flags": "MF", "frag": 0}, id="first"),
        pytest.param({"flags": "MF", "frag": 185}, id="middle"),
        pytest.param({"flags": 0, "frag": 370}, id="last"),
    ],
)
def test_a_fragment_to_a_vip_is_dropped(balancer: Balancer, fragment: dict) -> None:
    balancer.add_service()
    packet = TO_US / IP(src=CLIENT, dst=VIP, proto=6, **fragment) / (b"x" * 64)

    verdict, _ = balancer.send_bytes(bytes(packet))

    assert verdict is Verdict.DROP
    assert set(balancer.reasons()) == {"fragment"}
