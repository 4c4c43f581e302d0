"""The file of ``guideway-vrrpd``: reading it, and what it becomes.

:mod:`vrrp.schema` is its shape; what needs two instances is checked here. After
:func:`load` nobody knows the file's shape any more.
"""

from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_address
from itertools import chain
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from mistakes.keys import refuse_twins
from mistakes.places import located
from mistakes.remedies import explain
from vrrp import machine
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
from vrrp.instance import DaemonConfig, Instance, VirtualAddress
from vrrp.notify import Program
from vrrp.packet import IPV4, Dialect
from vrrp.schema import (
    AddressConfig,
    AnyCheck,
    FileCheck,
    FileConfig,
    GroupConfig,
    GuidewaydCheck,
    InstanceConfig,
    InterfaceCheck,
    NotifyConfig,
    ProcessCheck,
    ScriptCheck,
    TrackConfig,
    interface_address,
)
from vrrp.tracking import Track

# What PyYAML leaves to Python: dates that do not exist, bottomless lists, `!!bool maybe`.
_NOT_ITS_OWN: Final = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice.

    In Python: libyaml would keep the interpreter, and so advertisements, from going on.
    """

    def construct_mapping(
        self,
        node: yaml.MappingNode,
        deep: bool = False,  # noqa: FBT002
    ) -> dict[Hashable, Any]:
        refuse_twins(node)
        return super().construct_mapping(node, deep)


def load(path: Path) -> DaemonConfig:
    """Read and check ``path``; raise ConfigError naming file, place and problem."""
    return parse(read(path), str(path))


def read(path: Path) -> str:
    """Return the text of ``path``; raise ConfigError."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), "cannot be read: it is not UTF-8") from error
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from error


def parse(text: str, name: str) -> DaemonConfig:
    """Check the text of a configuration file called ``name``; raise ConfigError."""
    with _located(text, name):
        return _daemon(shape(text, name))


def shape(text: str, name: str) -> FileConfig:
    """Return what such a text says, each entry checked by itself; raise ConfigError."""
    plain = _plain(text, name)
    if plain is None:
        raise ConfigError(name, "is empty; `instances` is required")
    with _located(text, name):
        return _file(plain)


def mistake(text: str, name: str, field: str, problem: str) -> ConfigError:
    """Return what is wrong with the value at ``field`` of such a text: it says where."""
    return ConfigError(*located(text, name, field, problem, yaml.SafeLoader))


def _plain(text: str, name: str) -> Any:
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{name}{line}", f"not YAML: {error.problem}") from error
    except (yaml.YAMLError, *_NOT_ITS_OWN) as error:
        sentence = " ".join(str(error).split())  # PyYAML may write two lines
        raise ConfigError(name, f"not YAML: {sentence}") from error


@contextmanager
def _located(text: str, name: str) -> Iterator[None]:
    """Let a ConfigError of the body, whose field is a path in ``text``, say where it is."""
    try:
        yield
    except ConfigError as error:
        if error.where:
            raise  # it does so already
        raise mistake(text, name, error.field, error.problem) from error
    except UnicodeEncodeError as error:  # "\ud800", which YAML lets be written
        raise ConfigError(
            name, "has half a character, a surrogate without its other half"
        ) from error


def _file(plain: Any) -> FileConfig:
    try:
        return msgspec.convert(plain, FileConfig)
    except msgspec.ValidationError as error:
        problem, path = explain(error, FileConfig)
        raise ConfigError("", problem, path) from error


def _daemon(file: FileConfig) -> DaemonConfig:
    instances = tuple(_instance(entry, Path(file.pins)) for entry in file.instances)
    _refuse_duplicates(instances)
    _check_tracks(file)
    return DaemonConfig(
        Path(file.status_file),
        _grouped(instances, file.sync_groups),
        tuple(_check(entry) for entry in file.checks),
        file.realtime_priority,
        Path(file.maintenance_file),
        {
            group.name: program
            for group in file.sync_groups
            if (program := _program(group.notify))
        },
    )


