"""Stand-ins: the addresses that backends of a VIP have for this host's probes. Pure.

``bpf/probes.h`` as Python sees it. Each instance has a prefix of its own in each family, of
addresses that no network has, and each backend of a VIP a number in it.
"""

import hashlib
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Final, Self

from cffi import FFI

from dataplane.source import BPF_DIRECTORY

_KERNEL_TYPES: Final = """
typedef uint8_t __u8; typedef uint32_t __u32;
typedef uint16_t __be16; typedef uint32_t __be32;
"""
_ffi: Final = FFI()
_ffi.cdef(_KERNEL_TYPES + (BPF_DIRECTORY / "probes.h").read_text(encoding="utf-8"))
_constants: Final[Any] = _ffi.dlopen(None)
TARGETS: Final[int] = _constants.GW_PROBE_TARGETS
_MAPPED: Final = bytes(10) + b"\xff\xff"

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Target:
    """What a packet to a stand-in becomes."""

    vip: Address
    ifindex: int  # of the interface that leads to the backend
    to: bytes  # the backend's MAC
    source: bytes  # this host's MAC there

    def pack(self) -> bytes:
        """Return it as the map ``targets`` has it."""
        made: Any = _ffi.new("struct gw_probe_target *")
        _ffi.memmove(_ffi.addressof(made.vip), packed(self.vip), 16)
        made.ifindex, made.to = self.ifindex, self.to
        setattr(made, "from", self.source)  # a word of Python's
        return bytes(_ffi.buffer(made))


def pack_device(ifindex: int, mac: bytes) -> bytes:
    """Return what the map ``device`` says of the interface that stand-ins are behind."""
    made: Any = _ffi.new("struct gw_probe_device *", {"ifindex": ifindex, "mac": mac})
    return bytes(_ffi.buffer(made))


def packed(address: Address) -> bytes:
    """Return an address in 16 bytes."""
    return address.packed if address.version == 6 else _MAPPED + address.packed  # noqa: PLR2004


@dataclass(frozen=True, slots=True)
class Prefixes:
    """Where the stand-ins of an instance are."""

    name: str  # of the interface that they are behind
    handle: int  # of the filters on other interfaces
    ipv4: IPv4Network  # within 240.0.0.0/4, which is reserved for a future that never came
    ipv6: IPv6Network  # a unique local one, RFC 4193

    @classmethod
    def of(cls, instance: str) -> Self:
        """Return those of an instance, the same at every start."""
        digest = hashlib.blake2b(instance.encode(), digest_size=16).digest()
        return cls(
            name=f"gwp-{digest.hex()[:8]}",
            handle=int.from_bytes(digest[4:8], "big") >> 1 | 1,
            ipv4=IPv4Network((bytes([240 + digest[8] % 15, digest[9], 0, 0]), 16)),
            ipv6=IPv6Network((b"\xfd" + digest[:5] + bytes(10), 64)),
        )

    def address(self, version: int, number: int) -> Address:
        """Return the stand-in of that number, for backends of an IP version."""
        return self.of_version(version)[number]

    def of_version(self, version: int) -> IPv4Network | IPv6Network:
        """Return the prefix of an IP version."""
        return self.ipv4 if version == 4 else self.ipv6  # noqa: PLR2004
