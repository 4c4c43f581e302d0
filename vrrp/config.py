"""The file of ``guideway-vrrpd``: its schema, and what it becomes.

msgspec checks types, ranges and unknown keys and names the place; what needs two instances
is checked here. After :func:`load` nobody knows the file's shape any more.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Annotated, Final

import msgspec
import yaml
from msgspec import Meta, Struct

from vrrp import machine
from vrrp.errors import ConfigError

# What PyYAML leaves to Python: dates that do not exist, bottomless lists, `!!bool maybe`.
_NOT_ITS_OWN: Final = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
_FLOAT_NOISE: Final = 1e-6
_SHORTEST_SUBNET_WITHOUT_BROADCAST: Final = 31

InstanceName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}\Z")]
InterfaceName = Annotated[str, Meta(min_length=1, max_length=15, pattern=r"^[^/\s]+\Z")]


class AddressConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of ``addresses`` that names its own interface."""

    address: str
    interface: InterfaceName

    def __post_init__(self) -> None:
        _address(self.address)


class InstanceConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of ``instances``."""

    name: InstanceName
    interface: InterfaceName
    vrid: Annotated[int, Meta(ge=1, le=255)]
    # An advertisement counts its addresses in one byte.
    addresses: Annotated[
        tuple[str | AddressConfig, ...], Meta(min_length=1, max_length=255)
    ]
    priority: Annotated[int, Meta(ge=1, le=255)] = 100
    interval: Annotated[float, Meta(ge=0.01, le=40.95)] = 1.0
    preempt: bool = True

    def __post_init__(self) -> None:
        hundredths = self.interval * 100
        if abs(hundredths - round(hundredths)) > _FLOAT_NOISE:
            raise ValueError(
                f"`interval` is {self.interval}, but has to be whole hundredths of a second"
            )
        for entry in self.addresses:
            if isinstance(entry, str):
                _address(entry)


class FileConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    instances: Annotated[tuple[InstanceConfig, ...], Meta(min_length=1)]
    status_file: str = "/run/guideway/vrrp.json"

    def __post_init__(self) -> None:
        path = Path(self.status_file)
        if not path.is_absolute() or not path.name or "\0" in self.status_file:
            raise ValueError(
                f"`status_file` is {self.status_file!r}, but has to be the absolute path "
                "of a file"
            )


@dataclass(frozen=True, slots=True)
class VirtualAddress:
    """An address that is where the Active router is."""

    address: IPv4Interface  # with its prefix length
    interface: str  # not always the one that speaks VRRP

    def __str__(self) -> str:
        return f"{self.address} on {self.interface}"


@dataclass(frozen=True, slots=True)
class Instance:
    """One virtual router and what moves with it."""

    name: str
    interface: str  # where advertisements are sent and heard
    router: machine.Config
    addresses: tuple[VirtualAddress, ...]

    @property
    def interfaces(self) -> frozenset[str]:
        """Every interface that has to be up for this host to be of use."""
        return frozenset({self.interface, *(each.interface for each in self.addresses)})


@dataclass(frozen=True, slots=True)
class DaemonConfig:
    """All that the file says."""

    status_file: Path
    instances: tuple[Instance, ...]


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
    return DaemonConfig(Path(file.status_file), instances)


def _instance(entry: InstanceConfig) -> Instance:
    addresses = tuple(
        VirtualAddress(_address(each), entry.interface)
        if isinstance(each, str)
        else VirtualAddress(_address(each.address), each.interface)
        for each in entry.addresses
    )
    router = machine.Config(
        vrid=entry.vrid,
        addresses=tuple(each.address.ip for each in addresses),
        priority=entry.priority,
        interval=entry.interval,
        preempt=entry.preempt,
    )
    return Instance(entry.name, entry.interface, router, addresses)


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
                (instance.router.vrid, instance.interface),
                f"$.instances[{i}].vrid",
                f"VRID {instance.router.vrid} on {instance.interface}",
            )
            for i, instance in enumerate(instances)
        ),
        file,
    )
    _all_differ(
        (
            (each.address.ip, f"$.instances[{i}].addresses[{j}]", f"{each.address.ip}")
            for i, instance in enumerate(instances)
            for j, each in enumerate(instance.addresses)
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


def _address(text: str) -> IPv4Interface:
    """Return a virtual address; a ValueError gets its place in the file from msgspec."""
    try:
        address = IPv4Interface(text)
    except ValueError as error:
        raise ValueError(
            f"{text!r} is not an IPv4 address with a prefix length, such as 10.0.0.100/32"
        ) from error
    if not _is_of_a_host(address):
        raise ValueError(f"{text!r} is not the address of a host")
    return address


def _is_of_a_host(address: IPv4Interface) -> bool:
    network = address.network
    if network.prefixlen < _SHORTEST_SUBNET_WITHOUT_BROADCAST and address.ip in (
        network.network_address,
        network.broadcast_address,
    ):
        return False
    return not (
        address.ip.is_multicast
        or address.ip.is_loopback
        or address.ip.is_unspecified
        or address.ip == IPv4Address("255.255.255.255")
    )
