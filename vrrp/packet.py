"""The VRRP version 3 message for IPv4 as bytes; RFC 9568, section 5.2.

    0         version 3 (4 bits), type 1 (4 bits)
    1         VRID
    2         priority
    3         number of addresses, n
    4..5      reserved (4 bits), interval in centiseconds (12 bits)
    6..7      checksum
    8..       n addresses of 4 bytes

Bytes are checked here, policy is not: whether the VRID is ours is for the caller to say.
"""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from vrrp.errors import MalformedError

PROTOCOL: Final = 112  # in the IP header
GROUP: Final = IPv4Address("224.0.0.18")
TTL: Final = 255  # what was routed has less: nobody can speak VRRP from afar

_VERSION_AND_TYPE: Final = 0x31
_INTERVAL_MASK: Final = 0x0FFF
_HEADER: Final = struct.Struct("!BBBBHH")
_PSEUDO_HEADER: Final = struct.Struct("!4s4sxBH")
_CHECKSUM: Final = slice(6, 8)
_ADDRESS_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Advertisement:
    """What an Active router says about itself."""

    vrid: int  # 1…255
    priority: int  # 1…254, 255 for the owner of the addresses, 0 for "I resign"
    interval: float  # seconds between advertisements, 0.01…40.95 in steps of 0.01
    addresses: tuple[IPv4Address, ...]  # 1…255 of them

    def pack(self, source: IPv4Address, destination: IPv4Address) -> bytes:
        """Return the message with its checksum.

        RFC 5798 leaves open whether the IPv4 checksum covers a pseudo-header. This is the
        form with one, as keepalived sends it and expects it.
        """
        header = _HEADER.pack(
            _VERSION_AND_TYPE,
            self.vrid,
            self.priority,
            len(self.addresses),
            round(self.interval * 100),
            0,
        )
        message = bytearray(header + b"".join(a.packed for a in self.addresses))
        covered = _pseudo_header(source, destination, len(message)) + message
        message[_CHECKSUM] = _checksum(covered).to_bytes(2, "big")
        return bytes(message)


def parse(
    data: bytes, source: IPv4Address, destination: IPv4Address, ttl: int
) -> Advertisement:
    """Return what a message says, or raise MalformedError that says why it is discarded.

    ``data`` is what follows the IP header. Whatever it holds, no other error is raised.
    Both forms of the checksum are accepted, with the pseudo-header and without.
    """
    if ttl != TTL:
        raise MalformedError(f"its TTL is {ttl}, not {TTL}")
    if len(data) < _HEADER.size:
        raise MalformedError(f"it has {len(data)} bytes, fewer than a header of 8")
    version_and_type, vrid, priority, count, interval, _ = _HEADER.unpack_from(data)
    if version_and_type != _VERSION_AND_TYPE:
        version, kind = version_and_type >> 4, version_and_type & 0x0F
        raise MalformedError(f"it has version {version} and type {kind}, not 3 and 1")
    if vrid == 0:
        raise MalformedError("its VRID is 0")
    if count == 0:
        raise MalformedError("it names no address")
    expected = _HEADER.size + count * _ADDRESS_BYTES
    if len(data) != expected:
        raise MalformedError(
            f"it has {len(data)} bytes, not {expected} for {count} addresses"
        )
    centiseconds = interval & _INTERVAL_MASK  # the reserved bits are to be ignored
    if centiseconds == 0:
        raise MalformedError("its interval is 0")
    pseudo_header = _pseudo_header(source, destination, len(data))
    if _checksum(pseudo_header + data) and _checksum(data):
        raise MalformedError("its checksum is wrong")
    addresses = tuple(
        IPv4Address(data[offset : offset + _ADDRESS_BYTES])
        for offset in range(_HEADER.size, expected, _ADDRESS_BYTES)
    )
    return Advertisement(vrid, priority, centiseconds / 100, addresses)


def _pseudo_header(source: IPv4Address, destination: IPv4Address, length: int) -> bytes:
    return _PSEUDO_HEADER.pack(source.packed, destination.packed, PROTOCOL, length)


def _checksum(data: bytes) -> int:
    """Return the Internet checksum; 0 if ``data`` includes its own, right, checksum."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
