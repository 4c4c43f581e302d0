"""NAT services of every port of a VIP: backends get the port that the client asked for."""

from dataclasses import replace

import pytest
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6ExtHdrFragment
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from dataplane.records import MODE_DR, MODE_NAT
from tests.packet.balancer import (
    BACKEND_MACS,
    BALANCER_MAC,
    OUT_MAC,
    ROUTER_MAC,
    Balancer,
    Verdict,
)
from tests.packet.families import Family, checksummed

TO_US = Ether(src=ROUTER_MAC, dst=BALANCER_MAC)
TO_BACKEND = Ether(src=BALANCER_MAC, dst=BACKEND_MACS[0])
FROM_BACKEND = Ether(src=BACKEND_MACS[0], dst=BALANCER_MAC)
TO_CLIENT = Ether(src=OUT_MAC, dst=ROUTER_MAC)
UNREACHABLE = {4: ICMP(type=3, code=3), 6: ICMPv6DestUnreach(code=4)}
PORTS = [0, 1, 80, 8080, 65535]


def segment(protocol: int, sport: int, dport: int) -> Packet:
    layer = TCP if protocol == 6 else UDP
    return layer(sport=sport, dport=dport) / b"hello"


def track(balancer: Balancer) -> None:
    image = balancer.image
    balancer.fill(
        backends={i: replace(b, is_tracked=True) for i, b in image.backends.items()},
        returns={
            place: replace(reply, is_tracked=True) for place, reply in image.returns.items()
        },
    )


@pytest.mark.parametrize("protocol", [6, 17], ids=["TCP", "UDP"])
@pytest.mark.parametrize("port", PORTS)
def test_a_packet_keeps_its_port_on_the_way_to_the_backend(
    balancer: Balancer, family: Family, protocol: int, port: int
) -> None:
    balancer.add_service(family, port=0, protocol=protocol, mode=MODE_NAT)
    asked = family.ip(family.client, family.vip) / segment(protocol, 5555, port)

    verdict, sent = balancer.send_bytes(bytes(TO_US / asked))

    there = family.ip(family.client, family.backends[0], ttl=63)
    assert verdict is Verdict.TX
    assert sent == checksummed(TO_BACKEND / there / segment(protocol, 5555, port))
    assert set(balancer.reasons()) == {"forwarded_nat"}


@pytest.mark.parametrize("protocol", [6, 17], ids=["TCP", "UDP"])
@pytest.mark.parametrize("port", PORTS)
def test_a_reply_keeps_its_port_and_gets_the_vip(
    balancer: Balancer, family: Family, protocol: int, port: int
) -> None:
    balancer.add_service(family, port=0, protocol=protocol, mode=MODE_NAT)
    said = family.ip(family.backends[0], family.client) / segment(protocol, port, 5555)

    verdict, sent = balancer.send_bytes(bytes(FROM_BACKEND / said))

    back = family.ip(family.vip, family.client, ttl=63)
    assert verdict is Verdict.REDIRECT
    assert sent == checksummed(TO_CLIENT / back / segment(protocol, port, 5555))
    assert set(balancer.reasons()) == {"replied_nat"}


def test_a_service_of_one_port_comes_before_that_of_every_port(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, port=0, mode=MODE_NAT)
    balancer.add_service(family, port=80, mode=MODE_DR)
    packets = [family.ip(family.client, family.vip) / segment(6, 1, p) for p in (80, 81)]

    sent = [balancer.send(TO_US / packet)[1].payload.dst for packet in packets]

    assert sent == [family.vip, family.backends[0]]
    assert set(balancer.reasons()) == {"forwarded_dr", "forwarded_nat"}


def test_a_backend_of_one_port_answers_as_that_ones_vip_and_by_others_as_the_other(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, port=0, mode=MODE_NAT)
    balancer.add_service(
        family, vip=family.other, port=80, mode=MODE_NAT, backend_port=8080
    )
    replies = [
        family.ip(family.backends[0], family.client) / segment(6, port, 5555)
        for port in (8080, 8081)
    ]

    answers = [balancer.send(FROM_BACKEND / packet)[1].payload for packet in replies]

    assert [(answer.src, answer[TCP].sport) for answer in answers] == [
        (family.other, 80),
        (family.vip, 8081),
    ]


