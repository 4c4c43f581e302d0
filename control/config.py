"""The file of ``guidewayd``: the schema of all but its services, and how it is read.

msgspec checks types, ranges and unknown keys and names the place; what needs two fields is
the model's to check. After :func:`load` nobody knows the file's shape any more.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from control.access import Access, PeerNode, Sync, Tcp
from control.addresses import IpAddress, IpNetwork
from control.check_schema import DefaultsSchema, name_types
from control.config_values import listen_of, network_of
from control.desired import DesiredState
from control.errors import ConfigError
from control.notify_schema import EmailConfig, ProgramConfig, to_notifications
from control.notifying.settings import MAX_PROGRAMS, Notifications
from control.service_schema import ServiceConfig, as_written, to_state
from control.yaml_text import parse_yaml, read_text
from dataplane.source import Limits
from mistakes.places import located
from mistakes.remedies import explain

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
        listen_of(self.listen)
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
        listen_of(self.listen)


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
        listen_of(self.address, "address")


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
            network_of(prefix)

    def _check_peers(self) -> None:
        if not self.peers:
            return
        if self.api.listen is None:
            raise ValueError(
                "`peers` needs `api.listen` with its certificate: nodes know each other by "
                "certificates, and each is asked by the others"
            )
        places = [listen_of(peer.address, "address") for peer in self.peers]
        if listen_of(self.api.listen) in places:
            raise ValueError(f"`peers`: {self.api.listen} is this node itself")
        if len(set(places)) != len(places):
            raise ValueError("a node is named twice in `peers`")


class ServicesConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """A file of services alone, as ``guideway apply`` takes and exports it."""

    services: tuple[ServiceConfig, ...]
    check_defaults: DefaultsSchema | UnsetType = UNSET


_File = TypeVar("_File", FileConfig, ServicesConfig)


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

    @property
    def pins(self) -> Path:
        """Where program, links and maps are pinned."""
        return self.bpffs / "guideway" / self.instance


Look = Callable[[NodeConfig, DesiredState], None]


def _nothing(node: NodeConfig, desired: DesiredState) -> None:
    """Find nothing wrong with a file."""


def load(path: Path, also: Look = _nothing) -> tuple[NodeConfig, DesiredState]:
    """Read and check ``path``; raise ConfigError naming file, place and problem."""
    return parse(read_text(path), str(path), also)


def parse(text: str, name: str, also: Look = _nothing) -> tuple[NodeConfig, DesiredState]:
    """Check the text of a configuration file called ``name``; raise ConfigError.

    ``also`` may raise one that has a field: what else is to be right.
    """
    plain = parse_yaml(text, name)
    if plain is None:
        raise ConfigError(name, "is empty; `interfaces` and `services` are required")
    with _located(text, name):
        file = _convert(plain, FileConfig)
        with as_written(file.services):
            node, state = _node(file), to_state(file.services, file.check_defaults)
            also(node, state)
        return node, state


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
            return _read_state(_convert(plain, FileConfig)), True
        return _read_state(_convert(plain, ServicesConfig)), False


def _read_state(file: FileConfig | ServicesConfig) -> DesiredState:
    with as_written(file.services):
        return to_state(file.services, file.check_defaults)


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


def _node(file: FileConfig) -> NodeConfig:
    return NodeConfig(
        interfaces=file.interfaces,
        instance=file.instance,
        native=file.xdp_mode == "native",
        bpffs=Path(file.bpffs),
        state_directory=Path(file.state_directory),
        cache=Path(file.cache_directory) if file.cache_directory else None,
        hash_seed=file.hash_seed,
        direct=tuple(network_of(prefix) for prefix in file.direct),
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
        address, port = listen_of(peer.address, "address")
        peers.append(PeerNode(str(address), port, peer.name))
    return Sync(tuple(peers), file.sync.interval, file.sync.always)


def _tcp(api: ApiConfig) -> Tcp | None:
    files = (api.certificate, api.key, api.client_ca)
    if api.listen is None or None in files:
        return None
    address, port = listen_of(api.listen)
    certificate, key, client_ca = (Path(str(path)) for path in files)
    pem = (certificate, key, client_ca)
    return Tcp(str(address), port, *pem, api.change, api.view, api.peer)


def _metrics(metrics: MetricsConfig | str) -> MetricsEndpoint | None:
    if isinstance(metrics, str):
        return None
    address, port = listen_of(metrics.listen)
    return MetricsEndpoint(address, port, Path(metrics.vrrp_status))
