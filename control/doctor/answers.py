"""What frames answer, and what they say unasked. Pure.

Whatever a frame holds, reading it raises nothing: it may come from anybody.
"""

import struct
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from control.addresses import IpAddress
from control.doctor.frames import (
    ARP,
    ARP_BODY,
    ECHO,
    ECHOES,
    ETHERNET,
    IPV4,
    IPV4_HEADER,
    IPV6,
    IPV6_HEADER,
    NEIGHBOUR,
    PROTOCOL_ICMP,
    PROTOCOL_ICMPV6,
    PROTOCOL_TCP,
    RST,
    SYN,
    TCP,
    Key,
)
from vrrp.checksum import internet_checksum, pseudo_header
from vrrp.machine import RESIGN_PRIORITY
from vrrp.packet import PROTOCOL as PROTOCOL_VRRP

_ARP_REPLY: Final = 2
_ACK: Final = 0x10
_ADVERTISEMENT: Final = 136  # of a neighbour
_MORE_FRAGMENTS: Final = 0x2000
_FRAGMENT_OFFSET: Final = 0x1FFF
_FRAGMENT: Final = struct.Struct("!BBHI")  # RFC 8200, section 4.5
_PROTOCOL_FRAGMENT: Final = 44
_OFFSET_6: Final = 0xFFF8
_MORE_6: Final = 1
# Type and code of those who say that a packet is too long: RFC 792 and 1191, RFC 4443.
_TOO_LONG: Final = {PROTOCOL_ICMP: (3, 4), PROTOCOL_ICMPV6: (2, 0)}
_VRRP: Final = struct.Struct("!BBB")  # version and type, VRID, priority
_VRRP_TYPE: Final = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """One frame that answers."""

    key: Key
    mac: bytes  # of who says it
    checksum_is_right: bool = True
    accepts: bool = False  # TCP: somebody listens
    next: int = 0  # TCP: the sequence number that is expected of us
    is_whole: bool = True  # False: an echo's first fragment
    limit: int = 0  # bytes; not an echo, but that no longer packet gets through


@dataclass(frozen=True, slots=True)
class Advert:
    """A VRRP advertisement of a router that is Active."""

    vrid: int
    source: IpAddress
    mac: bytes  # of who says it


@dataclass(frozen=True, slots=True)
class _Packet:
    """An IP packet, or the first fragment of one."""

    mac: bytes  # of who sent its frame
    protocol: int
    source: IpAddress
    destination: IpAddress
    payload: bytes
    is_whole: bool = True


def read(frame: bytes) -> Answer | None:
    """Return what ``frame`` answers, whoever asked; None: nothing, or it is damaged."""
    if len(frame) < ETHERNET.size:
        return None
    _, _, ethertype = ETHERNET.unpack_from(frame)
    if ethertype == ARP:
        return _read_arp(frame[ETHERNET.size :])
    packet = _read_packet(frame)
    if packet is None:
        return None
    if packet.protocol == PROTOCOL_TCP:
        return _read_tcp(packet)
    return _read_icmp(packet) if packet.protocol in ECHOES else None


def read_advert(frame: bytes) -> Advert | None:
    """Return what ``frame`` advertises; None: nothing, or that somebody resigns."""
    packet = _read_packet(frame) if len(frame) >= ETHERNET.size else None
    if packet is None or packet.protocol != PROTOCOL_VRRP:
        return None
    if len(packet.payload) < _VRRP.size:
        return None
    first, vrid, priority = _VRRP.unpack_from(packet.payload)
    if first & 0x0F != _VRRP_TYPE or priority == RESIGN_PRIORITY:
        return None
    return Advert(vrid, packet.source, packet.mac)


def _read_arp(body: bytes) -> Answer | None:
    if len(body) < ARP_BODY.size:
        return None
    *_, operation, mac, address, _, _ = ARP_BODY.unpack_from(body)
    if operation != _ARP_REPLY:
        return None
    return Answer(Key("neighbour", IPv4Address(address)), mac)


def _read_packet(frame: bytes) -> _Packet | None:
    _, mac, ethertype = ETHERNET.unpack_from(frame)
    rest = frame[ETHERNET.size :]
    if ethertype == IPV4:
        return _read_ipv4(mac, rest)
    return _read_ipv6(mac, rest) if ethertype == IPV6 else None


