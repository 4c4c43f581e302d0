"""The Internet checksum, RFC 1071."""

import struct


def internet_checksum(data: bytes) -> int:
    """Return the checksum; 0 if ``data`` includes its own, right, checksum."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
