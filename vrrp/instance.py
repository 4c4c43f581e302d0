"""The instances of a daemon, as everybody but the file's reader knows them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path
from typing import Self

from vrrp import machine
from vrrp.admission import Admission
from vrrp.checks import Check
from vrrp.notify import Program
from vrrp.packet import CLASSIC, TTL, Dialect, IpAddress
from vrrp.requests import SOCKET_NAME
from vrrp.tracking import Track

IpInterface = IPv4Interface | IPv6Interface


@dataclass(frozen=True, slots=True)
class VirtualAddress:
    """An address that is where the Active router is."""

    address: IpInterface  # with its prefix length
    interface: str  # not always the one that speaks VRRP
    routed: bool = True  # whether the kernel gets a route to its network by it
    label: str = ""  # under which older tools show it; "": the interface's name

    def __str__(self) -> str:
        return f"{self.address} on {self.interface}"


@dataclass(frozen=True, slots=True)
class Instance:
    """One virtual router and what moves with it."""

    name: str
    interface: str  # where advertisements are sent and heard
    router: machine.Config
    addresses: tuple[VirtualAddress, ...]  # those that are not advertised too
    dialect: Dialect = field(default_factory=Dialect)
    peers: tuple[IpAddress, ...] = ()  # none: multicast
    least_ttl: int = TTL
    source: IpAddress | None = None  # of advertisements; None: the interface's first
    tracks: tuple[Track, ...] = ()  # its own, and those of the others in its group
    group: str = ""  # the sync group it is in
    notify: Program | None = None  # is told what becomes of it
    virtual_mac: bool = False  # the Active has the virtual router's MAC besides its own
    advertise_mac: bool = False  # and the source of what it multicasts is that MAC
    pins: Path = Path("/sys/fs/bpf/guideway")  # the data planes that are told of it

    @property
    def interfaces(self) -> frozenset[str]:
        """Every interface that has to be up for this host to be of use."""
        return frozenset({self.interface, *(each.interface for each in self.addresses)})

    @property
    def virtual(self) -> frozenset[IpAddress]:
        """Every address that moves."""
        return frozenset(each.address.ip for each in self.addresses)

    @property
    def link_local(self) -> bool:
        """Whether advertisements have to be sent from a link-local address, over IPv6."""
        if self.source:
            return self.source.is_link_local
        return all(peer.is_link_local for peer in self.peers)

    @property
    def core(self) -> Self:
        """What cannot change while the instance takes part; the rest is set to defaults.

        Peers of version 3 learn another interval, those of version 2 do not.
        """
        router, usual = self.router, machine.Config(self.router.vrid, ())
        owner = router.priority == machine.OWNER_PRIORITY
        rigid = replace(
            usual,
            addresses=router.addresses,
            version=router.version,
            priority=router.priority if owner else usual.priority,
            interval=router.interval if router.version == CLASSIC else usual.interval,
        )
        return replace(self, router=rigid, tracks=(), notify=None)

    @property
    def admission(self) -> Admission:
        """Whose advertisements count."""
        return Admission(
            self.dialect,
            self.router.vrid,
            self.router.interval,
            frozenset(self.peers),
            self.least_ttl,
        )


@dataclass(frozen=True, slots=True)
class DaemonConfig:
    """All that the file says."""

    status_file: Path
    instances: tuple[Instance, ...]
    checks: tuple[Check, ...] = ()
    realtime_priority: int = 50  # of SCHED_RR, 1…99; 0: none
    maintenance_file: Path = Path("/var/lib/guideway/vrrp.maintenance")
    groups: Mapping[str, Program] = field(default_factory=dict)  # whom to tell of which

    @property
    def socket(self) -> Path:
        """Where operators' requests are heard."""
        return self.status_file.with_name(SOCKET_NAME)
