"""The headers of a TCP or UDP packet: to make one, and to see what became of it. Pure.

Checksums are left 0: the program mends them by what it changes and never looks whether they
were right, and what is made here is not sent to anybody.
"""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Self

from dataplane.records import SERVICE_VLAN, VLAN, IpAddress, Tag

TCP: Final = 6  # IANA's protocol numbers
UDP: Final = 17
SYN: Final = 0x02  # RFC 9293, 3.1
ACK: Final = 0x10

_MACS_BYTES: Final = 12
_IPV4: Final = 0x0800  # EtherTypes
_IPV6: Final = 0x86DD
_IPV4_HEADER: Final = struct.Struct("!BBHHHBBH4s4s")  # RFC 791, 3.1
_IPV6_HEADER: Final = struct.Struct("!IHBB16s16s")  # RFC 8200, 3
_TCP_REST: Final = struct.Struct("!IIBBHHH")  # behind the ports
_UDP_REST: Final = struct.Struct("!HH")
_PORTS: Final = struct.Struct("!HH")
_VLAN_ID: Final = 0x0FFF


@dataclass(frozen=True, slots=True)
class Headers:
    """All that names a packet's way; addresses are of one family."""

    source_mac: bytes
    destination_mac: bytes
    tags: tuple[Tag, ...]  # the outer one first
    source: IpAddress
    destination: IpAddress
    ttl: int  # or hop limit
    protocol: int  # TCP or UDP
    source_port: int
    destination_port: int

    def frame(self, flags: int = 0) -> bytes:
        """Return a frame with these headers and no data; ``flags`` are TCP's."""
        rest = _UDP_REST.pack(8, 0)
        if self.protocol == TCP:
            rest = _TCP_REST.pack(0, 0, 5 << 4, flags, 0xFFFF, 0, 0)
        l4 = _PORTS.pack(self.source_port, self.destination_port) + rest
        tags = b"".join(_PORTS.pack(tag.protocol, tag.id) for tag in self.tags)
        macs = self.destination_mac + self.source_mac
        return macs + tags + self._ip_header(len(l4)) + l4

    def _ip_header(self, l4_bytes: int) -> bytes:
        """Return the EtherType and the IP header."""
        ends = self.source.packed, self.destination.packed
        if isinstance(self.source, IPv4Address):
            total = _IPV4_HEADER.size + l4_bytes
            header = _IPV4_HEADER.pack(
                0x45, 0, total, 0, 0, self.ttl, self.protocol, 0, *ends
            )
            return _IPV4.to_bytes(2, "big") + header
        header = _IPV6_HEADER.pack(6 << 28, l4_bytes, self.protocol, self.ttl, *ends)
        return _IPV6.to_bytes(2, "big") + header

    @classmethod
    def of(cls, frame: bytes) -> Self:
        """Read what :meth:`frame` has made and the program, perhaps, has changed."""
        tags, place = _tags(frame)
        (kind,) = struct.unpack_from("!H", frame, place)
        place += 2
        source: IpAddress
        destination: IpAddress
        if kind == _IPV4:
            *_, ttl, protocol, _, first, second = _IPV4_HEADER.unpack_from(frame, place)
            source, destination = IPv4Address(first), IPv4Address(second)
            place += _IPV4_HEADER.size
        else:
            _, _, protocol, ttl, first, second = _IPV6_HEADER.unpack_from(frame, place)
            source, destination = IPv6Address(first), IPv6Address(second)
            place += _IPV6_HEADER.size
        ports = _PORTS.unpack_from(frame, place)
        macs = frame[6:_MACS_BYTES], frame[:6]
        return cls(*macs, tags, source, destination, ttl, protocol, *ports)


def _tags(frame: bytes) -> tuple[tuple[Tag, ...], int]:
    """Return the tags of a frame, and where the EtherType behind them is."""
    tags: list[Tag] = []
    place = _MACS_BYTES
    while True:
        protocol, word = _PORTS.unpack_from(frame, place)
        if protocol not in (VLAN, SERVICE_VLAN):
            return tuple(tags), place
        tags.append(Tag(word & _VLAN_ID, protocol))
        place += _PORTS.size
