"""Fragments: the first one has the ports, the others follow it."""

from dataclasses import replace
from itertools import count

import pytest
from scapy.layers.inet import IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, PadN, fragment6
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
    age,
)
from tests.packet.families import V4, V6, Family

TO_US = Ether(src=ROUTER_MAC, dst=BALANCER_MAC)
FROM_BACKEND = Ether(src=BACKEND_MACS[0], dst=BALANCER_MAC)
PAYLOAD = bytes(range(256)) * 12
NUMBERS = count(1000)


def in_fragments(ether: Packet, packet: Packet) -> list[Packet]:
    """Return ``packet`` as a sender fragments it, in frames."""
    if IP in packet:
        return [ether / piece for piece in fragment(packet, fragsize=1000)]
    pieces = fragment6(packet.__class__(bytes(packet)), 1280)
    return [ether / piece for piece in pieces]


def datagram(family: Family, source: str, dest: str, l4: Packet) -> Packet:
    """Return a datagram of an id that no other has."""
    number = next(NUMBERS)
    if family.version == 4:
        return family.ip(source, dest, id=number) / l4
    return family.ip(source, dest) / IPv6ExtHdrFragment(id=number) / l4


def put_together(frames: list[bytes]) -> bytes:
    """Return the payload of IP, in the order of the fragments."""
    payloads = []
    for frame in frames:
        packet = Ether(frame)
        inner = packet[IPv6ExtHdrFragment] if IPv6 in packet else packet[IP]
        payloads.append(bytes(inner.payload))
    return b"".join(payloads)


@pytest.mark.parametrize("mode", [MODE_DR, MODE_NAT], ids=["DR", "NAT"])
def test_later_fragments_go_to_the_backend_of_the_first_one(
    balancer: Balancer, family: Family, mode: int
) -> None:
    balancer.add_service(
        family, port=53, protocol=17, mode=mode, backends=8, ring_size=1021
    )
    whole = datagram(family, family.client, family.vip, UDP(sport=999, dport=53) / PAYLOAD)
    pieces = in_fragments(TO_US, whole)

    results = [balancer.send_bytes(bytes(piece)) for piece in pieces]

    assert len(pieces) > 2
    assert {verdict for verdict, _ in results} == {Verdict.TX}
    assert len({Ether(frame).dst for _, frame in results}) == 1
    reason = "forwarded_nat" if mode == MODE_NAT else "forwarded_dr"
    assert balancer.reasons()[reason].packets == len(pieces)
    assert sum(counter.packets for counter in balancer.of_backends().values()) == len(
        pieces
    )


def test_dr_leaves_the_fragments_as_they_are(balancer: Balancer, family: Family) -> None:
    balancer.add_service(family, port=53, protocol=17)
    whole = datagram(family, family.client, family.vip, UDP(sport=999, dport=53) / PAYLOAD)

    for piece in in_fragments(TO_US, whole):
        _, sent = balancer.send(piece)

        assert bytes(sent.payload) == bytes(piece.payload)


def test_a_datagram_translated_in_fragments_is_right_as_a_whole(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, port=53, protocol=17, mode=MODE_NAT, backend_port=5300)
    request = UDP(sport=999, dport=53) / PAYLOAD
    reply = UDP(sport=5300, dport=999) / PAYLOAD
    backend = family.backends[0]
    there = in_fragments(TO_US, datagram(family, family.client, family.vip, request))
    back = in_fragments(FROM_BACKEND, datagram(family, backend, family.client, reply))

    asked = [balancer.send_bytes(bytes(piece))[1] for piece in there]
    answered = [balancer.send_bytes(bytes(piece))[1] for piece in back]

    for frames, source, dest, sport, dport in (
        (asked, family.client, backend, 999, 5300),
        (answered, family.vip, family.client, 53, 999),
    ):
        for frame in frames:
            header = Ether(frame).payload
            assert (header.src, header.dst) == (source, dest)
            assert bytes(header) == bytes(remade(header))
        expected = bytes(family.ip(source, dest) / UDP(sport=sport, dport=dport) / PAYLOAD)
        assert put_together(frames) == expected[-len(PAYLOAD) - 8 :]
    assert {Ether(frame).src for frame in answered} == {OUT_MAC}
    assert balancer.reasons()["replied_nat"].packets == len(back)


def remade(header: Packet) -> Packet:
    """Return the IP packet with its header's checksum computed from nothing."""
    fresh = header.copy()
    if IP in fresh:
        del fresh[IP].chksum
    return fresh


def test_a_later_fragment_that_nobody_remembers_is_dropped(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, port=53, protocol=17)
    whole = datagram(family, family.client, family.vip, UDP(sport=999, dport=53) / PAYLOAD)
    first, later, *_ = in_fragments(TO_US, whole)

    verdict, _ = balancer.send(later)
    assert verdict is Verdict.DROP
    assert set(balancer.reasons()) == {"fragment"}

    balancer.send(first)
    assert balancer.send(later)[0] is Verdict.TX


