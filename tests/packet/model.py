"""What the program should do with a packet, said once more in Python: slow and plain.

For one service of one backend in each family and protocol, to compare the program with. It
says nothing of ICMP errors and of later fragments, which have tests of their own.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address

from dataplane.records import SERVICE_VLAN, Tag
from tests.packet.balancer import BACKEND_MACS, BALANCER_MAC, mac
from tests.packet.families import Family

TCP, UDP, ICMP, ICMPV6, FRAGMENT = 6, 17, 1, 58, 44
EXTENSIONS = {0, 43, 60, FRAGMENT}  # hop-by-hop, routing, destination options
# The VLANs that the host has interfaces for, and the MACs of these.
VLAN_MACS = {
    (Tag(5),): "02:00:00:00:00:05",
    (Tag(7, SERVICE_VLAN), Tag(5)): BALANCER_MAC,
}
L4_BYTES = {TCP: 20, UDP: 8}
CHECKSUM_AT = {TCP: 16, UDP: 6}


class Unmodelled(Exception):  # noqa: N818 - not an error
    """The model has nothing to say of this packet."""


@dataclass(frozen=True)
class Served:
    """A service of the VIP of a family, at ``port``."""

    family: Family
    protocol: int
    port: int
    nat_port: int | None = None  # the backend's; None: direct return
    tags: tuple[Tag, ...] = ()  # of the backend's VLAN


class Outcome(Exception):  # noqa: N818 - a way out of the middle of a header
    """Why the packet's way ended."""


@dataclass
class Parsed:
    family: Family
    ip: int  # where it starts
    l4: int
    protocol: int
    source: bytes
    dest: bytes


@dataclass
class Ethernet:
    type: int
    end: int
    wire: list[bytes] = field(default_factory=list)  # tags, four bytes each
    vlan: tuple[Tag, ...] = ()  # without those that only tell a priority
    to_us: bool = False
    to_all: bool = False


def expected(packet: bytes, services: list[Served]) -> tuple[str, bytes]:
    """Return the reason and the packet afterwards."""
    families = {served.family.version: served.family for served in services}
    vips = {packed(family.vip) for family in families.values()}
    try:
        parsed = parse(packet, families, vips)
    except Outcome as outcome:
        return str(outcome), packet
    place = (
        parsed.dest,
        parsed.protocol,
        struct.unpack_from("!H", packet, parsed.l4 + 2)[0],
    )
    for served in services:
        if place == (packed(served.family.vip), served.protocol, served.port):
            return serve(packet, parsed, served, vips)
    return "not_ours", packet


def packed(address: str) -> bytes:
    return ip_address(address).packed


def serve(
    packet: bytes, parsed: Parsed, served: Served, vips: set[bytes]
) -> tuple[str, bytes]:
    ethernet = parse_ethernet(packet)
    if not (ethernet.to_us or ethernet.to_all):
        return "other_station", packet
    if is_martian(parsed.source, vips):
        return "martian", packet
    ttl_at = parsed.ip + (8 if parsed.family.version == 4 else 7)
    sent = bytearray(packet)
    sent[:12] = mac(BACKEND_MACS[0]) + mac(BALANCER_MAC)
    if served.nat_port is None:
        return leave(sent, ethernet, served.tags, "forwarded_dr")
    backend = packed(parsed.family.backends[0])
    if packet[ttl_at] <= 1:
        return "ttl_exceeded", packet
    if parsed.source == backend:
        return "hairpin", packet
    translate(sent, parsed, backend, served.nat_port)
    if parsed.family.version == 4:
        mend(sent, parsed.ip + 10, [(parsed.dest, backend)])
        old = bytes(sent[ttl_at : ttl_at + 2])
        sent[ttl_at] -= 1
        mend(sent, parsed.ip + 10, [(old, bytes(sent[ttl_at : ttl_at + 2]))])
    else:
        sent[ttl_at] -= 1
    return leave(sent, ethernet, served.tags, "forwarded_nat")


def leave(
    sent: bytearray, ethernet: Ethernet, tags: tuple[Tag, ...], reason: str
) -> tuple[str, bytes]:
    """Change the tags into those of the VLAN that the packet goes to."""
    if ethernet.vlan == tags:
        return reason, bytes(sent)
    if ethernet.vlan and ethernet.vlan not in VLAN_MACS:
        return "foreign_vlan", bytes(sent)
    header = bytes(sent[:12])
    for place, tag in enumerate(tags):
        old = ethernet.wire[place][2] & 0xF0 if place < len(ethernet.wire) else 0
        header += struct.pack("!HH", tag.protocol, old << 8 | tag.id)
    header += struct.pack("!H", ethernet.type)
    return reason, header + bytes(sent[ethernet.end :])


def translate(sent: bytearray, parsed: Parsed, backend: bytes, port: int) -> None:
    size = len(backend)
    dest_at = parsed.ip + (16 if size == 4 else 24)
    sent[dest_at : dest_at + size] = backend
    old_port, new_port = bytes(sent[parsed.l4 + 2 : parsed.l4 + 4]), struct.pack("!H", port)
    sent[parsed.l4 + 2 : parsed.l4 + 4] = new_port
    check_at = parsed.l4 + CHECKSUM_AT[parsed.protocol]
    none = parsed.protocol == UDP and sent[check_at : check_at + 2] == b"\0\0"
    if none:
        return
    mend(sent, check_at, [(parsed.dest, backend), (old_port, new_port)])
    if parsed.protocol == UDP and sent[check_at : check_at + 2] == b"\0\0":
        sent[check_at : check_at + 2] = b"\xff\xff"