def test_another_protocol_of_the_vip_is_the_hosts(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, port=0, protocol=6, mode=MODE_NAT)
    packets = [
        TO_US / family.ip(family.client, family.vip) / segment(17, 1, 80),
        FROM_BACKEND / family.ip(family.backends[0], family.client) / segment(17, 80, 1),
    ]

    for packet in packets:
        assert balancer.send_bytes(bytes(packet)) == (Verdict.PASS, bytes(packet))
    assert set(balancer.reasons()) == {"not_ours"}


@pytest.mark.usefixtures("replies")
def test_what_a_tracked_backend_begins_itself_passes_untouched(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, port=0, mode=MODE_NAT)
    track(balancer)
    own = (
        FROM_BACKEND / family.ip(family.backends[0], family.client) / segment(6, 40000, 443)
    )
    reply = FROM_BACKEND / family.ip(family.backends[0], family.client) / segment(6, 443, 7)

    begun = balancer.send_bytes(bytes(own))
    asked = (
        TO_US / family.ip(family.client, family.vip) / TCP(sport=7, dport=443, flags="S")
    )
    balancer.send(asked)
    verdict, sent = balancer.send_bytes(bytes(reply))

    assert begun == (Verdict.PASS, bytes(own))
    back = family.ip(family.vip, family.client, ttl=63)
    assert verdict is Verdict.REDIRECT
    assert sent == checksummed(TO_CLIENT / back / segment(6, 443, 7))


def test_an_error_about_a_reply_goes_to_the_backend_with_the_port_that_it_had(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, port=0, mode=MODE_NAT)
    error = UNREACHABLE[family.version]
    about = family.ip(family.vip, family.client, ttl=50) / TCP(sport=443, dport=5555)

    verdict, sent = balancer.send_bytes(
        bytes(TO_US / family.ip(family.router, family.vip) / error / about)
    )

    meant = family.ip(family.backends[0], family.client, ttl=50) / TCP(
        sport=443, dport=5555
    )
    there = family.ip(family.router, family.backends[0], ttl=63)
    assert verdict is Verdict.TX
    assert sent == checksummed(TO_BACKEND / there / error / meant)


def test_an_error_about_a_request_goes_to_the_client_with_the_port_that_it_asked_for(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, port=0, mode=MODE_NAT)
    error = UNREACHABLE[family.version]
    about = family.ip(family.client, family.backends[0], ttl=50) / TCP(
        sport=5555, dport=443
    )

    verdict, sent = balancer.send_bytes(
        bytes(FROM_BACKEND / family.ip(family.backends[0], family.client) / error / about)
    )

    meant = family.ip(family.client, family.vip, ttl=50) / TCP(sport=5555, dport=443)
    back = family.ip(family.vip, family.client, ttl=63)
    assert verdict is Verdict.REDIRECT
    assert sent == checksummed(TO_CLIENT / back / error / meant)


def test_later_fragments_follow_the_first_one(balancer: Balancer, family: Family) -> None:
    balancer.add_service(family, port=0, protocol=17, mode=MODE_NAT)

    def piece(first: bool) -> Packet:
        data = (
            UDP(sport=7, dport=5000, len=24, chksum=7) / b"12345678" if first else b"9" * 8
        )
        if family.version == 4:
            extra = {"flags": "MF", "frag": 0} if first else {"frag": 2}
            return family.ip(family.client, family.vip, proto=17, **extra) / data
        header = IPv6ExtHdrFragment(id=7, nh=17, m=first, offset=0 if first else 2)
        return family.ip(family.client, family.vip) / header / data

    verdicts = [balancer.send(TO_US / piece(first=first)) for first in (True, False)]

    assert [verdict for verdict, _ in verdicts] == [Verdict.TX, Verdict.TX]
    assert {sent.payload.dst for _, sent in verdicts} == {family.backends[0]}
