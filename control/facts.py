"""What the controller has learnt about the world, as values that compile reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from control.status import Health


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface that packets come through."""

    name: str
    ifindex: int
    mac: bytes
    xdp: str = "none"  # how a program is attached: native, generic, none


@dataclass(frozen=True, slots=True)
class NextHop:
    """The neighbour to send to, so that an address is reached."""

    interface: str
    ifindex: int
    source_mac: bytes  # of the interface
    mac: bytes | None  # None: it has not answered yet


@dataclass(frozen=True, slots=True)
class Network:
    """The network of the host at one time."""

    interfaces: tuple[Interface, ...] = ()  # those of the configuration
    addresses: frozenset[IPv4Address] = frozenset()  # the host's own, of any interface
    next_hops: Mapping[IPv4Address, NextHop] = field(default_factory=dict)


BackendKey = tuple[str, str]  # service and backend by name


@dataclass(frozen=True, slots=True)
class Facts:
    """Network and health together. A backend that health does not name is UNKNOWN."""

    network: Network = field(default_factory=Network)
    health: Mapping[BackendKey, Health] = field(default_factory=dict)