def _grouped(
    instances: tuple[Instance, ...], groups: Iterable[GroupConfig]
) -> tuple[Instance, ...]:
    """Return the instances with what their sync groups make of them; or ConfigError."""
    by_name = {each.name: each for each in instances}
    entries = list(enumerate(groups))
    _all_differ(
        ((g.name, f"sync_groups[{i}].name", f"the name {g.name!r}") for i, g in entries)
    )
    _all_differ(
        (
            (member, f"sync_groups[{i}].instances[{j}]", f"instance {member!r}")
            for i, g in entries
            for j, member in enumerate(g.instances)
        )
    )
    for i, group in entries:
        place = f"sync_groups[{i}].instances"
        unknown = [name for name in group.instances if name not in by_name]
        if unknown:
            at = group.instances.index(unknown[0])
            known = ", ".join(by_name)
            raise ConfigError(
                "",
                f"there is no instance {unknown[0]!r}; there are: {known}",
                f"{place}[{at}]",
            )
        members = [by_name[name] for name in group.instances]
        if len({_rank(each.router) for each in members}) > 1:
            raise ConfigError(
                "",
                "the members of a sync group have to have equal `priority`, `preempt` and "
                "`preempt_delay`: else no node can lead all of them",
                place,
            )
        tracks = tuple(dict.fromkeys(chain(*(each.tracks for each in members))))
        if len({track.check for track in tracks}) < len(tracks):
            raise ConfigError(
                "",
                "what one member of a sync group tracks counts for all: give the check "
                "the same weight everywhere",
                place,
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


def _check_tracks(file: FileConfig) -> None:
    """Raise ConfigError if an instance cannot track what it says."""
    _all_differ(
        (
            (check.name, f"checks[{i}].name", f"the name {check.name!r}")
            for i, check in enumerate(file.checks)
        )
    )
    known = {check.name for check in file.checks}
    for i, instance in enumerate(file.instances):
        tracks = [_track(each) for each in instance.track]
        _all_differ(
            (
                (track.check, f"instances[{i}].track[{j}]", f"check {track.check!r}")
                for j, track in enumerate(tracks)
            )
        )
        for j, track in enumerate(tracks):
            place = f"instances[{i}].track[{j}]"
            if track.check not in known:
                raise ConfigError(
                    "", f"there is no check {track.check!r}: name one of `checks`", place
                )
            if track.weight and instance.priority == machine.OWNER_PRIORITY:
                raise ConfigError(
                    "",
                    "`weight` has no meaning with priority 255: the owner remains it",
                    place,
                )


def _track(entry: str | TrackConfig) -> Track:
    if isinstance(entry, str):
        return Track(entry, 0)
    return Track(entry.check, entry.weight)


def _instance(entry: InstanceConfig, pins: Path) -> Instance:
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
        notify=_program(entry.notify),
        virtual_mac=entry.virtual_mac,
        advertise_mac=entry.advertise_mac == "virtual" and entry.virtual_mac,
        pins=pins,
    )


def _program(entry: NotifyConfig | None) -> Program | None:
    return Program(entry.command, entry.timeout, entry.user) if entry else None


def _virtual(
    entries: Iterable[str | AddressConfig], interface: str
) -> tuple[VirtualAddress, ...]:
    whole = (AddressConfig(each) if isinstance(each, str) else each for each in entries)
    return tuple(
        VirtualAddress(
            interface_address(each.address),
            each.interface or interface,
            label=each.label or "",
        )
        for each in whole
    )


def _refuse_duplicates(instances: tuple[Instance, ...]) -> None:
    """Raise ConfigError, naming the later of two places that say the same."""
    _all_differ(
        (
            (instance.name, f"instances[{i}].name", f"the name {instance.name!r}")
            for i, instance in enumerate(instances)
        )
    )
    _all_differ(
        (
            (
                (instance.router.vrid, instance.interface, instance.dialect.family),
                f"instances[{i}].vrid",
                f"VRID {instance.router.vrid} on {instance.interface}",
            )
            for i, instance in enumerate(instances)
        )
    )
    _all_differ(
        (
            (_identity(each), f"instances[{i}].{place}", f"{each.address.ip}")
            for i, instance in enumerate(instances)
            for place, each in _places(instance)
        )
    )


def _all_differ(entries: Iterable[tuple[Hashable, str, str]]) -> None:
    first: dict[Hashable, str] = {}
    for key, place, what in entries:
        if key in first:
            raise ConfigError("", f"{what} is taken by {first[key]}: choose another", place)
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
