"""The shape of ``guideway-vrrpd``'s file: its keys, their types and ranges.

msgspec checks what can be seen in one place and names it; a ValueError gets its place in
the file from msgspec, too. What needs two places is :mod:`vrrp.config`'s.
"""

from ipaddress import (
    IPv4Address,
    IPv6Address,
    ip_address,
    ip_interface,
)
from itertools import chain
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from vrrp.instance import IpInterface
from vrrp.machine import OWNER_PRIORITY
from vrrp.packet import CLASSIC, IPV4, PASSWORD_BYTES, TTL, IpAddress

_FLOAT_NOISE: Final = 1e-6
_SHORTEST_SUBNET_WITHOUT_BROADCAST: Final = 31
_LONGEST_INTERVAL: Final = {2: 255.0, 3: 40.95}  # seconds, by version

InstanceName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_.-]{1,64}\Z",
        description="1…64 letters, digits, points, - and _",
    ),
]
InterfaceName = Annotated[
    str,
    Meta(
        pattern=r"^[^/\s\0]{1,15}\Z",
        description="the name of an interface, as `ip link` shows it",
    ),
]


class AddressConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of ``addresses`` that says more than the address."""

    address: str
    interface: InterfaceName | None = None  # None: that of the instance
    label: InterfaceName | None = None  # under which older tools show it

    def __post_init__(self) -> None:
        if interface_address(self.address).version != IPV4 and self.label is not None:
            raise ValueError("`label` goes with IPv4 only: the kernel has none for IPv6")


class AnnounceConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``announce``: gratuitous ARP and neighbour advertisements."""

    repeat: Annotated[int, Meta(ge=1, le=100)] = 5
    delay: Annotated[float, Meta(ge=0, le=3600)] = 5.0
    refresh: Annotated[float, Meta(ge=0, le=86400)] = 0.0
    refresh_repeat: Annotated[int, Meta(ge=1, le=100)] = 1


