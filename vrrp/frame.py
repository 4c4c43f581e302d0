"""Advertisements as whole frames: the kernel puts no other MAC on them than its own.

RFC 9568, 7.3: what an Active multicasts bears the virtual router's MAC as its source, so
that switches learn by which port it is reached now.
"""

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from vrrp.checksum import internet_checksum
from vrrp.packet import INTERNETWORK_CONTROL, IPV4, PROTOCOL, TTL, IpAddress

_ETHERNET: Final = struct.Struct("!6s6sH")
_ETHERTYPE_IPV4: Final = 0x0800
_ETHERTYPE_IPV6: Final = 0x86DD
_IPV4: Final = struct.Struct("!BBHHHBBH4s4s")
_IPV4_VERSION_AND_WORDS: Final = 0x45
_IPV6: Final = struct.Struct("!IHBB16s16s")
_IPV6_VERSION: Final = 6 << 28
_GROUP_MAC: Final = bytes.fromhex("01005e")  # RFC 1112, 6.4: and 23 bits of the group
_GROUP_BITS: Final = 0x7FFFFF
_GROUP_MAC6: Final = bytes.fromhex("3333")  # RFC 2464, 7: and its last 32 bits


def frame(mac: bytes, source: IpAddress, group: IpAddress, message: bytes) -> bytes:
    """Return the frame from ``mac`` that carries an advertisement to a multicast group."""
    if group.version == IPV4:
        ethernet = _ETHERNET.pack(_mac_of_group(group), mac, _ETHERTYPE_IPV4)
        header = _ipv4(0, source, group, message)
        header = _ipv4(internet_checksum(header), source, group, message)
        return ethernet + header + message
    ethernet = _ETHERNET.pack(_mac_of_group(group), mac, _ETHERTYPE_IPV6)
    return ethernet + _ipv6(source, group, message) + message


def _mac_of_group(group: IPv4Address | IPv6Address) -> bytes:
    if group.version == IPV4:
        return _GROUP_MAC + (int(group) & _GROUP_BITS).to_bytes(3, "big")
    return _GROUP_MAC6 + group.packed[-4:]


def _ipv4(checksum: int, source: IpAddress, group: IpAddress, message: bytes) -> bytes:
    return _IPV4.pack(
        _IPV4_VERSION_AND_WORDS,
        INTERNETWORK_CONTROL,
        _IPV4.size + len(message),
        0,
        0,
        TTL,
        PROTOCOL,
        checksum,
        source.packed,
        group.packed,
    )


def _ipv6(source: IpAddress, group: IpAddress, message: bytes) -> bytes:
    first = _IPV6_VERSION | INTERNETWORK_CONTROL << 20
    return _IPV6.pack(first, len(message), PROTOCOL, TTL, source.packed, group.packed)
