"""IP packets as the model sees them: where what is in a frame, and what sums cover what.

A packet is cut to the length that it claims before anyone looks into it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import NamedTuple

TCP, UDP, ICMP, ICMPV6, FRAGMENT = 6, 17, 1, 58, 44
ICMP_OF = {4: ICMP, 6: ICMPV6}
EXTENSIONS = {0, 43, 60, FRAGMENT}  # hop-by-hop, routing, destination options
EXTENSIONS_AT_MOST = 4
VLAN_TAGS_AT_MOST = 2
L4_BYTES = {TCP: 20, UDP: 8, ICMP: 8, ICMPV6: 8}
CHECKSUM_AT = {TCP: 16, UDP: 6, ICMP: 2, ICMPV6: 2}
QUOTED_BYTES = 8  # of layer 4, in an ICMP error; more is not certain


class MalformedError(Exception):
    """The packet is cut short, or has lengths that cannot be."""


class Datagram(NamedTuple):
    """What the fragments of a datagram have in common."""

    source: bytes
    dest: bytes
    id: bytes
    protocol: int


class Checksum(NamedTuple):
    at: int
    covers: tuple[range, ...]
    is_udp: bool = False


@dataclass
class Packet:
    """What there is of an IP packet in a frame, or of one that an ICMP error quotes."""

    frame: bytearray
    ip: int  # where its header starts
    version: int
    source: bytes
    dest: bytes
    end: int = 0  # where it says that it ends
    l4: int = 0
    protocol: int = 0
    extensions: int = 0
    datagram: Datagram | None = None
    is_first: bool = False  # of several fragments
    is_later: bool = False

    @property
    def source_at(self) -> int:
        return self.ip + (12 if self.version == 4 else 8)

    @property
    def dest_at(self) -> int:
        return self.source_at + len(self.source)

    @property
    def ttl_at(self) -> int:
        return self.ip + (8 if self.version == 4 else 7)

    @property
    def ttl(self) -> int:
        return self.frame[self.ttl_at]

    @property
    def sport(self) -> int:
        return number(self.frame, self.l4)

    @property
    def dport(self) -> int:
        return number(self.frame, self.l4 + 2)

    @property
    def flags(self) -> int:
        return self.frame[self.l4 + 13] if self.protocol == TCP else 0

    @property
    def sequence(self) -> int:
        """Return the sequence number of a TCP packet."""
        return int.from_bytes(self.frame[self.l4 + 4 : self.l4 + 8], "big")

    @property
    def icmp_type(self) -> int:
        return self.frame[self.l4]

    def of_header(self) -> list[Checksum]:
        """Return the checksum that only IPv4 has."""
        if self.version == 6:
            return []
        header = range(self.ip, self.ip + header_bytes(self.frame, self.ip))
        return [Checksum(self.ip + 10, (header,))]

    def of_all(self) -> list[Checksum]:
        """Return layer 4's checksum too, unless so much of it is not quoted."""
        known = L4_BYTES[self.protocol]
        if self.l4 + known > self.end:
            return self.of_header()
        covers = [range(self.l4, self.end)]
        if self.protocol != ICMP:  # the only one without a pseudo-header
            covers.append(range(self.source_at, self.dest_at + len(self.dest)))
        at = self.l4 + CHECKSUM_AT[self.protocol]
        return [*self.of_header(), Checksum(at, tuple(covers), self.protocol == UDP)]


def find_packet(frame: bytearray) -> Packet | None:
    """Return the IP packet as far as its addresses; None if there is none, or less."""
    at = 12
    for _ in range(VLAN_TAGS_AT_MOST):
        if number(frame, at) in {0x8100, 0x88A8} and len(frame) >= at + 6:
            at += 4
    kind, at = number(frame, at), at + 2
    if kind == 0x0800 and len(frame) >= at + 20:
        return packet_at(frame, at, 4)
    if kind == 0x86DD and len(frame) >= at + 40:
        return packet_at(frame, at, 6)
    return None


def packet_at(frame: bytearray, at: int, version: int) -> Packet:
    start, size = (at + 12, 4) if version == 4 else (at + 8, 16)
    source, dest = frame[start : start + size], frame[start + size : start + 2 * size]
    return Packet(frame, at, version, bytes(source), bytes(dest))


