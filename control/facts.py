"""What the controller has learnt about the world, as values that compile reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Interface

from control.addresses import IpAddress
from control.pool import Pool
from control.status import Health
from control.sync.listener import Shared
from dataplane.records import Segment, Tag


@dataclass(frozen=True, slots=True)
class Link:
    """An interface of the host, of any kind."""

    name: str
    ifindex: int
    mac: bytes  # zeros where there is none, as for a tunnel
    is_up: bool
    has_carrier: bool = True
    mtu: int = 1500
    receive_queues: int = 1
    xdp: str = "none"  # how a program is attached: native, generic, offload, none
    tag: Tag | None = None  # of a VLAN interface
    lower: int | None = None  # the index of what it is on; None: nothing of this namespace


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface that packets come through."""

    name: str
    ifindex: int
    mac: bytes
    xdp: str = "none"  # how a program is attached: native, generic, none
    # Protocols of VLAN tags that the driver takes off before a program sees the frame.
    hides: frozenset[int] = frozenset()
    # By what the card merges packets before anybody sees them, as `ethtool -K` calls it.
    merges: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Vlan:
    """An interface of the host that stands for a VLAN on another one."""

    name: str
    ifindex: int
    mac: bytes
    lower: str  # what it is on: as far down as the program is attached, or else at all
    segment: Segment | None  # what that is to the program; None: it cannot be used
    problem: str = ""  # why it cannot be used, to be said after its name and a comma


@dataclass(frozen=True, slots=True)
class NextHop:
    """The neighbour to send to, so that an address is reached."""

    interface: str
    ifindex: int
    source_mac: bytes  # of the interface
    mac: bytes | None  # None: it has not answered yet
    source: IpAddress | None = None  # what the host speaks to that address from


@dataclass(frozen=True, slots=True)
class Network:
    """The network of the host at one time."""

    interfaces: tuple[Interface, ...] = ()  # those of the configuration
    addresses: frozenset[IpAddress] = frozenset()  # the host's own, of any interface
    next_hops: Mapping[IpAddress, NextHop] = field(default_factory=dict)
    vlans: Mapping[int, Vlan] = field(default_factory=dict)  # by index
    # IPv6 addresses that the host may speak from (not deprecated), with their interface.
    sources: frozenset[tuple[IPv6Interface, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Moment:
    """When a round is made, and what was found in the records of flows before it."""

    now_ns: int  # CLOCK_MONOTONIC
    # Ids of services that have records of live flows; None: nobody has looked.
    recorded: frozenset[int] | None = None


BackendKey = tuple[str, str]  # service and backend by name


@dataclass(frozen=True, slots=True)
class Facts:
    """Network and health together. A backend that health does not name is UNKNOWN."""

    network: Network = field(default_factory=Network)
    health: Mapping[BackendKey, Health] = field(default_factory=dict)
    # Weights of backends whose checks decide on them; of others the configured one counts.
    weights: Mapping[BackendKey, int] = field(default_factory=dict)
    # Services that had no quorum when it was last decided on, by name.
    lost: frozenset[str] = frozenset()
    # Draining backends whose deadline has passed.
    overdue: frozenset[BackendKey] = frozenset()
    # Tenths of their weight that backends have, of services with a slow start; else all.
    steps: Mapping[BackendKey, int] = field(default_factory=dict)
    # By service, as a round decides on them; backends of others serve each by itself.
    pools: Mapping[str, Pool] = field(default_factory=dict)
    shared: Shared = field(default_factory=dict)  # rings that peers have told
    # Backends that get a part of their share only, by what clients' handshakes say.
    suspected: frozenset[BackendKey] = frozenset()
