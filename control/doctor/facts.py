"""What is known of a node before anybody says what it means. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface

from control.addresses import IpAddress
from control.facts import Link, Network
from control.metrics.seen import Router


@dataclass(frozen=True, slots=True)
class Member:
    """A backend, as guidewayd or its file has it."""

    name: str
    address: IpAddress
    port: int
    health: str = "unchecked"  # "up", "down", "unknown" or "unchecked"
    reason: str = ""  # why it gets no new flows
    share: float = 0.0  # of the slots, 0…1
    is_active: bool = True  # neither draining nor disabled


@dataclass(frozen=True, slots=True)
class Pool:
    """A service, as guidewayd or its file has it."""

    service: str
    vip: IpAddress
    protocol: str  # "tcp" or "udp"
    port: int  # 0: every port
    mode: str  # "dr" or "nat"
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Drops:
    """Packets that were dropped for one reason while the node was looked at."""

    reason: str
    count: int
    meaning: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Daemon:
    """What guidewayd says."""

    pools: tuple[Pool, ...]
    attached: Mapping[str, bool]  # by interface: whether the program there is ours
    warnings: tuple[str, ...] = ()
    detached: bool = False
    desired_version: int = 0
    applied_version: int = 0
    maps: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # used, limit
    drops: tuple[Drops, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """What the file says, as far as it matters here."""

    interfaces: tuple[str, ...]
    bpffs: str
    state_directory: str
    vrrp_status: str
    pools: tuple[Pool, ...]
    pins: str  # where the program's attachments are, if it is attached


@dataclass(frozen=True, slots=True)
class Station:
    """A VRRP instance, as guideway-vrrpd's file has it."""

    interface: str
    vrid: int
    version: int  # of IP, by which it speaks
    addresses: frozenset[IpAddress]  # all that move
    patience: float  # seconds after which a Backup takes over from a silent Active, at most
    peers: tuple[IpAddress, ...] = ()  # none: multicast


@dataclass(frozen=True, slots=True)
class Search:
    """What is to be looked for on the host."""

    interfaces: frozenset[str] = frozenset()
    neighbours: frozenset[IpAddress] = frozenset()  # backends, and peers of VRRP
    translated: frozenset[IpAddress] = frozenset()  # backends of NAT, to see its sysctls
    bpffs: str = "/sys/fs/bpf"
    pins: str = ""  # "": nobody knows where they are
    state_directory: str = "/var/lib/guideway"


@dataclass(frozen=True, slots=True)
class Host:
    """What the host itself tells."""

    kernel: tuple[int, int]  # major, minor
    is_root: bool
    has_bcc: bool
    has_bpffs: bool  # where the file says
    has_jit: bool
    cpus: int
    clock_is_set: bool  # by somebody who knows
    free: int  # bytes, where the state is kept
    links: Mapping[str, Link]  # by name, as all that follows
    addresses: Mapping[str, tuple[IPv4Interface | IPv6Interface, ...]]
    physical: frozenset[str]  # devices, and no software
    network: Network
    # Whether the program there is ours, by what is pinned; who is not named is not known.
    attached: Mapping[str, bool] = field(default_factory=dict)
    settings: tuple[str, ...] = ()  # sysctls that NAT needs otherwise, a sentence each
    neighbours: Mapping[bytes, frozenset[IpAddress]] = field(default_factory=dict)  # by MAC


@dataclass(frozen=True, slots=True)
class Node:
    """All that is known."""

    host: Host
    settings: Settings | None = None
    misconfigured: str = ""  # what is wrong with the file
    daemon: Daemon | None = None
    silent: str = ""  # why guidewayd says nothing; "": it does, or we may not ask
    routers: Mapping[str, Router] | None = None  # None: guideway-vrrpd tells nothing
    stations: Mapping[str, Station] = field(default_factory=dict)  # by instance
    unread: str = ""  # why there is nothing of guideway-vrrpd's file
    # Advertisements that were discarded while the node was looked at, by router and why.
    discarded: Mapping[tuple[str, str], int] = field(default_factory=dict)
    # Advertisements that the kernel did not take meanwhile, by router.
    unsent: Mapping[str, int] = field(default_factory=dict)
    # Routers that were heard on the wire by us, if not by guideway-vrrpd, by instance.
    overheard: Mapping[str, frozenset[IpAddress]] = field(default_factory=dict)
    unheeded: frozenset[str] = frozenset()  # instances that noticed nothing of them
    # Instances that heard nobody as Backup, or said nothing as Active, for too long.
    stalled: frozenset[str] = frozenset()

    @property
    def pools(self) -> tuple[Pool, ...]:
        """The services: those that are balanced, or else those that would be."""
        if self.daemon is not None:
            return self.daemon.pools
        return self.settings.pools if self.settings else ()

    @property
    def attached(self) -> Mapping[str, bool]:
        """Whether the program is ours, by interface, as far as anybody knows."""
        return self.host.attached if self.daemon is None else self.daemon.attached

    @property
    def interfaces(self) -> tuple[str, ...]:
        """Those that the program is attached to, or should be."""
        if self.daemon is not None:
            return tuple(self.daemon.attached)
        return self.settings.interfaces if self.settings else ()
