"""Questions to other hosts as Ethernet frames, and what frames answer. Pure.

They are sent and read below the IP stack, which would not speak with a VIP of its own.
"""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from control.addresses import IpAddress
from vrrp.checksum import internet_checksum

_ARP: Final = 0x0806
_IPV4: Final = 0x0800
_IPV6: Final = 0x86DD
_ETHERNET: Final = struct.Struct("!6s6sH")
_ARP_BODY: Final = struct.Struct("!HHBBH6s4s6s4s")
_ARP_REQUEST: Final = 1
_ARP_REPLY: Final = 2
_IPV4_HEADER: Final = struct.Struct("!BBHHHBBH4s4s")
_IPV6_HEADER: Final = struct.Struct("!IHBB16s16s")
_TCP: Final = struct.Struct("!HHIIBBHHH")
_ECHO: Final = struct.Struct("!BBHHH")
_NEIGHBOUR: Final = struct.Struct("!BBHI16s")
_BROADCAST: Final = b"\xff" * 6
_PROTOCOL_TCP: Final = 6
_PROTOCOL_ICMP: Final = 1
_PROTOCOL_ICMPV6: Final = 58
_ECHOES: Final = {_PROTOCOL_ICMP: (8, 0), _PROTOCOL_ICMPV6: (128, 129)}  # request, reply
_SOLICITATION: Final = 135
_ADVERTISEMENT: Final = 136
_SYN: Final = 0x02
_RST: Final = 0x04
_ACK: Final = 0x10
_NO_FRAGMENT: Final = 0x4000
_HOPS: Final = 64
_ALL_HOPS: Final = 255  # of neighbour discovery: nobody may have routed it
_WORDS: Final = 5  # a TCP header without options, in 32-bit words
_WINDOW: Final = 1024


@dataclass(frozen=True, slots=True)
class Ends:
    """From where to where a question goes."""

    source_mac: bytes
    mac: bytes
    source: IpAddress
    address: IpAddress
    hops: int = _HOPS  # 1: nobody may send it on


@dataclass(frozen=True, slots=True)
class Key:
    """What an answer has in common with its question: who says it, to whom, and in what."""

    kind: str  # "tcp", "echo" or "neighbour"
    speaker: IpAddress
    hearer: IpAddress | None = None  # None: of neighbours, whoever asks
    speaker_port: int = 0
    number: int = 0  # the asker's port, or the echo's identifier


@dataclass(frozen=True, slots=True)
class Question:
    """A frame to be sent, and what would answer it."""

    interface: str
    frame: bytes
    key: Key


@dataclass(frozen=True, slots=True)
class Answer:
    """One frame that answers."""

    key: Key
    mac: bytes  # of who says it
    checksum_is_right: bool = True
    accepts: bool = False  # TCP: somebody listens
    next: int = 0  # TCP: the sequence number that is expected of us


def syn(ends: Ends, port: int, source_port: int) -> tuple[bytes, Key]:
    """Return the frame that asks whether somebody listens at a TCP port."""
    header = (source_port, port, 1, 0, _WORDS << 4, _SYN, _WINDOW)
    return _tcp(ends, *header), Key("tcp", ends.address, ends.source, port, source_port)


def reset(ends: Ends, port: int, source_port: int, sequence: int) -> bytes:
    """Return the frame that takes the question back."""
    return _tcp(ends, source_port, port, sequence, 0, _WORDS << 4, _RST, 0)


def echo(ends: Ends, identifier: int) -> tuple[bytes, Key]:
    """Return the frame that asks for an ICMP echo; ``identifier`` is 0…65535."""
    protocol = _PROTOCOL_ICMP if ends.address.version == 4 else _PROTOCOL_ICMPV6  # noqa: PLR2004
    kind, _ = _ECHOES[protocol]
    unsigned = _ECHO.pack(kind, 0, 0, identifier, 1)
    pseudo = b"" if protocol == _PROTOCOL_ICMP else _pseudo(ends, protocol, len(unsigned))
    signed = _ECHO.pack(kind, 0, internet_checksum(pseudo + unsigned), identifier, 1)
    key = Key("echo", ends.address, ends.source, number=identifier)
    return _packet(ends, protocol, signed), key


def who_has(address: IpAddress, mac: bytes, source: IpAddress) -> tuple[bytes, Key]:
    """Return the frame that asks who has ``address``; RFC 826, RFC 4861 section 4.3.

    ``mac`` and ``source`` are ours; of IPv4, nobody's address is said (RFC 5227).
    """
    key = Key("neighbour", address)
    if isinstance(address, IPv4Address):
        body = _ARP_BODY.pack(
            1, _IPV4, 6, 4, _ARP_REQUEST, mac, bytes(4), bytes(6), address.packed
        )
        return _ETHERNET.pack(_BROADCAST, mac, _ARP) + body, key
    group = IPv6Address(b"\xff\x02" + bytes(9) + b"\x01\xff" + address.packed[13:])
    ends = Ends(mac, b"\x33\x33" + group.packed[12:], source, group, _ALL_HOPS)
    option = b"\x01\x01" + mac  # source link-layer address
    unsigned = _NEIGHBOUR.pack(_SOLICITATION, 0, 0, 0, address.packed) + option
    checksum = internet_checksum(_pseudo(ends, _PROTOCOL_ICMPV6, len(unsigned)) + unsigned)
    signed = _NEIGHBOUR.pack(_SOLICITATION, 0, checksum, 0, address.packed) + option
    return _packet(ends, _PROTOCOL_ICMPV6, signed), key