class CheckConfig(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """What all entries of ``checks`` have."""

    name: InstanceName
    interval: Annotated[float, Meta(ge=0.05, le=3600)] = 1.0
    rise: Annotated[int, Meta(ge=1, le=1000)] = 1
    fall: Annotated[int, Meta(ge=1, le=1000)] = 1


class InterfaceCheck(CheckConfig, frozen=True, kw_only=True, tag="interface"):
    """An interface has to be up."""

    interface: InterfaceName


class ScriptCheck(CheckConfig, frozen=True, kw_only=True, tag="script"):
    """A command has to end with 0."""

    command: Annotated[tuple[str, ...], Meta(min_length=1)]
    timeout: Annotated[float, Meta(ge=0.05, le=3600)] | None = None
    user: str | None = None

    def __post_init__(self) -> None:
        check_command(self.command)


class FileCheck(CheckConfig, frozen=True, kw_only=True, tag="file"):
    """A file has to say 0."""

    path: str

    def __post_init__(self) -> None:
        _absolute(self.path, "path")


class ProcessCheck(CheckConfig, frozen=True, kw_only=True, tag="process"):
    """Processes of a name have to run."""

    process: Annotated[str, Meta(min_length=1)]
    quorum: Annotated[int, Meta(ge=1, le=100000)] = 1


class GuidewaydCheck(CheckConfig, frozen=True, kw_only=True, tag="guidewayd"):
    """The data plane of guidewayd has to be there and, if so said, somebody to serve."""

    status_file: str = "/run/guideway/guidewayd.json"
    backends: bool = True

    def __post_init__(self) -> None:
        _absolute(self.status_file, "status_file")


AnyCheck = InterfaceCheck | ScriptCheck | FileCheck | ProcessCheck | GuidewaydCheck


class NotifyConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``notify``: a program that is told what became of an instance or a sync group."""

    command: Annotated[tuple[str, ...], Meta(min_length=1)]
    timeout: Annotated[float, Meta(ge=0.05, le=3600)] = 30.0
    user: str | None = None

    def __post_init__(self) -> None:
        check_command(self.command)


class TrackConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of ``track`` that has a weight."""

    check: str
    weight: Annotated[int, Meta(ge=-253, le=253)] = 0


class GroupConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of ``sync_groups``."""

    name: InstanceName
    instances: Annotated[tuple[str, ...], Meta(min_length=2)]
    notify: NotifyConfig | None = None


class InstanceConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of ``instances``."""

    name: InstanceName
    interface: InterfaceName
    vrid: Annotated[int, Meta(ge=1, le=255)]
    # An advertisement counts its addresses in one byte.
    addresses: Annotated[
        tuple[str | AddressConfig, ...], Meta(min_length=1, max_length=255)
    ]
    unadvertised: tuple[str | AddressConfig, ...] = ()
    priority: Annotated[int, Meta(ge=1, le=255)] = 100
    interval: Annotated[float, Meta(ge=0.01, le=255)] = 1.0
    preempt: bool = True
    preempt_delay: Annotated[float, Meta(ge=0, le=1000)] = 0.0
    down_adverts: Annotated[int, Meta(ge=1, le=100)] = 3
    version: Literal[2, 3] = 3
    password: str | None = None
    checksum: Literal["pseudo-header", "plain"] = "pseudo-header"
    peers: tuple[str, ...] = ()
    min_ttl: Annotated[int, Meta(ge=1, le=255)] = TTL
    source: str | None = None
    announce: AnnounceConfig = AnnounceConfig()
    track: tuple[str | TrackConfig, ...] = ()
    notify: NotifyConfig | None = None
    virtual_mac: bool = False
    advertise_mac: Literal["virtual", "own"] = "virtual"

    def __post_init__(self) -> None:
        for entry in chain(self.addresses, self.unadvertised):
            if isinstance(entry, str):
                interface_address(entry)
        self._check_addresses()
        self._check_labels()
        self._check_interval()
        self._check_preemption()
        self._check_password()
        self._check_peers()
        self._check_mac()

    def _check_addresses(self) -> None:
        advertised = [interface_address(text_of(entry)).ip for entry in self.addresses]
        family = advertised[0].version
        if any(each.version != family for each in advertised):
            raise ValueError(
                "`addresses` are of both families: give each family an instance of its "
                "own, or move those of the other one to `unadvertised`"
            )
        if family != IPV4 and self.version == CLASSIC:
            raise ValueError("version 2 has no IPv6: use version 3")
        if family != IPV4 and not advertised[0].is_link_local:
            raise ValueError(
                f"the first of `addresses` is {advertised[0]}, but over IPv6 it has to be "
                f"link-local: put one before it, such as fe80::{self.vrid:x}/64"
            )

    def _check_labels(self) -> None:
        for entry in chain(self.addresses, self.unadvertised):
            if isinstance(entry, str) or entry.label is None:
                continue
            interface = entry.interface or self.interface
            if not entry.label.startswith(interface):
                raise ValueError(
                    f"`label` is {entry.label!r}, but has to begin with the name of the "
                    f"interface, such as {interface}:1"
                )

    def _check_interval(self) -> None:
        longest = _LONGEST_INTERVAL[self.version]
        if self.interval > longest:
            raise ValueError(
                f"`interval` is {self.interval:g}, but at most {longest:g} seconds are "
                f"possible in version {self.version}"
            )
        if self.version == CLASSIC and self.interval != int(self.interval):
            raise ValueError(
                f"`interval` is {self.interval:g}, but version 2 counts whole seconds: "
                "use one, or version 3"
            )
        hundredths = self.interval * 100
        if abs(hundredths - round(hundredths)) > _FLOAT_NOISE:
            raise ValueError(
                f"`interval` is {self.interval}, but has to be whole hundredths of a second"
            )

    def _check_preemption(self) -> None:
        if self.preempt_delay and not self.preempt:
            raise ValueError("`preempt_delay` has no meaning with `preempt: false`")
        if self.preempt_delay and self.priority == OWNER_PRIORITY:
            raise ValueError(
                "`preempt_delay` has no meaning with priority 255: the owner takes its "
                "addresses at once"
            )

    def _check_password(self) -> None:
        if self.password is None:
            return
        if self.version != CLASSIC:
            raise ValueError("`password` goes with version 2 only: version 3 has none")
        if not self.password.isascii() or not 1 <= len(self.password) <= PASSWORD_BYTES:
            raise ValueError("`password` has to be 1 to 8 ASCII characters")

    def _check_peers(self) -> None:
        family = interface_address(text_of(self.addresses[0])).version
        peers = [_peer(text, family, "`peers`") for text in self.peers]
        if self.source is not None:
            source = _peer(self.source, family, "`source`")
            if source in peers:
                raise ValueError(f"`source` {source} is one of `peers`")
            if not peers and family != IPV4 and not source.is_link_local:
                raise ValueError(
                    f"`source` is {source}, but multicast over IPv6 is sent from a "
                    "link-local address"
                )
        if len(set(peers)) < len(peers):
            raise ValueError("a node is named twice in `peers`")
        if len({peer.is_link_local for peer in peers if family != IPV4}) > 1:
            raise ValueError("`peers` have to be all link-local, or none of them")
        if self.min_ttl != TTL and not peers:
            raise ValueError(
                "`min_ttl` goes with `peers` only: multicast does not pass a router"
            )

    def _check_mac(self) -> None:
        own = self.advertise_mac == "own"
        if own and not self.virtual_mac:
            raise ValueError("`advertise_mac` goes with `virtual_mac` only")
        if self.virtual_mac and self.priority == OWNER_PRIORITY:
            raise ValueError(
                "`virtual_mac` does not go with priority 255: the owner's addresses are on "
                "the interface itself, with its MAC"
            )
        if self.virtual_mac and (self.peers or own) and not self.announce.refresh:
            raise ValueError(
                "`virtual_mac` with `peers` or `advertise_mac: own` needs `refresh` in "
                "`announce`, such as 60: no advertisement reminds switches of that MAC"
            )


class FileConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    instances: Annotated[tuple[InstanceConfig, ...], Meta(min_length=1)]
    status_file: str = "/run/guideway/vrrp.json"
    maintenance_file: str = "/var/lib/guideway/vrrp.maintenance"
    checks: tuple[AnyCheck, ...] = ()
    sync_groups: tuple[GroupConfig, ...] = ()
    realtime_priority: Annotated[int, Meta(ge=0, le=99)] = 50
    pins: str = "/sys/fs/bpf/guideway"

    def __post_init__(self) -> None:
        _absolute(self.status_file, "status_file")
        _absolute(self.maintenance_file, "maintenance_file")
        _absolute(self.pins, "pins")


def check_command(command: tuple[str, ...]) -> None:
    """Raise ValueError if ``command`` can be no program with its arguments."""
    if not Path(command[0]).is_absolute():
        raise ValueError(f"`command` is {command[0]!r}: give its absolute path")
    if any("\0" in word for word in command):
        raise ValueError("`command` has a NUL character")


def _absolute(text: str, key: str) -> None:
    path = Path(text)
    if not path.is_absolute() or not path.name or "\0" in text:
        raise ValueError(f"`{key}` is {text!r}, but has to be the absolute path of a file")


def text_of(entry: str | AddressConfig) -> str:
    """Return the address that an entry of ``addresses`` names."""
    return entry if isinstance(entry, str) else entry.address


def interface_address(text: str) -> IpInterface:
    """Return a virtual address; a ValueError gets its place in the file from msgspec."""
    try:
        address = ip_interface(text)
    except ValueError as error:
        raise ValueError(
            f"{text!r} is not an address with a prefix length, such as 10.0.0.100/32 or "
            "2001:db8::100/128"
        ) from error
    if not _is_of_a_host(address):
        raise ValueError(f"{text!r} is not the address of a host")
    return address


def _peer(text: str, family: int, key: str) -> IpAddress:
    try:
        address = ip_address(text)
    except ValueError as error:
        raise ValueError(f"{text!r} in {key} is not an address") from error
    if address.version != family:
        raise ValueError(f"{text!r} in {key} is not of the family of `addresses`")
    if address.is_multicast or address.is_unspecified or address.is_loopback:
        raise ValueError(f"{text!r} in {key} is not the address of a host")
    return address


def _is_of_a_host(address: IpInterface) -> bool:
    network, ip = address.network, address.ip
    if isinstance(ip, IPv6Address):
        zoned = ip.scope_id is not None
        return not (zoned or ip.is_multicast or ip.is_loopback or ip.is_unspecified)
    if network.prefixlen < _SHORTEST_SUBNET_WITHOUT_BROADCAST and ip in (
        network.network_address,
        network.broadcast_address,
    ):
        return False
    return not (
        ip.is_multicast
        or ip.is_loopback
        or ip.is_unspecified
        or ip == IPv4Address("255.255.255.255")
    )
