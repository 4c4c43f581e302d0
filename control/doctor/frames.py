"""Questions to other hosts, as Ethernet frames. Pure.

They are sent below the IP stack, which would not speak with a VIP of its own.
"""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from control.addresses import IpAddress
from vrrp.checksum import internet_checksum, pseudo_header

ARP: Final = 0x0806
IPV4: Final = 0x0800
IPV6: Final = 0x86DD
ETHERNET: Final = struct.Struct("!6s6sH")
ARP_BODY: Final = struct.Struct("!HHBBH6s4s6s4s")
_ARP_REQUEST: Final = 1
IPV4_HEADER: Final = struct.Struct("!BBHHHBBH4s4s")
IPV6_HEADER: Final = struct.Struct("!IHBB16s16s")
TCP: Final = struct.Struct("!HHIIBBHHH")
ECHO: Final = struct.Struct("!BBHHH")
NEIGHBOUR: Final = struct.Struct("!BBHI16s")
_BROADCAST: Final = b"\xff" * 6
PROTOCOL_TCP: Final = 6
PROTOCOL_ICMP: Final = 1
PROTOCOL_ICMPV6: Final = 58
ECHOES: Final = {PROTOCOL_ICMP: (8, 0), PROTOCOL_ICMPV6: (128, 129)}  # request, reply
_SOLICITATION: Final = 135
SYN: Final = 0x02
RST: Final = 0x04
NO_FRAGMENT: Final = 0x4000
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


def syn(ends: Ends, port: int, source_port: int) -> tuple[bytes, Key]:
    """Return the frame that asks whether somebody listens at a TCP port."""
    header = (source_port, port, 1, 0, _WORDS << 4, SYN, _WINDOW)
    return _tcp(ends, *header), Key("tcp", ends.address, ends.source, port, source_port)


def reset(ends: Ends, port: int, source_port: int, sequence: int) -> bytes:
    """Return the frame that takes the question back."""
    return _tcp(ends, source_port, port, sequence, 0, _WORDS << 4, RST, 0)


def echo(ends: Ends, identifier: int, length: int = 0) -> tuple[bytes, Key]:
    """Return the frame that asks for an ICMP echo; ``identifier`` is 0…65535.

    The packet is filled up to ``length`` bytes, and nobody may send it on in fragments.
    """
    is_old = ends.address.version == 4  # noqa: PLR2004
    protocol = PROTOCOL_ICMP if is_old else PROTOCOL_ICMPV6
    headers = (IPV4_HEADER if is_old else IPV6_HEADER).size + ECHO.size
    padding = bytes(max(0, length - headers))
    kind, _ = ECHOES[protocol]
    unsigned = ECHO.pack(kind, 0, 0, identifier, 1) + padding
    pseudo = (
        b"" if is_old else pseudo_header(ends.source, ends.address, protocol, len(unsigned))
    )
    checksum = internet_checksum(pseudo + unsigned)
    signed = ECHO.pack(kind, 0, checksum, identifier, 1) + padding
    key = Key("echo", ends.address, ends.source, number=identifier)
    return _packet(ends, protocol, signed), key


def who_has(address: IpAddress, mac: bytes, source: IpAddress) -> tuple[bytes, Key]:
    """Return the frame that asks who has ``address``; RFC 826, RFC 4861 section 4.3.

    ``mac`` and ``source`` are ours; of IPv4, nobody's address is said (RFC 5227).
    """
    key = Key("neighbour", address)
    if isinstance(address, IPv4Address):
        body = ARP_BODY.pack(
            1, IPV4, 6, 4, _ARP_REQUEST, mac, bytes(4), bytes(6), address.packed
        )
        return ETHERNET.pack(_BROADCAST, mac, ARP) + body, key
    group = IPv6Address(b"\xff\x02" + bytes(9) + b"\x01\xff" + address.packed[13:])
    ends = Ends(mac, b"\x33\x33" + group.packed[12:], source, group, _ALL_HOPS)
    option = b"\x01\x01" + mac  # source link-layer address
    unsigned = NEIGHBOUR.pack(_SOLICITATION, 0, 0, 0, address.packed) + option
    checksum = internet_checksum(
        pseudo_header(ends.source, ends.address, PROTOCOL_ICMPV6, len(unsigned)) + unsigned
    )
    signed = NEIGHBOUR.pack(_SOLICITATION, 0, checksum, 0, address.packed) + option
    return _packet(ends, PROTOCOL_ICMPV6, signed), key


def _tcp(ends: Ends, *fields: int) -> bytes:
    unsigned = TCP.pack(*fields, 0, 0)
    pseudo = pseudo_header(ends.source, ends.address, PROTOCOL_TCP, len(unsigned))
    return _packet(
        ends,
        PROTOCOL_TCP,
        TCP.pack(*fields, internet_checksum(pseudo + unsigned), 0),
    )


def _packet(ends: Ends, protocol: int, payload: bytes) -> bytes:
    """Return ``payload`` with the headers of Ethernet and IP before it."""
    places = ends.source.packed, ends.address.packed
    if ends.address.version == 6:  # noqa: PLR2004
        ethernet = ETHERNET.pack(ends.mac, ends.source_mac, IPV6)
        header = IPV6_HEADER.pack(6 << 28, len(payload), protocol, ends.hops, *places)
        return ethernet + header + payload
    ethernet = ETHERNET.pack(ends.mac, ends.source_mac, IPV4)
    length = IPV4_HEADER.size + len(payload)
    fields = (0x45, 0, length, 0, NO_FRAGMENT, ends.hops, protocol)
    checksum = internet_checksum(IPV4_HEADER.pack(*fields, 0, *places))
    return ethernet + IPV4_HEADER.pack(*fields, checksum, *places) + payload