def parse_headers(packet: Packet) -> None:
    """Find layer 4; MalformedError if there is not all that has to be."""
    frame, ip = packet.frame, packet.ip
    if packet.version == 4:
        header, length, packet.protocol = (
            header_bytes(frame, ip),
            number(frame, ip + 2),
            frame[ip + 9],
        )
    else:
        header, length, packet.protocol = 40, 40 + number(frame, ip + 4), frame[ip + 6]
    packet.l4, packet.end = ip + header, ip + length
    if frame[ip] >> 4 != packet.version or header < 20 or length < header:
        raise MalformedError
    if packet.end > len(frame):
        raise MalformedError
    if packet.version == 4:
        note_fragment(packet, frame[ip + 4 : ip + 6], number(frame, ip + 6), 0x1FFF, 0x2000)
    else:
        step_over_extensions(packet)
    ours = packet.protocol in {TCP, UDP, ICMP_OF[packet.version]}
    if ours and not packet.is_later and packet.l4 + L4_BYTES[packet.protocol] > packet.end:
        raise MalformedError


def step_over_extensions(packet: Packet) -> None:
    frame = packet.frame
    while packet.protocol in EXTENSIONS and not packet.is_later:
        at, kind = packet.l4, packet.protocol
        packet.extensions += 1
        if packet.extensions > EXTENSIONS_AT_MOST or at + 8 > packet.end:
            raise MalformedError
        packet.protocol, packet.l4 = frame[at], at + 8
        if kind == FRAGMENT:
            note_fragment(packet, frame[at + 4 : at + 8], number(frame, at + 2), 0xFFF8, 1)
        else:
            packet.l4 += frame[at + 1] * 8
        if packet.l4 > packet.end:
            raise MalformedError


def note_fragment(
    packet: Packet, datagram_id: bytearray, word: int, offset: int, more: int
) -> None:
    """Keep what a fragment header says; ``offset`` and ``more`` are bits of ``word``."""
    whole = (packet.source, packet.dest, bytes(datagram_id), packet.protocol)
    packet.datagram = Datagram(*whole)
    packet.is_later = bool(word & offset)
    packet.is_first = bool(word & more) and not packet.is_later


def parse_quote(error: Packet) -> Packet | None:
    """Return the packet that an ICMP error quotes; None if it does not show the ports."""
    frame, at = error.frame, error.l4 + 8
    if at + (20 if error.version == 4 else 40) > error.end:
        return None
    quote = packet_at(frame, at, error.version)
    quote.end = error.end
    if error.version == 4:
        quote.protocol, quote.l4 = frame[at + 9], at + header_bytes(frame, at)
        quote.is_later = bool(number(frame, at + 6) & 0x1FFF)
        if quote.l4 < at + 20:
            return None
    else:
        quote.protocol, quote.l4 = frame[at + 6], at + 40
        try:
            step_over_extensions(quote)
        except MalformedError:
            return None
    if quote.is_later:
        return None
    if quote.protocol not in {TCP, UDP} or quote.l4 + QUOTED_BYTES > error.end:
        return None
    return None if is_mapped(quote.source) or is_mapped(quote.dest) else quote


def rewrite(
    frame: bytearray, changes: dict[int, bytes], checksums: Iterable[Checksum]
) -> None:
    """Write the changes; leave each checksum over them as right as it was.

    A checksum within what another one covers comes before that.
    """
    before = bytes(frame)
    for at, new in changes.items():
        frame[at : at + len(new)] = new
    for checksum in checksums:
        check = number(frame, checksum.at)
        if not any(at in part for at in changes for part in checksum.covers):
            continue
        if checksum.is_udp and check == 0:  # RFC 768: there is none
            continue
        more = sum(total(frame, part) - total(before, part) for part in checksum.covers)
        check = 0xFFFF - ((0xFFFF - check + more) % 0xFFFF or 0xFFFF)
        if checksum.is_udp and check == 0:
            check = 0xFFFF
        frame[checksum.at : checksum.at + 2] = port(check)


def total(data: bytes | bytearray, part: range) -> int:
    """Return the one's complement sum: as 2¹⁶ is 1 modulo 2¹⁶ - 1, just a remainder."""
    covered = data[part.start : part.stop] + b"\0" * (len(part) % 2)
    return int.from_bytes(covered, "big") % 0xFFFF


def is_mapped(address: bytes) -> bool:
    """Tell whether it is an IPv4 address in IPv6's form (RFC 4291, 2.5.5.2)."""
    return len(address) == 16 and IPv6Address(address).ipv4_mapped is not None


def mapped(address: bytes) -> bytes:
    """Return an address of either family in IPv6's form."""
    return address.rjust(6, b"\xff").rjust(16, b"\0")


def header_bytes(frame: bytearray, ip: int) -> int:
    return (frame[ip] & 15) * 4


def number(data: bytes | bytearray, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def port(value: int) -> bytes:
    return value.to_bytes(2, "big")
