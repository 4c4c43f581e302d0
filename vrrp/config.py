"""The file of ``guideway-vrrpd``: its schema, and what it becomes.

msgspec checks types, ranges and unknown keys and names the place; what needs two instances
is checked here. After :func:`load` nobody knows the file's shape any more.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field, replace
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
    ip_address,
    ip_interface,
)
from itertools import chain
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import msgspec
import yaml
from msgspec import Meta, Struct

from vrrp import machine
from vrrp.admission import Admission
from vrrp.checks import (
    Check,
    DataPlaneProbe,
    FileProbe,
    InterfaceProbe,
    Probe,
    ProcessProbe,
    ScriptProbe,
)
from vrrp.errors import ConfigError
from vrrp.packet import CLASSIC, IPV4, PASSWORD_BYTES, TTL, Dialect, IpAddress
from vrrp.tracking import Track

IpInterface = IPv4Interface | IPv6Interface

# What PyYAML leaves to Python: dates that do not exist, bottomless lists, `!!bool maybe`.
_NOT_ITS_OWN: Final = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
_FLOAT_NOISE: Final = 1e-6
_SHORTEST_SUBNET_WITHOUT_BROADCAST: Final = 31
_LONGEST_INTERVAL: Final = {2: 255.0, 3: 40.95}  # seconds, by version

InstanceName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}\Z")]
InterfaceName = Annotated[str, Meta(min_length=1, max_length=15, pattern=r"^[^/\s]+\Z")]


class AddressConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of ``addresses`` that names its own interface."""

    address: str
    interface: InterfaceName

    def __post_init__(self) -> None:
        _interface_address(self.address)


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
        if not Path(self.command[0]).is_absolute():
            raise ValueError(f"`command` is {self.command[0]!r}: give its absolute path")
        if any("\0" in word for word in self.command):
            raise ValueError("`command` has a NUL character")


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


class TrackConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of ``track`` that has a weight."""

    check: str
    weight: Annotated[int, Meta(ge=-253, le=253)] = 0


class GroupConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of ``sync_groups``."""

    name: InstanceName
    instances: Annotated[tuple[str, ...], Meta(min_length=2)]


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

    def __post_init__(self) -> None:
        for entry in chain(self.addresses, self.unadvertised):
            if isinstance(entry, str):
                _interface_address(entry)
        self._check_addresses()
        self._check_interval()
        self._check_preemption()
        self._check_password()
        self._check_peers()

    def _check_addresses(self) -> None:
        advertised = [_interface_address(_text(entry)).ip for entry in self.addresses]
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
        if self.preempt_delay and self.priority == machine.OWNER_PRIORITY:
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
        family = _interface_address(_text(self.addresses[0])).version
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
        if len({peer.is_link_local for peer in peers if family != IPV4}) > 1:
            raise ValueError("`peers` have to be all link-local, or none of them")
        if self.min_ttl != TTL and not peers:
            raise ValueError(
                "`min_ttl` goes with `peers` only: multicast does not pass a router"
            )


class FileConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    instances: Annotated[tuple[InstanceConfig, ...], Meta(min_length=1)]
    status_file: str = "/run/guideway/vrrp.json"
    checks: tuple[AnyCheck, ...] = ()
    sync_groups: tuple[GroupConfig, ...] = ()
    realtime_priority: Annotated[int, Meta(ge=0, le=99)] = 50

    def __post_init__(self) -> None:
        _absolute(self.status_file, "status_file")


def _absolute(text: str, key: str) -> None:
    path = Path(text)
    if not path.is_absolute() or not path.name or "\0" in text:
        raise ValueError(f"`{key}` is {text!r}, but has to be the absolute path of a file")


@dataclass(frozen=True, slots=True)
class VirtualAddress:
    """An address that is where the Active router is."""

    address: IpInterface  # with its prefix length
    interface: str  # not always the one that speaks VRRP

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
        return replace(self, router=rigid, tracks=())

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


