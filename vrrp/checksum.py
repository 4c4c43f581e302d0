"""The Internet checksum, RFC 1071, and what it covers besides a message."""

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final

_IPV4: Final = 4


def internet_checksum(data: bytes) -> int:
    """Return the checksum; 0 if ``data`` includes its own, right, checksum."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def pseudo_header(
    source: IPv4Address | IPv6Address,
    destination: IPv4Address | IPv6Address,
    protocol: int,
    length: int,
) -> bytes:
    """Return the pseudo-header of either family: RFC 9293, RFC 8200 section 8.1.

    ``length`` is that of the message, in bytes.
    """
    form = "!HH" if source.version == _IPV4 else "!II"
    return source.packed + destination.packed + struct.pack(form, protocol, length)