def mend(packet: bytearray, at: int, changes: list[tuple[bytes, bytes]]) -> None:
    """Replace words in a checksum: RFC 1624, equation 3."""
    (check,) = struct.unpack_from("!H", packet, at)
    total = check ^ 0xFFFF
    for old, new in changes:
        for before, after in zip(words(old), words(new), strict=True):
            total += (before ^ 0xFFFF) + after
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into("!H", packet, at, total ^ 0xFFFF)


def words(data: bytes) -> Iterator[int]:
    return (word for (word,) in struct.iter_unpack("!H", data))


def is_martian(source: bytes, vips: set[bytes]) -> bool:
    address = ip_address(source)
    if source in vips or address.is_multicast or address.is_loopback:
        return True
    if address.version == 6:
        return address.is_unspecified
    return source[0] == 0 or source == b"\xff" * 4


def parse(packet: bytes, families: dict[int, Family], vips: set[bytes]) -> Parsed:
    """Return what the packet is; raise Outcome if it is nothing for a service."""
    ethernet = parse_ethernet(packet)
    kind, at = ethernet.type, ethernet.end
    if kind == 0x0800 and len(packet) >= at + 20:
        return parse_ipv4(packet, at, families[4], vips)
    if kind == 0x86DD and len(packet) >= at + 40:
        return parse_ipv6(packet, at, families[6], vips)
    raise Outcome("not_ours")


def parse_ethernet(packet: bytes) -> Ethernet:
    at = 14
    if len(packet) < at:
        raise Outcome("not_ours")
    (kind,) = struct.unpack_from("!H", packet, 12)
    wire, vlan = [], []
    for _ in range(2):
        if kind not in {0x8100, 0x88A8}:
            break
        if len(packet) < at + 4:
            raise Outcome("not_ours")
        (tci, following) = struct.unpack_from("!HH", packet, at)
        wire.append(packet[at - 2 : at + 2])
        vlan.append(Tag(tci & 0xFFF, kind) if tci & 0xFFF else None)
        kind = following
        at += 4
    # An inner tag without an outer one is no VLAN that anybody has.
    inner = vlan[1:] if any(vlan[1:]) else []
    key = (*vlan[:1], *inner) if any(vlan) else ()
    to = packet[:6]
    to_vlan = key in VLAN_MACS and to == mac(VLAN_MACS[key])
    return Ethernet(
        kind,
        at,
        wire,
        key,
        to_us=to == mac(BALANCER_MAC) or to_vlan,
        to_all=to == b"\xff" * 6,
    )


def parse_ipv4(packet: bytes, at: int, family: Family, vips: set[bytes]) -> Parsed:
    source, dest = packet[at + 12 : at + 16], packet[at + 16 : at + 20]
    malformed = refusal(packet, dest, vips)
    header = (packet[at] & 15) * 4
    (total,) = struct.unpack_from("!H", packet, at + 2)
    if packet[at] >> 4 != 4 or header < 20 or total < header or total > len(packet) - at:
        raise malformed
    (fragment,) = struct.unpack_from("!H", packet, at + 6)
    protocol = packet[at + 9]
    if fragment & 0x1FFF:
        raise later_fragment(protocol)
    l4 = at + header
    check_l4(
        packet, l4, protocol, total - header, malformed, icmp=ICMP, of=fragment & 0x2000
    )
    return Parsed(family, at, l4, protocol, source, dest)


def parse_ipv6(packet: bytes, at: int, family: Family, vips: set[bytes]) -> Parsed:
    source, dest = packet[at + 8 : at + 24], packet[at + 24 : at + 40]
    malformed = refusal(packet, dest, vips)
    (payload,) = struct.unpack_from("!H", packet, at + 4)
    if packet[at] >> 4 != 6 or 40 + payload > len(packet) - at:
        raise malformed
    protocol, l4, more = packet[at + 6], at + 40, 0
    for _ in range(4):
        if protocol not in EXTENSIONS:
            break
        if l4 + 8 > len(packet):
            raise malformed
        header = packet[l4 : l4 + 8]
        l4 += 8
        if protocol == FRAGMENT:
            (offset,) = struct.unpack_from("!H", header, 2)
            more = offset & 1
            if offset & 0xFFF8:
                raise later_fragment(header[0])
        else:
            l4 += header[1] * 8
        protocol = header[0]
    left = 40 + payload - (l4 - at)
    if protocol in EXTENSIONS or left < 0:
        raise malformed
    check_l4(packet, l4, protocol, left, malformed, icmp=ICMPV6, of=more)
    return Parsed(family, at, l4, protocol, source, dest)


def refusal(packet: bytes, dest: bytes, vips: set[bytes]) -> Outcome:
    """Return what becomes of a malformed packet to this destination."""
    if dest not in vips:
        return Outcome("not_ours")
    ethernet = parse_ethernet(packet)
    to_us = ethernet.to_us or ethernet.to_all
    return Outcome("malformed" if to_us else "other_station")


def later_fragment(protocol: int) -> Exception:
    if protocol in {TCP, UDP, *EXTENSIONS}:
        return Unmodelled()
    return Outcome("not_ours")


def check_l4(  # noqa: PLR0913
    packet: bytes,
    at: int,
    protocol: int,
    left: int,
    malformed: Outcome,
    *,
    icmp: int,
    of: int,
) -> None:
    """Raise unless a whole TCP or UDP header starts at ``at``."""
    if protocol == icmp:
        if left < 8 or at + 8 > len(packet):
            raise malformed
        raise Outcome("not_ours") if of else Unmodelled()
    if protocol not in L4_BYTES:
        raise Outcome("not_ours")
    if left < L4_BYTES[protocol] or at + L4_BYTES[protocol] > len(packet):
        raise malformed
