"""The file of ``guidewayd``: its schema, and how it becomes the model.

msgspec checks types, ranges and unknown keys and names the place; what needs two fields is
the model's to check. After :func:`load` nobody knows the file's shape any more.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from ipaddress import IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import yaml
from msgspec import UNSET, Meta, Struct, UnsetType

from control.addresses import IpAddress, IpNetwork, parse_address
from control.check_schema import CheckSchema, name_types, to_check
from control.checks import AnyCheck, TcpCheck
from control.errors import ConfigError
from control.mistakes import explain
from control.model import (
    Affinity,
    Backend,
    BackendState,
    DesiredState,
    Hash,
    Mode,
    Protocol,
    Returns,
    Service,
)
from dataplane.source import Limits

Port = Annotated[int, Meta(ge=0, le=65535)]
Weight = Annotated[int, Meta(ge=0, le=65535)]
InterfaceName = Annotated[
    str,
    Meta(
        max_length=15,
        pattern=r"^[^/\s]+\Z",
        description="the name of an interface, as `ip link` shows it",
    ),
]
InstanceName = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9_-]{1,32}\Z", description="1…32 letters, digits, - and _"),
]
AbsolutePath = Annotated[
    str, Meta(pattern=r"^/[^\0]*\Z", description="an absolute path, from / on")
]
_LIMITS: Final = Limits()
_MAPPED: Final = IPv6Network("::ffff:0:0/96")  # IPv4 addresses, as the maps hold them


class BackendConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of ``backends``."""

    address: str
    name: str | None = None
    port: Port | None = None  # the service's
    weight: Weight = 1
    state: BackendState = BackendState.ACTIVE
    zone: str = ""

    def __post_init__(self) -> None:
        _address("address", self.address)


class ServiceConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of ``services``."""

    name: str
    vip: str
    port: Port
    mode: Mode
    protocol: Protocol = Protocol.TCP
    backends: tuple[BackendConfig, ...] = ()
    check: CheckSchema | Literal["none"] | UnsetType = UNSET
    checks: tuple[CheckSchema, ...] | UnsetType = UNSET
    ring_size: Annotated[int, Meta(ge=2, le=8_388_593)] | None = None
    affinity: Affinity = Affinity.TRANSITION
    hash: Hash = Hash.FLOW
    returns: Returns = Returns.STATELESS

    def __post_init__(self) -> None:
        _address("vip", self.vip)
        if self.check is not UNSET and self.checks is not UNSET:
            raise ValueError("has both `check` and `checks`: put all into `checks`")


class ApiConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``api``."""

    socket: AbsolutePath = "/run/guideway/guidewayd.sock"


class LimitsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``limits``: how large the maps are made; they cannot grow without a reload."""

    services: Annotated[int, Meta(ge=1, le=65536)] = _LIMITS.services
    backends: Annotated[int, Meta(ge=1, le=1_000_000)] = _LIMITS.backends
    slots: Annotated[int, Meta(ge=8191, le=268_435_456)] = _LIMITS.slots
    records: Annotated[int, Meta(ge=1024, le=268_435_456)] = _LIMITS.records
    replies: Annotated[int, Meta(ge=1024, le=268_435_456)] = _LIMITS.replies


class FileConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    interfaces: Annotated[tuple[InterfaceName, ...], Meta(min_length=1, max_length=64)]
    services: tuple[ServiceConfig, ...]
    instance: InstanceName = "default"
    xdp_mode: Literal["native", "generic"] = "native"
    bpffs: AbsolutePath = "/sys/fs/bpf"
    state_directory: AbsolutePath = "/var/lib/guideway"
    hash_seed: Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)] = 0
    direct: tuple[str, ...] = ()
    api: ApiConfig = ApiConfig()
    limits: LimitsConfig = LimitsConfig()

    def __post_init__(self) -> None:
        if len(set(self.interfaces)) != len(self.interfaces):
            raise ValueError("an interface is named twice in `interfaces`")
        for prefix in self.direct:
            _network(prefix)


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """What is fixed while the daemon runs."""

    interfaces: tuple[str, ...]
    instance: str
    native: bool  # XDP in the driver; False: generic mode
    bpffs: Path
    state_directory: Path
    hash_seed: int  # 0…2³²-1, equal on all nodes of a cluster
    direct: tuple[IpNetwork, ...]  # replies to these are not translated
    socket: Path
    limits: Limits


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which PyYAML would silently drop the first."""

    def construct_mapping(
        self,
        node: yaml.MappingNode,
        deep: bool = False,  # noqa: FBT002
    ) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"{key.value!r} stands here twice", problem_mark=key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def load(path: Path) -> tuple[NodeConfig, DesiredState]:
    """Read and check ``path``; raise ConfigError naming file, place and problem."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"cannot be read: {_reason(error)}") from error
    return parse(text, str(path))


def parse(text: str, name: str) -> tuple[NodeConfig, DesiredState]:
    """Check the text of a configuration file called ``name``; raise ConfigError."""
    try:
        plain = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        remedy = "; indent by spaces" if "'\\t'" in str(error.problem) else ""
        raise ConfigError(f"{name}{line}", f"not YAML: {error.problem}{remedy}") from error
    except yaml.YAMLError as error:
        sentence = " ".join(str(error).split())  # PyYAML writes two lines
        raise ConfigError(name, f"not YAML: {sentence}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        # PyYAML's way of saying that a value is not of the kind that it looks like.
        sentence = " ".join(str(error).split())
        raise ConfigError(name, f"not YAML that can be read: {sentence}") from error
    if plain is None:
        raise ConfigError(name, "is empty; `interfaces` and `services` are required")
    if isinstance(plain, dict):
        name_types(plain.get("services"))
    try:
        file = msgspec.convert(plain, FileConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(name, explain(error, FileConfig)) from error
    except UnicodeEncodeError as error:
        problem = f"{error.object!a} has half a character in it; write the whole one"
        raise ConfigError(name, problem) from error
    try:
        return _node(file), _state(file)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error.where}", error.problem) from error


def _node(file: FileConfig) -> NodeConfig:
    return NodeConfig(
        interfaces=file.interfaces,
        instance=file.instance,
        native=file.xdp_mode == "native",
        bpffs=Path(file.bpffs),
        state_directory=Path(file.state_directory),
        hash_seed=file.hash_seed,
        direct=tuple(_network(prefix) for prefix in file.direct),
        socket=Path(file.api.socket),
        limits=Limits(**msgspec.structs.asdict(file.limits)),
    )


def _state(file: FileConfig) -> DesiredState:
    return DesiredState(tuple(_service(service) for service in file.services))


def _service(service: ServiceConfig) -> Service:
    return Service(
        name=service.name,
        vip=parse_address(service.vip),
        protocol=service.protocol,
        port=service.port,
        mode=service.mode,
        backends=tuple(_backend(backend, service.port) for backend in service.backends),
        checks=_checks(service),
        ring_size=service.ring_size,
        affinity=service.affinity,
        hash=service.hash,
        returns=service.returns,
    )


def _backend(backend: BackendConfig, port: int) -> Backend:
    address = parse_address(backend.address)
    return Backend(
        name=backend.name or str(address),
        address=address,
        port=port if backend.port is None else backend.port,
        weight=backend.weight,
        state=backend.state,
        zone=backend.zone,
    )


def _checks(service: ServiceConfig) -> tuple[AnyCheck, ...]:
    if not isinstance(service.checks, UnsetType):
        return tuple(to_check(check) for check in service.checks)
    if isinstance(service.check, UnsetType):
        return (TcpCheck(),)
    return () if isinstance(service.check, str) else (to_check(service.check),)


def _address(key: str, text: str) -> IpAddress:
    try:
        return parse_address(text)
    except ValueError as error:  # msgspec adds where in the file
        raise ValueError(f"`{key}`: {error}") from error


def _network(text: str) -> IpNetwork:
    try:
        network = ip_network(text)
    except ValueError as error:
        raise ValueError(f"`direct`: {_prefix_problem(text)}") from error
    if network.overlaps(_MAPPED) or "%" in text:
        raise ValueError(f"`direct`: {_prefix_problem(text)}")
    return network


def _prefix_problem(text: str) -> str:
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        return f"{text!r} is not a prefix such as 10.0.0.0/8 or 2001:db8::/32"
    if "%" in text:
        return f"{text!r} is one interface's; a prefix counts on all of them"
    if meant.overlaps(_MAPPED):
        return (
            f"{text!r} has IPv4 addresses in it, in the form of IPv6; write an IPv4 "
            "prefix, or for all of IPv6 both 2000::/3 and fc00::/7"
        )
    return f"{text!r} has host bits set; did you mean {meant}?"


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not UTF-8"