def _read_ipv4(mac: bytes, packet: bytes) -> _Packet | None:
    if len(packet) < IPV4_HEADER.size:
        return None
    first, _, length, _, fragment, _, protocol, _, source, address = (
        IPV4_HEADER.unpack_from(packet)
    )
    start = (first & 0x0F) * 4
    if first >> 4 != 4 or not IPV4_HEADER.size <= start <= length <= len(packet):  # noqa: PLR2004
        return None
    if fragment & _FRAGMENT_OFFSET:
        return None
    return _Packet(
        mac,
        protocol,
        IPv4Address(source),
        IPv4Address(address),
        packet[start:length],
        is_whole=not fragment & _MORE_FRAGMENTS,
    )


def _read_ipv6(mac: bytes, packet: bytes) -> _Packet | None:
    if len(packet) < IPV6_HEADER.size:
        return None
    first, length, protocol, _, source, address = IPV6_HEADER.unpack_from(packet)
    payload = packet[IPV6_HEADER.size :][:length]
    if first >> 28 != 6 or len(payload) < length:  # noqa: PLR2004
        return None
    whole = _Packet(mac, protocol, IPv6Address(source), IPv6Address(address), payload)
    if protocol != _PROTOCOL_FRAGMENT:
        return whole
    if len(payload) < _FRAGMENT.size:
        return None
    protocol, _, place, _ = _FRAGMENT.unpack_from(payload)
    if place & _OFFSET_6:
        return None
    rest = payload[_FRAGMENT.size :]
    return replace(whole, protocol=protocol, payload=rest, is_whole=not place & _MORE_6)


def _read_tcp(packet: _Packet) -> Answer | None:
    payload = packet.payload
    if len(payload) < TCP.size:
        return None
    port, number, _, following, _, flags, *_ = TCP.unpack_from(payload)
    if not flags & (RST | _ACK):
        return None
    key = Key("tcp", packet.source, packet.destination, port, number)
    pseudo = pseudo_header(packet.source, packet.destination, PROTOCOL_TCP, len(payload))
    is_right = not internet_checksum(pseudo + payload)
    return Answer(key, packet.mac, is_right, bool(flags & SYN), following)


def _read_icmp(packet: _Packet) -> Answer | None:
    protocol, payload = packet.protocol, packet.payload
    if len(payload) < ECHO.size:
        return None
    kind, code, _, identifier, _ = ECHO.unpack_from(payload)
    if kind == ECHOES[protocol][1]:
        key = Key("echo", packet.source, packet.destination, number=identifier)
        return Answer(key, packet.mac, is_whole=packet.is_whole)
    if (kind, code) == _TOO_LONG[protocol]:
        return _read_too_long(packet)
    is_neighbours = (protocol, kind) == (PROTOCOL_ICMPV6, _ADVERTISEMENT)
    if is_neighbours and len(payload) >= NEIGHBOUR.size:
        *_, target = NEIGHBOUR.unpack_from(payload)
        return Answer(Key("neighbour", IPv6Address(target)), packet.mac)
    return None


def _read_too_long(packet: _Packet) -> Answer | None:
    """Read what quotes the beginning of an echo request, which was too long."""
    is_old = packet.protocol == PROTOCOL_ICMP
    quoted = packet.payload[ECHO.size :]
    if is_old:
        limit = int.from_bytes(packet.payload[6:8])
        if len(quoted) < IPV4_HEADER.size + ECHO.size:
            return None
        *_, protocol, _, source, address = IPV4_HEADER.unpack_from(quoted)
        asked = quoted[(quoted[0] & 0x0F) * 4 :]
    else:
        limit = int.from_bytes(packet.payload[4:8])
        if len(quoted) < IPV6_HEADER.size + ECHO.size:
            return None
        _, _, protocol, _, source, address = IPV6_HEADER.unpack_from(quoted)
        asked = quoted[IPV6_HEADER.size :]
    if protocol != packet.protocol or len(asked) < ECHO.size:
        return None
    kind, _, _, identifier, _ = ECHO.unpack_from(asked)
    if kind != ECHOES[protocol][0]:
        return None
    family = IPv4Address if is_old else IPv6Address
    key = Key("echo", family(address), family(source), number=identifier)
    return Answer(key, packet.mac, limit=max(1, limit))  # 0: of a router from before 1990
