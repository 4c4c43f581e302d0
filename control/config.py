"""The file of ``guidewayd``: its schema, and how it becomes the model.

msgspec checks types, ranges and unknown keys and names the place; what needs two fields is
the model's to check. After :func:`load` nobody knows the file's shape any more.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from control.access import Access, PeerNode, Sync, Tcp
from control.addresses import MAX_PORT, IpAddress, IpNetwork, parse_address, split_port
from control.check_schema import (
    CheckSchema,
    DefaultsSchema,
    name_types,
    to_check,
    to_defaults,
)
from control.checks import AnyCheck, CheckDefaults, TcpCheck
from control.errors import ConfigError
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
from control.notify_schema import EmailConfig, ProgramConfig, to_notifications
from control.notifying.settings import MAX_PROGRAMS, Notifications
from control.pool_policy import EACH_BY_ITSELF, PoolPolicy, SorryServer, WhenAllDown
from control.yaml_text import parse_yaml, read_text
from dataplane.source import Limits
from mistakes.places import located
from mistakes.remedies import explain

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
GroupName = Annotated[
    str,
    Meta(pattern=r"^[^\s:,\0]{1,256}\Z", description="the name of a group of this host"),
]
Owner = Annotated[
    str,
    Meta(
        pattern=r"^(O|CN)=.{1,128}\Z",
        description="O= and an organisation, or CN= and a common name, of a certificate",
    ),
]
_REQUIRED: Final = ("certificate", "key", "client_ca")
_OF_TCP: Final = (*_REQUIRED, "change", "view", "peer")
_OF_SERVICES: Final = {"services", "check_defaults"}
_LIMITS: Final = Limits()
_MAX_SENTENCE: Final = 1000  # characters; keys and values can be as long as they like
_MAPPED: Final = IPv6Network("::ffff:0:0/96")  # IPv4 addresses, as the maps hold them


class BackendConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of ``backends``."""

    address: str
    name: str | None = None
    port: Port | None = None  # the service's
    weight: Weight = 1
    state: BackendState = BackendState.ACTIVE
    zone: str = ""
    drain_deadline: Annotated[datetime, Meta(tz=True)] | None = None
    check: CheckSchema | Literal["none"] | UnsetType = UNSET
    checks: tuple[CheckSchema, ...] | UnsetType = UNSET

    def __post_init__(self) -> None:
        _address("address", self.address)
        _check_or_checks(self)


class PoolConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``pool`` of a service; ranges are the model's to check."""

    quorum: int = EACH_BY_ITSELF.quorum
    hysteresis: int = EACH_BY_ITSELF.hysteresis
    sorry_server: str | None = None
    when_all_down: WhenAllDown = EACH_BY_ITSELF.when_all_down
    keep_flows: bool = EACH_BY_ITSELF.keep_flows
    max_ejected: float = EACH_BY_ITSELF.max_ejected
    slow_start: float = EACH_BY_ITSELF.slow_start
    watch_handshakes: bool = EACH_BY_ITSELF.watch_handshakes

    def __post_init__(self) -> None:
        self.policy(0)

    def policy(self, port: int) -> PoolPolicy:
        """Return the policy of a service that has ``port``; raise ValueError."""
        sorry = None
        if self.sorry_server is not None:
            try:
                sorry = SorryServer.parse(self.sorry_server, port)
            except ValueError as error:  # msgspec adds where in the file
                raise ValueError(f"`sorry_server`: {error}") from error
        return PoolPolicy(
            quorum=self.quorum,
            hysteresis=self.hysteresis,
            sorry_server=sorry,
            when_all_down=self.when_all_down,
            keep_flows=self.keep_flows,
            max_ejected=self.max_ejected,
            slow_start=self.slow_start,
            watch_handshakes=self.watch_handshakes,
        )


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
    check_defaults: DefaultsSchema | UnsetType = UNSET
    pool: PoolConfig = msgspec.field(default_factory=PoolConfig)

    def __post_init__(self) -> None:
        _address("vip", self.vip)
        _check_or_checks(self)


class ApiConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``api``."""

    socket: AbsolutePath = "/run/guideway/guidewayd.sock"
    group: GroupName | None = None
    change_group: GroupName | None = None
    listen: str | None = None
    certificate: AbsolutePath | None = None
    key: AbsolutePath | None = None
    client_ca: AbsolutePath | None = None
    change: tuple[Owner, ...] = ()
    view: tuple[Owner, ...] = ()
    peer: tuple[Owner, ...] = ()

    def __post_init__(self) -> None:
        if self.change_group is not None and self.group is None:
            raise ValueError("`change_group` needs `group`: who may open the socket at all")
        given = [key for key in _OF_TCP if getattr(self, key)]
        if self.listen is None:
            if given:
                raise ValueError(f"`{given[0]}` is of no use without `listen`")
            return
        _listen(self.listen)
        if missing := [f"`{key}`" for key in _REQUIRED if getattr(self, key) is None]:
            raise ValueError(
                f"`listen` needs {', '.join(missing)}, too: over TCP both ends have to "
                "show a certificate"
            )
        if not (self.change or self.view or self.peer):
            raise ValueError(
                "`listen` needs `change`, `view` or `peer`: whose certificates may use the "
                "API"
            )


class MetricsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``metrics``: where Prometheus asks. Nobody is asked who they are there."""

    listen: str = "127.0.0.1:9475"
    vrrp_status: AbsolutePath = "/run/guideway/vrrp.json"

    def __post_init__(self) -> None:
        _listen(self.listen)


class LimitsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``limits``: how large the maps are made; they cannot grow without a reload."""

    services: Annotated[int, Meta(ge=1, le=65536)] = _LIMITS.services
    backends: Annotated[int, Meta(ge=1, le=1_000_000)] = _LIMITS.backends
    slots: Annotated[int, Meta(ge=8191, le=268_435_456)] = _LIMITS.slots
    records: Annotated[int, Meta(ge=1024, le=268_435_456)] = _LIMITS.records
    replies: Annotated[int, Meta(ge=1024, le=268_435_456)] = _LIMITS.replies


class PeerConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of ``peers``: another node of the cluster, by where its API listens."""

    address: str
    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{1,253}\Z")] | None = None

    def __post_init__(self) -> None:
        _listen(self.address, "address")


class SyncConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``sync``: how ``peers`` are followed."""

    interval: Annotated[float, Meta(ge=0.05, le=60)] = 0.25
    always: bool = False


class FileConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    interfaces: Annotated[tuple[InterfaceName, ...], Meta(min_length=1, max_length=64)]
    services: tuple[ServiceConfig, ...]
    instance: InstanceName = "default"
    xdp_mode: Literal["native", "generic"] = "native"
    bpffs: AbsolutePath = "/sys/fs/bpf"
    state_directory: AbsolutePath = "/var/lib/guideway"
    cache_directory: AbsolutePath | None = "/var/cache/guideway"
    hash_seed: Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)] = 0
    direct: tuple[str, ...] = ()
    api: ApiConfig = ApiConfig()
    limits: LimitsConfig = LimitsConfig()
    metrics: MetricsConfig | Literal["none"] = msgspec.field(default_factory=MetricsConfig)
    notify: Annotated[tuple[ProgramConfig, ...], Meta(max_length=MAX_PROGRAMS)] = ()
    email: EmailConfig | None = None
    peers: Annotated[tuple[PeerConfig, ...], Meta(max_length=16)] = ()
    sync: SyncConfig = SyncConfig()
    check_defaults: DefaultsSchema | UnsetType = UNSET

    def __post_init__(self) -> None:
        self._check_peers()
        if len(set(self.interfaces)) != len(self.interfaces):
            raise ValueError("an interface is named twice in `interfaces`")
        for prefix in self.direct:
            _network(prefix)

    def _check_peers(self) -> None:
        if not self.peers:
            return
        if self.api.listen is None:
            raise ValueError(
                "`peers` needs `api.listen` with its certificate: nodes know each other by "
                "certificates, and each is asked by the others"
            )
        places = [_listen(peer.address, "address") for peer in self.peers]
        if _listen(self.api.listen) in places:
            raise ValueError(f"`peers`: {self.api.listen} is this node itself")
        if len(set(places)) != len(places):
            raise ValueError("a node is named twice in `peers`")


class ServicesConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """A file of services alone, as ``guideway apply`` takes and exports it."""

    services: tuple[ServiceConfig, ...]
    check_defaults: DefaultsSchema | UnsetType = UNSET


_File = TypeVar("_File", FileConfig, ServicesConfig)
_Checks = TypeVar("_Checks", tuple[AnyCheck, ...], None)


@dataclass(frozen=True, slots=True)
class MetricsEndpoint:
    """Where metrics are served, and where guideway-vrrpd says how it is."""

    address: IpAddress
    port: int  # 1…65535
    vrrp_status: Path


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """What is fixed while the daemon runs."""

    interfaces: tuple[str, ...]
    instance: str
    native: bool  # XDP in the driver; False: generic mode
    bpffs: Path
    state_directory: Path
    cache: Path | None  # a directory with programs that were compiled before
    hash_seed: int  # 0…2³²-1, equal on all nodes of a cluster
    direct: tuple[IpNetwork, ...]  # replies to these are not translated
    socket: Path
    limits: Limits
    metrics: MetricsEndpoint | None = None  # None: none
    access: Access = field(default_factory=Access)
    notifications: Notifications = field(default_factory=Notifications)  # may change
    sync: Sync = field(default_factory=Sync)


def load(path: Path) -> tuple[NodeConfig, DesiredState]:
    """Read and check ``path``; raise ConfigError naming file, place and problem."""
    return parse(read_text(path), str(path))


def parse(text: str, name: str) -> tuple[NodeConfig, DesiredState]:
    """Check the text of a configuration file called ``name``; raise ConfigError."""
    plain = parse_yaml(text, name)
    if plain is None:
        raise ConfigError(name, "is empty; `interfaces` and `services` are required")
    with _located(text, name):
        file = _convert(plain, FileConfig)
        return _node(file), _state(file)


def parse_services(text: str, name: str) -> tuple[DesiredState, bool]:
    """Return the services of a text called ``name``, and whether it has more than them.

    It is a whole configuration file, all of which is checked, or has `services` alone, and
    `check_defaults` for them.
    Raises ConfigError.
    """
    plain = parse_yaml(text, name)
    if plain is None:
        raise ConfigError(name, "is empty; `services` is required, `services: []` for none")
    with _located(text, name):
        if isinstance(plain, dict) and not plain.keys() <= _OF_SERVICES:
            return _state(_convert(plain, FileConfig)), True
        return _state(_convert(plain, ServicesConfig)), False


@contextmanager
def _located(text: str, name: str) -> Iterator[None]:
    """Let a ConfigError of the body, whose field is a path in ``text``, say where it is."""
    try:
        yield
    except ConfigError as error:
        problem = str(error) if error.where and not error.field else error.problem
        where, sentence = located(text, name, error.field, problem)
        raise ConfigError(where, sentence[:_MAX_SENTENCE]) from error
    except UnicodeEncodeError as error:
        problem = f"{error.object!a} has half a character in it; write the whole one"
        raise ConfigError(name, problem) from error


def _convert(plain: Any, schema: type[_File]) -> _File:
    if isinstance(plain, dict):
        name_types(plain.get("services"))
    try:
        return msgspec.convert(plain, schema)
    except msgspec.ValidationError as error:
        problem, path = explain(error, schema)
        raise ConfigError("", problem, path) from error


def _state(file: FileConfig | ServicesConfig) -> DesiredState:
    defaults = to_defaults(file.check_defaults)
    services = enumerate(file.services)
    return DesiredState(tuple(_service(*each, defaults) for each in services))


def _node(file: FileConfig) -> NodeConfig:
    return NodeConfig(
        interfaces=file.interfaces,
        instance=file.instance,
        native=file.xdp_mode == "native",
        bpffs=Path(file.bpffs),
        state_directory=Path(file.state_directory),
        cache=Path(file.cache_directory) if file.cache_directory else None,
        hash_seed=file.hash_seed,
        direct=tuple(_network(prefix) for prefix in file.direct),
        socket=Path(file.api.socket),
        limits=Limits(**msgspec.structs.asdict(file.limits)),
        metrics=_metrics(file.metrics),
        access=Access(file.api.group, file.api.change_group, _tcp(file.api)),
        notifications=to_notifications(file.notify, file.email),
        sync=_sync(file),
    )


def _sync(file: FileConfig) -> Sync:
    peers = []
    for peer in file.peers:
        address, port = _listen(peer.address, "address")
        peers.append(PeerNode(str(address), port, peer.name))
    return Sync(tuple(peers), file.sync.interval, file.sync.always)


def _tcp(api: ApiConfig) -> Tcp | None:
    files = (api.certificate, api.key, api.client_ca)
    if api.listen is None or None in files:
        return None
    address, port = _listen(api.listen)
    certificate, key, client_ca = (Path(str(path)) for path in files)
    pem = (certificate, key, client_ca)
    return Tcp(str(address), port, *pem, api.change, api.view, api.peer)


def _metrics(metrics: MetricsConfig | str) -> MetricsEndpoint | None:
    if isinstance(metrics, str):
        return None
    address, port = _listen(metrics.listen)
    return MetricsEndpoint(address, port, Path(metrics.vrrp_status))


def _service(number: int, service: ServiceConfig, defaults: CheckDefaults) -> Service:
    try:
        return _to_service(service, defaults)
    except ConfigError as error:
        field = error.field
        if service.checks is UNSET:
            field = field.replace("checks[0]", "check")
        at = f"services[{number}].{field}"
        raise ConfigError(error.where, error.problem, at) from error


def _to_service(service: ServiceConfig, defaults: CheckDefaults) -> Service:
    """Return the service; ``defaults`` are those of the whole file."""
    own = to_defaults(service.check_defaults, defaults)
    return Service(
        name=service.name,
        vip=parse_address(service.vip),
        protocol=service.protocol,
        port=service.port,
        mode=service.mode,
        backends=tuple(_backend(one, service.port, own) for one in service.backends),
        checks=_checks(service, own, (TcpCheck(**own.values()),)),
        ring_size=service.ring_size,
        affinity=service.affinity,
        hash=service.hash,
        returns=service.returns,
        pool=service.pool.policy(service.port),
        check_defaults=own,
    )


def _backend(backend: BackendConfig, port: int, defaults: CheckDefaults) -> Backend:
    address = parse_address(backend.address)
    deadline = backend.drain_deadline
    return Backend(
        name=backend.name or str(address),
        address=address,
        port=port if backend.port is None else backend.port,
        weight=backend.weight,
        state=backend.state,
        zone=backend.zone,
        drain_deadline=deadline.timestamp() if deadline else None,
        checks=_checks(backend, defaults, None),
    )


def _check_or_checks(one: BackendConfig | ServiceConfig) -> None:
    if one.check is not UNSET and one.checks is not UNSET:
        raise ValueError("has both `check` and `checks`: put all into `checks`")


def _checks(
    one: BackendConfig | ServiceConfig, defaults: CheckDefaults, otherwise: _Checks
) -> tuple[AnyCheck, ...] | _Checks:
    """Return the checks of a service or a backend, ``otherwise`` if it says nothing."""
    if not isinstance(one.checks, UnsetType):
        return tuple(to_check(check, defaults) for check in one.checks)
    if isinstance(one.check, UnsetType):
        return otherwise
    return () if isinstance(one.check, str) else (to_check(one.check, defaults),)


def _address(key: str, text: str) -> IpAddress:
    try:
        return parse_address(text)
    except ValueError as error:  # msgspec adds where in the file
        raise ValueError(f"`{key}`: {error}") from error


def _listen(text: str, key: str = "listen") -> tuple[IpAddress, int]:
    """Return address and port of a ``listen``; raise ValueError."""
    host, port = split_port(text)
    if (
        port is None
        or not re.fullmatch("[0-9]{1,5}", port)
        or not 1 <= int(port) <= MAX_PORT
    ):
        raise ValueError(
            f"`{key}`: {text!r} is not ADDRESS:PORT, such as 127.0.0.1:9475 or "
            "[2001:db8::1]:7007"
        )
    return _address(key, host), int(port)


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