def test_a_datagram_is_remembered_for_30_seconds(
    balancer: Balancer, family: Family, fragments: int
) -> None:
    balancer.add_service(family, port=53, protocol=17)
    whole = datagram(family, family.client, family.vip, UDP(sport=999, dport=53) / PAYLOAD)
    first, later, *_ = in_fragments(TO_US, whole)
    balancer.send(first)

    age(fragments, seconds=25)
    assert balancer.send(later)[0] is Verdict.TX

    age(fragments, seconds=10)
    assert balancer.send(later)[0] is Verdict.DROP


@pytest.mark.parametrize("change", ["source", "id", "protocol"])
def test_fragments_of_another_datagram_are_not_taken_for_it(
    balancer: Balancer, change: str
) -> None:
    balancer.add_service(port=53, protocol=17)
    whole = datagram(V4, V4.client, V4.vip, UDP(sport=999, dport=53) / PAYLOAD)
    first, later, *_ = in_fragments(TO_US, whole)
    balancer.send(first)
    field = {"source": "src", "id": "id", "protocol": "proto"}[change]
    later[IP].setfieldval(field, {"src": V4.stranger, "id": 8, "proto": 6}[field])

    verdict, _ = balancer.send(later)

    assert verdict is Verdict.DROP


@pytest.mark.parametrize("change", ["it is another one", "it is down"])
def test_a_backend_that_is_gone_or_dead_gets_no_more_fragments(
    balancer: Balancer, family: Family, change: str
) -> None:
    balancer.add_service(family, port=53, protocol=17)
    whole = datagram(family, family.client, family.vip, UDP(sport=999, dport=53) / PAYLOAD)
    first, later, *_ = in_fragments(TO_US, whole)
    balancer.send(first)
    ((index, backend),) = balancer.image.backends.items()
    other = replace(backend, address=type(backend.address)(family.backends[5]))
    after = {"it is another one": other, "it is down": replace(backend, is_down=True)}

    balancer.become(replace(balancer.image, backends={index: after[change]}))

    assert balancer.send(later)[0] is Verdict.DROP
    assert balancer.reasons()["no_backend"].packets == 1


def test_extension_headers_behind_the_fragment_header_are_looked_through(
    balancer: Balancer,
) -> None:
    balancer.add_service(V6, port=53, protocol=17)
    options = bytes(IPv6ExtHdrDestOpt(nh=17, options=[PadN(optdata=b"\0" * 4)]))
    rest = options + bytes(UDP(sport=999, dport=53, len=2000, chksum=1)) + b"x" * 64
    header = V6.ip(V6.client, V6.vip)
    first = TO_US / header / IPv6ExtHdrFragment(id=7, nh=60, m=1) / rest
    later = TO_US / header / IPv6ExtHdrFragment(id=7, nh=60, m=0, offset=10) / (b"y" * 64)

    verdicts = [balancer.send(piece)[0] for piece in (first, later)]

    assert verdicts == [Verdict.TX, Verdict.TX]


def test_a_first_fragment_without_its_ports_is_malformed(balancer: Balancer) -> None:
    balancer.add_service()
    tiny = TO_US / V4.ip(V4.client, V4.vip, flags="MF", proto=6) / bytes(TCP(dport=80))[:8]

    verdict, _ = balancer.send(tiny)

    assert verdict is Verdict.DROP
    assert set(balancer.reasons()) == {"malformed"}


def test_ttl_ends_for_fragments_too(balancer: Balancer, family: Family) -> None:
    balancer.add_service(family, port=53, protocol=17, mode=MODE_NAT)
    whole = datagram(family, family.client, family.vip, UDP(sport=999, dport=53) / PAYLOAD)
    first, later, *_ = in_fragments(TO_US, whole)
    balancer.send(first)
    layer = later.payload
    layer.setfieldval("ttl" if family.version == 4 else "hlim", 1)

    assert balancer.send(later)[0] is Verdict.DROP
    assert "ttl_exceeded" in balancer.reasons()


@pytest.mark.parametrize(
    ("source", "ttl"), [("client", 1), ("backend", 64)], ids=["TTL", "hairpin"]
)
def test_a_first_fragment_that_was_dropped_is_not_remembered(
    balancer: Balancer, family: Family, source: str, ttl: int
) -> None:
    balancer.add_service(family, port=53, protocol=17, mode=MODE_NAT)
    address = family.client if source == "client" else family.backends[0]
    whole = datagram(family, address, family.vip, UDP(sport=999, dport=53) / PAYLOAD)
    first, later, *_ = in_fragments(TO_US, whole)
    first.payload.setfieldval("ttl" if family.version == 4 else "hlim", ttl)

    verdicts = [balancer.send(piece)[0] for piece in (first, later)]

    assert verdicts == [Verdict.DROP, Verdict.DROP]
    assert balancer.reasons()["fragment"].packets == 1


def test_a_fragment_header_behind_the_end_of_the_packet_is_malformed(
    balancer: Balancer,
) -> None:
    balancer.add_service(V6, port=53, protocol=17)
    long = IPv6ExtHdrDestOpt(nh=44, len=1, options=[PadN(optdata=b"\0" * 4)])
    header = V6.ip(V6.client, V6.vip, plen=8)
    packet = TO_US / header / long / (b"x" * 8) / IPv6ExtHdrFragment(nh=17, offset=9)

    assert balancer.send(packet)[0] is Verdict.DROP
    assert set(balancer.reasons()) == {"malformed"}
