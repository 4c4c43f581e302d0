"""Keys and values of the maps as frozen values, and their bytes.

Each class is one struct of ``abi.h``; ``pack`` gives its bytes, ``unpack`` reads them. cffi
hands out zeroed memory, so padding is right by itself.
"""

import sys
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Final, Self
from zlib import crc32

from dataplane import abi
from dataplane.abi import constants, ffi

MODE_DR: Final[int] = constants.GW_MODE_DR
MODE_NAT: Final[int] = constants.GW_MODE_NAT
AFFINITY_NONE: Final[int] = constants.GW_AFFINITY_NONE
AFFINITY_TRANSITION: Final[int] = constants.GW_AFFINITY_TRANSITION
AFFINITY_ALWAYS: Final[int] = constants.GW_AFFINITY_ALWAYS
HASH_FLOW: Final[int] = constants.GW_HASH_FLOW
HASH_SOURCE: Final[int] = constants.GW_HASH_SOURCE

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

VLAN: Final = 0x8100  # protocols of tags, as EtherTypes: IEEE 802.1Q
SERVICE_VLAN: Final = 0x88A8  # IEEE 802.1ad

_MAPPED_BITS: Final = 96  # of an IPv4-mapped address before the IPv4 one


@dataclass(frozen=True, slots=True)
class Index:
    """The key of an array."""

    number: int

    def pack(self) -> bytes:
        """Return four bytes in the host's order."""
        return self.number.to_bytes(4, sys.byteorder)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read what :meth:`pack` wrote."""
        return cls(int.from_bytes(data, sys.byteorder))


@dataclass(frozen=True, slots=True)
class Address:
    """``struct gw_address``; as an endpoint, a VIP."""

    address: IpAddress

    def pack(self) -> bytes:
        """Return the address; an IPv4 one is mapped."""
        return _mapped(self.address)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read what :meth:`pack` wrote."""
        return cls(_unmapped(data))


@dataclass(frozen=True, slots=True)
class Tag:
    """A VLAN tag."""

    id: int  # 1…4095
    protocol: int = VLAN

    def __str__(self) -> str:
        kinds = {VLAN: "802.1Q", SERVICE_VLAN: "802.1ad"}
        return f"{kinds.get(self.protocol, hex(self.protocol))} {self.id}"


@dataclass(frozen=True, slots=True)
class Segment:
    """``struct gw_segment``: an interface that the program is attached to, and a VLAN."""

    ifindex: int
    tags: tuple[Tag, ...] = ()  # the outer one first, two at most; none: untagged

    def pack(self) -> bytes:
        """Return the bytes of the struct."""
        key: Any = ffi.new("struct gw_segment *", {"ifindex": self.ifindex})
        self.put(key)
        return bytes(ffi.buffer(key))

    def put(self, field: Any) -> None:
        """Write it into a struct that has one."""
        field.ifindex = self.ifindex
        for place, tag in enumerate(self.tags):
            wire = (tag.protocol << 16 | tag.id).to_bytes(4, "big")
            field.tags[place] = int.from_bytes(wire, sys.byteorder)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read what :meth:`pack` wrote."""
        return cls.get(_cast("gw_segment", data))

    @classmethod
    def get(cls, field: Any) -> Self:
        """Read what :meth:`put` wrote."""
        wires = (int(tag).to_bytes(4, sys.byteorder) for tag in field.tags)
        words = (int.from_bytes(wire, "big") for wire in wires)
        tags = (Tag(word & 0xFFFF, word >> 16) for word in words if word)
        return cls(field.ifindex, tuple(tags))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``struct gw_endpoint`` without its role: a service, or a NAT backend."""

    address: IpAddress
    port: int
    protocol: int

    def pack(self) -> bytes:
        """Return the bytes of the struct."""
        key: Any = ffi.new("struct gw_endpoint *", {"protocol": self.protocol})
        _put(key.address.word, _mapped(self.address))
        key.port = _wire(self.port)
        return bytes(ffi.buffer(key))

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read what :meth:`pack` wrote."""
        key = _cast("gw_endpoint", data)
        return cls(_address(key.address), _wire(key.port), key.protocol)


@dataclass(frozen=True, slots=True)
class Service:
    """``struct gw_service``: what there is to know of a service."""

    id: int
    ring_offset: int
    ring_size: int
    hash_seed: int
    mode: int
    affinity: int = AFFINITY_NONE
    hash: int = HASH_FLOW
    idle_seconds: int = 0
    changed_ns: int = 0  # CLOCK_MONOTONIC
    is_watched: bool = False  # its handshakes are counted

    def pack(self) -> bytes:
        """Return the bytes of the struct."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return bytes(ffi.buffer(ffi.new("struct gw_service *", fields)))

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read what :meth:`pack` wrote."""
        value = _cast("gw_service", data)
        found = {name: getattr(value, name) for name in cls.__slots__}
        return cls(**found | {"is_watched": bool(value.is_watched)})


@dataclass(frozen=True, slots=True)
class Backend:
    """``struct gw_backend``: the value of ``backends``."""

    service_id: int
    address: IpAddress
    port: int
    segment: Segment
    mac: bytes
    source_mac: bytes
    is_down: bool = False
    is_tracked: bool = False

    @property
    def place(self) -> tuple[int, bytes, int]:
        """What makes it this backend, however it is reached."""
        return (self.service_id, self.address.packed, self.port)

    @property
    def owner(self) -> int:
        """What tells this backend from others that have or had its id, 32 bits."""
        return crc32(repr(self.place).encode())

    def pack(self) -> bytes:
        """Return the bytes of the struct; the first of its two hops is the current one."""
        value: Any = ffi.new("struct gw_backend *")
        value.is_used = True
        value.service_id = self.service_id
        hop = value.hops[0]
        self.segment.put(hop.segment)
        value.owner = self.owner
        value.is_down = self.is_down
        value.is_tracked = self.is_tracked
        value.port = _wire(self.port)
        _put(value.address.word, _mapped(self.address))
        _put(hop.mac, self.mac)
        _put(hop.source_mac, self.source_mac)
        return bytes(ffi.buffer(value))

    @classmethod
    def unpack(cls, data: bytes) -> Self | None:
        """Read what :meth:`pack` wrote; None if the entry is nobody's."""
        value = _cast("gw_backend", data)
        if not value.is_used:
            return None
        hop = value.hops[value.current & 1]
        return cls(
            value.service_id,
            _address(value.address),
            _wire(value.port),
            Segment.get(hop.segment),
            bytes(ffi.buffer(hop.mac)),
            bytes(ffi.buffer(hop.source_mac)),
            bool(value.is_down),
            bool(value.is_tracked),
        )