def read(frame: bytes) -> Answer | None:
    """Return what ``frame`` answers, whoever asked; None: nothing, or it is damaged."""
    if len(frame) < _ETHERNET.size:
        return None
    _, mac, ethertype = _ETHERNET.unpack_from(frame)
    rest = frame[_ETHERNET.size :]
    if ethertype == _ARP:
        return _read_arp(rest)
    if ethertype == _IPV4:
        return _read_ipv4(mac, rest)
    return _read_ipv6(mac, rest) if ethertype == _IPV6 else None


def _read_arp(body: bytes) -> Answer | None:
    if len(body) < _ARP_BODY.size:
        return None
    *_, operation, mac, address, _, _ = _ARP_BODY.unpack_from(body)
    if operation != _ARP_REPLY:
        return None
    return Answer(Key("neighbour", IPv4Address(address)), mac)


def _read_ipv4(mac: bytes, packet: bytes) -> Answer | None:
    if len(packet) < _IPV4_HEADER.size:
        return None
    first, _, length, _, fragment, _, protocol, _, source, address = (
        _IPV4_HEADER.unpack_from(packet)
    )
    start = (first & 0x0F) * 4
    if first >> 4 != 4 or fragment & ~_NO_FRAGMENT or not start <= length <= len(packet):  # noqa: PLR2004
        return None
    ends = Ends(mac, b"", IPv4Address(source), IPv4Address(address))
    return _read_payload(ends, protocol, packet[start:length])


def _read_ipv6(mac: bytes, packet: bytes) -> Answer | None:
    if len(packet) < _IPV6_HEADER.size:
        return None
    first, length, protocol, _, source, address = _IPV6_HEADER.unpack_from(packet)
    payload = packet[_IPV6_HEADER.size :][:length]
    if first >> 28 != 6 or len(payload) < length:  # noqa: PLR2004
        return None
    ends = Ends(mac, b"", IPv6Address(source), IPv6Address(address))
    return _read_payload(ends, protocol, payload)


def _read_payload(ends: Ends, protocol: int, payload: bytes) -> Answer | None:
    if protocol == _PROTOCOL_TCP and len(payload) >= _TCP.size:
        port, number, _, following, _, flags, *_ = _TCP.unpack_from(payload)
        if not flags & (_RST | _ACK):
            return None
        key = Key("tcp", ends.source, ends.address, port, number)
        right = not internet_checksum(_pseudo(ends, protocol, len(payload)) + payload)
        return Answer(key, ends.source_mac, right, bool(flags & _SYN), following)
    if protocol in _ECHOES and len(payload) >= _ECHO.size:
        kind, _, _, identifier, _ = _ECHO.unpack_from(payload)
        if kind == _ECHOES[protocol][1]:
            key = Key("echo", ends.source, ends.address, number=identifier)
            return Answer(key, ends.source_mac)
        if kind == _ADVERTISEMENT and len(payload) >= _NEIGHBOUR.size:
            *_, target = _NEIGHBOUR.unpack_from(payload)
            return Answer(Key("neighbour", IPv6Address(target)), ends.source_mac)
    return None


def _tcp(ends: Ends, *fields: int) -> bytes:
    unsigned = _TCP.pack(*fields, 0, 0)
    pseudo = _pseudo(ends, _PROTOCOL_TCP, len(unsigned))
    return _packet(
        ends,
        _PROTOCOL_TCP,
        _TCP.pack(*fields, internet_checksum(pseudo + unsigned), 0),
    )


def _pseudo(ends: Ends, protocol: int, length: int) -> bytes:
    """Return the pseudo-header of either family: RFC 9293, RFC 8200 section 8.1."""
    form = "!HH" if ends.address.version == 4 else "!II"  # noqa: PLR2004
    return ends.source.packed + ends.address.packed + struct.pack(form, protocol, length)


def _packet(ends: Ends, protocol: int, payload: bytes) -> bytes:
    """Return ``payload`` with the headers of Ethernet and IP before it."""
    places = ends.source.packed, ends.address.packed
    if ends.address.version == 6:  # noqa: PLR2004
        ethernet = _ETHERNET.pack(ends.mac, ends.source_mac, _IPV6)
        header = _IPV6_HEADER.pack(6 << 28, len(payload), protocol, ends.hops, *places)
        return ethernet + header + payload
    ethernet = _ETHERNET.pack(ends.mac, ends.source_mac, _IPV4)
    length = _IPV4_HEADER.size + len(payload)
    fields = (0x45, 0, length, 0, _NO_FRAGMENT, ends.hops, protocol)
    checksum = internet_checksum(_IPV4_HEADER.pack(*fields, 0, *places))
    return ethernet + _IPV4_HEADER.pack(*fields, checksum, *places) + payload