def load(path: Path) -> DaemonConfig:
    """Read and check ``path``; raise ConfigError naming file, place and problem."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), "cannot be read: it is not UTF-8") from error
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from error
    return parse(text, str(path))


def parse(text: str, name: str) -> DaemonConfig:
    """Check the text of a configuration file called ``name``; raise ConfigError."""
    try:
        plain = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{name}{line}", f"not YAML: {error.problem}") from error
    except (yaml.YAMLError, *_NOT_ITS_OWN) as error:
        sentence = " ".join(str(error).split())  # PyYAML may write two lines
        raise ConfigError(name, f"not YAML: {sentence}") from error
    try:
        file = msgspec.convert(plain, FileConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(name, str(error)) from error
    instances = tuple(_instance(entry) for entry in file.instances)
    _refuse_duplicates(instances, name)
    _check_tracks(file, name)
    return DaemonConfig(
        Path(file.status_file),
        _grouped(instances, file.sync_groups, name),
        tuple(_check(entry) for entry in file.checks),
        file.realtime_priority,
    )


def _grouped(
    instances: tuple[Instance, ...], groups: Iterable[GroupConfig], file: str
) -> tuple[Instance, ...]:
    """Return the instances with what their sync groups make of them; or ConfigError."""
    by_name = {each.name: each for each in instances}
    entries = list(enumerate(groups))
    _all_differ(
        ((g.name, f"$.sync_groups[{i}].name", f"the name {g.name!r}") for i, g in entries),
        file,
    )
    _all_differ(
        (
            (member, f"$.sync_groups[{i}].instances[{j}]", f"instance {member!r}")
            for i, g in entries
            for j, member in enumerate(g.instances)
        ),
        file,
    )
    for i, group in entries:
        place = f"`$.sync_groups[{i}].instances`"
        unknown = [name for name in group.instances if name not in by_name]
        if unknown:
            raise ConfigError(file, f"there is no instance {unknown[0]!r} - at {place}")
        members = [by_name[name] for name in group.instances]
        if len({_rank(each.router) for each in members}) > 1:
            raise ConfigError(
                file,
                "the members of a sync group have to have equal `priority`, `preempt` and "
                f"`preempt_delay`: else no node can lead all of them - at {place}",
            )
        tracks = tuple(dict.fromkeys(chain(*(each.tracks for each in members))))
        if len({track.check for track in tracks}) < len(tracks):
            raise ConfigError(
                file,
                "what one member of a sync group tracks counts for all: give the check "
                f"the same weight everywhere - at {place}",
            )
        for each in members:
            by_name[each.name] = replace(each, tracks=tracks, group=group.name)
    return tuple(by_name.values())


def _rank(router: machine.Config) -> tuple[int, bool, float]:
    return router.priority, router.preempt, router.preempt_delay


def _check(entry: AnyCheck) -> Check:
    return Check(entry.name, _probe(entry), entry.interval, entry.rise, entry.fall)


def _probe(entry: AnyCheck) -> Probe:
    match entry:
        case InterfaceCheck(interface=interface):
            return InterfaceProbe(interface)
        case ScriptCheck(command=command, timeout=timeout, user=user):
            return ScriptProbe(command, timeout or entry.interval, user)
        case FileCheck(path=path):
            return FileProbe(Path(path))
        case ProcessCheck(process=process, quorum=quorum):
            return ProcessProbe(process, quorum)
        case GuidewaydCheck(status_file=status_file, backends=backends):
            return DataPlaneProbe(Path(status_file), backends)


def _check_tracks(file: FileConfig, name: str) -> None:
    """Raise ConfigError if an instance cannot track what it says."""
    _all_differ(
        (
            (check.name, f"$.checks[{i}].name", f"the name {check.name!r}")
            for i, check in enumerate(file.checks)
        ),
        name,
    )
    known = {check.name for check in file.checks}
    for i, instance in enumerate(file.instances):
        tracks = [_track(each) for each in instance.track]
        _all_differ(
            (
                (track.check, f"$.instances[{i}].track[{j}]", f"check {track.check!r}")
                for j, track in enumerate(tracks)
            ),
            name,
        )
        for j, track in enumerate(tracks):
            place = f"`$.instances[{i}].track[{j}]`"
            if track.check not in known:
                raise ConfigError(
                    name,
                    f"there is no check {track.check!r}: name one of `checks` - at {place}",
                )
            if track.weight and instance.priority == machine.OWNER_PRIORITY:
                raise ConfigError(
                    name,
                    "`weight` has no meaning with priority 255: the owner remains it "
                    f"- at {place}",
                )


def _track(entry: str | TrackConfig) -> Track:
    if isinstance(entry, str):
        return Track(entry, 0)
    return Track(entry.check, entry.weight)


def _instance(entry: InstanceConfig) -> Instance:
    advertised = _virtual(entry.addresses, entry.interface)
    family = advertised[0].address.version
    router = machine.Config(
        vrid=entry.vrid,
        addresses=tuple(each.address.ip for each in advertised),
        priority=entry.priority,
        interval=entry.interval,
        preempt=entry.preempt,
        preempt_delay=entry.preempt_delay,
        down_adverts=entry.down_adverts,
        version=entry.version,
        announcements=machine.Announcements(
            repeat=entry.announce.repeat,
            delay=entry.announce.delay,
            refresh=entry.announce.refresh,
            refresh_repeat=entry.announce.refresh_repeat,
        ),
    )
    return Instance(
        entry.name,
        entry.interface,
        router,
        advertised + _virtual(entry.unadvertised, entry.interface),
        Dialect(
            family=family,
            version=entry.version,
            password=(entry.password or "").encode("ascii"),
            pseudo_header=entry.checksum == "pseudo-header",
        ),
        peers=tuple(ip_address(text) for text in entry.peers),
        least_ttl=entry.min_ttl,
        source=ip_address(entry.source) if entry.source else None,
        tracks=tuple(_track(each) for each in entry.track),
    )


def _virtual(
    entries: Iterable[str | AddressConfig], interface: str
) -> tuple[VirtualAddress, ...]:
    return tuple(
        VirtualAddress(
            _interface_address(_text(each)),
            interface if isinstance(each, str) else each.interface,
        )
        for each in entries
    )


def _text(entry: str | AddressConfig) -> str:
    return entry if isinstance(entry, str) else entry.address


def _refuse_duplicates(instances: tuple[Instance, ...], file: str) -> None:
    """Raise ConfigError, naming the later of two places that say the same."""
    _all_differ(
        (
            (instance.name, f"$.instances[{i}].name", f"the name {instance.name!r}")
            for i, instance in enumerate(instances)
        ),
        file,
    )
    _all_differ(
        (
            (
                (instance.router.vrid, instance.interface, instance.dialect.family),
                f"$.instances[{i}].vrid",
                f"VRID {instance.router.vrid} on {instance.interface}",
            )
            for i, instance in enumerate(instances)
        ),
        file,
    )
    _all_differ(
        (
            (_identity(each), f"$.instances[{i}].{place}", f"{each.address.ip}")
            for i, instance in enumerate(instances)
            for place, each in _places(instance)
        ),
        file,
    )


def _all_differ(entries: Iterable[tuple[Hashable, str, str]], file: str) -> None:
    first: dict[Hashable, str] = {}
    for key, place, what in entries:
        if key in first:
            raise ConfigError(
                file, f"{what} is taken by `{first[key]}`: choose another - at `{place}`"
            )
        first[key] = place


def _identity(virtual: VirtualAddress) -> Hashable:
    """Return what makes an address the same as another; link-local ones live on a link."""
    ip = virtual.address.ip
    local = ip.version != IPV4 and ip.is_link_local
    return (ip, virtual.interface if local else "")


def _places(instance: Instance) -> Iterable[tuple[str, VirtualAddress]]:
    """Yield an instance's addresses, and where in the file they are."""
    advertised = len(instance.router.addresses)
    for i, each in enumerate(instance.addresses):
        if i < advertised:
            yield f"addresses[{i}]", each
        else:
            yield f"unadvertised[{i - advertised}]", each


def _interface_address(text: str) -> IpInterface:
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