@dataclass(frozen=True, slots=True)
class Return:
    """``struct gw_return``: whom a NAT backend answers for."""

    vip: IpAddress
    port: int
    is_tracked: bool = False
    until_ns: int = 0  # CLOCK_MONOTONIC

    def pack(self) -> bytes:
        """Return the bytes of the struct."""
        value: Any = ffi.new("struct gw_return *")
        _put(value.vip.word, _mapped(self.vip))
        value.port = _wire(self.port)
        value.is_tracked = self.is_tracked
        value.until_ns = self.until_ns
        return bytes(ffi.buffer(value))

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read what :meth:`pack` wrote."""
        value = _cast("gw_return", data)
        return cls(
            _address(value.vip), _wire(value.port), bool(value.is_tracked), value.until_ns
        )


@dataclass(frozen=True, slots=True)
class Prefix:
    """``struct gw_prefix``: the key of ``direct``."""

    network: IpNetwork

    def pack(self) -> bytes:
        """Return the bytes of the struct."""
        bits = _MAPPED_BITS if isinstance(self.network, IPv4Network) else 0
        key: Any = ffi.new("struct gw_prefix *", {"length": bits + self.network.prefixlen})
        _put(key.address.word, _mapped(self.network.network_address))
        return bytes(ffi.buffer(key))

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read what :meth:`pack` wrote."""
        key = _cast("gw_prefix", data)
        address = _address(key.address)
        if isinstance(address, IPv4Address) and key.length >= _MAPPED_BITS:
            return cls(IPv4Network((address, key.length - _MAPPED_BITS)))
        return cls(IPv6Network((bytes(ffi.buffer(key.address.word)), key.length)))


@dataclass(frozen=True, slots=True)
class Port:
    """``struct gw_port``: an interface we are attached to, or of a VLAN on such a one."""

    ifindex: int
    segment: Segment  # where its frames come and go
    mac: bytes

    def pack(self) -> bytes:
        """Return the bytes of the struct."""
        value: Any = ffi.new("struct gw_port *", {"ifindex": self.ifindex})
        self.segment.put(value.segment)
        _put(value.mac, self.mac)
        return bytes(ffi.buffer(value))

    @classmethod
    def unpack(cls, data: bytes) -> Self | None:
        """Read what :meth:`pack` wrote; None if the entry is nobody's."""
        value = _cast("gw_port", data)
        if not value.ifindex:
            return None
        mac = bytes(ffi.buffer(value.mac))
        return cls(value.ifindex, Segment.get(value.segment), mac)


@dataclass(frozen=True, slots=True)
class Handshakes:
    """``struct gw_handshakes``, summed over the CPUs."""

    begun: int = 0
    repeated: int = 0  # SYNs of handshakes that had begun, and were not answered yet
    completed: int = 0


@dataclass(frozen=True, slots=True)
class Counter:
    """``struct gw_counter``, summed over the CPUs."""

    packets: int = 0
    bytes: int = 0
    flows: int = 0  # TCP connections that began


def port_index(ifindex: int) -> Index:
    """Return where an interface sits in ``ports`` and ``transmit_ports``."""
    return Index(ifindex % abi.PORTS)


def _mapped(address: IpAddress) -> bytes:
    if isinstance(address, IPv6Address):
        return address.packed
    return b"\0" * 10 + b"\xff\xff" + address.packed  # RFC 4291, 2.5.5.2


def _unmapped(data: bytes) -> IpAddress:
    address = IPv6Address(data)
    return address.ipv4_mapped or address


def _address(field: Any) -> IpAddress:
    return _unmapped(bytes(ffi.buffer(field.word)))


def _wire(port: int) -> int:
    """Swap a port between the host's and the wire's byte order."""
    return int.from_bytes(port.to_bytes(2, "big"), sys.byteorder)


def _put(field: Any, data: bytes) -> None:
    ffi.buffer(field)[:] = data


def _cast(struct: str, data: bytes) -> Any:
    """Return a struct of its own memory with the first of these bytes."""
    value = ffi.new(f"struct {struct} *")
    _put(value, data[: abi.sizeof(struct)])
    return value
