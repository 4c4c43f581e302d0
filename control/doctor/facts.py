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


@dataclass(frozen=True, slots=True)
class Node:
    """All that is known."""

    host: Host
    settings: Settings | None = None
    misconfigured: str = ""  # what is wrong with the file
    daemon: Daemon | None = None
    silent: str = ""  # why guidewayd says nothing
    routers: Mapping[str, Router] | None = None  # None: guideway-vrrpd tells nothing
    # Advertisements that were discarded while the node was looked at, by router and why.
    discarded: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @property
    def pools(self) -> tuple[Pool, ...]:
        """The services: those that are balanced, or else those that would be."""
        if self.daemon is not None:
            return self.daemon.pools
        return self.settings.pools if self.settings else ()

    @property
    def interfaces(self) -> tuple[str, ...]:
        """Those that the program is attached to, or should be."""
        if self.daemon is not None:
            return tuple(self.daemon.attached)
        return self.settings.interfaces if self.settings else ()
