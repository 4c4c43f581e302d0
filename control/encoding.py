"""The desired state as bytes: what the store keeps, one JSON object per version.

The shape is written out here and is not the model's, so that renaming a field of the model
cannot make a stored state unreadable. :data:`SHAPE` counts the shapes; a later one has to
go on reading the earlier.
"""

from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from control.addresses import parse_address
from control.check_common import BUILT_IN
from control.check_schema import (
    CheckSchema,
    DefaultsSchema,
    from_check,
    from_defaults,
    name_types,
    to_check,
    to_defaults,
)
from control.desired import DesiredState
from control.errors import ConfigError
from control.model import (
    Affinity,
    Backend,
    BackendState,
    Hash,
    Mode,
    Protocol,
    Returns,
    Service,
)
from control.pool_policy import PoolPolicy, SorryServer, WhenAllDown

SHAPE: Final = 2
_ONE_CHECK: Final = 1  # the shape in which a service had one check, of type tcp, or null


class StoredBackend(Struct, frozen=True, omit_defaults=True):
    """A backend; a field that may be left out means the same for ever where it is."""

    name: str
    address: str
    port: int
    weight: int
    state: BackendState
    zone: str = ""
    drain_deadline: float | None = None  # Unix time
    checks: tuple[CheckSchema, ...] | None = None  # null: the service's


class StoredPool(Struct, frozen=True, omit_defaults=True):
    """A pool's policy; as for a backend, defaults stay what they are."""

    quorum: int = 1
    hysteresis: int = 0
    sorry_server: str | None = None  # with its port
    when_all_down: WhenAllDown = WhenAllDown.SORRY
    keep_flows: bool = False
    max_ejected: float = 1.0
    slow_start: float = 0.0  # seconds
    watch_handshakes: bool = False


class StoredService(Struct, frozen=True):
    """A service; ``ring_size`` null: chosen by the controller."""

    name: str
    vip: str
    protocol: Protocol
    port: int
    mode: Mode
    backends: tuple[StoredBackend, ...]
    checks: tuple[CheckSchema, ...]
    ring_size: int | None
    affinity: Affinity = Affinity.TRANSITION
    hash: Hash = Hash.FLOW
    returns: Returns = Returns.STATELESS
    pool: StoredPool = msgspec.field(default_factory=StoredPool)
    check_defaults: DefaultsSchema | UnsetType = UNSET  # of what checks say, all is there


class StoredState(Struct, frozen=True):
    """The whole object."""

    shape: int
    services: tuple[StoredService, ...]


class Shape(Struct, frozen=True):
    """What can be read of any shape, past or future."""

    shape: int


def encode(state: DesiredState) -> bytes:
    """Return ``state`` as JSON in the current shape."""
    return Encoder().encode(state)


class Encoder:
    """Encodes one state after another, and only what is not the same object as before."""

    def __init__(self) -> None:
        # By id; whoever is in here lives, so that nobody else has that one.
        self._known: dict[int, tuple[Service, bytes]] = {}

    def prepare(self, state: DesiredState) -> None:
        """Do most of the work of encoding ``state`` next; from any thread."""
        self._known |= self._encoded(state)

    def encode(self, state: DesiredState) -> bytes:
        """Return ``state`` as JSON in the current shape."""
        self._known = self._encoded(state)
        services = b",".join(encoded for _, encoded in self._known.values())
        return b'{"shape":%d,"services":[%b]}' % (SHAPE, services)

    def _encoded(self, state: DesiredState) -> dict[int, tuple[Service, bytes]]:
        known = self._known
        return {
            id(service): known.get(id(service))
            or (service, msgspec.json.encode(_store_service(service)))
            for service in state
        }


def decode(stored: bytes) -> DesiredState:
    """Return the state that :func:`encode` was given; raise ConfigError if it is none."""
    try:
        shape = msgspec.json.decode(stored, type=Shape).shape
        if shape == _ONE_CHECK:
            state = msgspec.convert(_with_checks(msgspec.json.decode(stored)), StoredState)
        elif shape == SHAPE:
            state = msgspec.json.decode(stored, type=StoredState)
        else:
            problem = f"has shape {shape}, and this release reads shapes up to {SHAPE} only"
            raise ConfigError("stored state", problem)
        return DesiredState(tuple(_load_service(service) for service in state.services))
    except (msgspec.MsgspecError, ValueError) as error:
        raise ConfigError("stored state", str(error)) from error


def _with_checks(old: Any) -> Any:
    """Return a state of shape 1, if it is one, in the current shape."""
    services = old.get("services")
    for service in services if isinstance(services, list) else ():
        if isinstance(service, dict):
            check = service.pop("check", None)
            service["checks"] = [] if check is None else [check]
    name_types(services)
    return old


def _store_service(service: Service) -> StoredService:
    return StoredService(
        name=service.name,
        vip=str(service.vip),
        protocol=service.protocol,
        port=service.port,
        mode=service.mode,
        backends=tuple(_store_backend(backend) for backend in service.backends),
        checks=tuple(from_check(check) for check in service.checks),
        ring_size=service.ring_size,
        affinity=service.affinity,
        hash=service.hash,
        returns=service.returns,
        pool=_store_pool(service.pool),
        check_defaults=(
            from_defaults(service.check_defaults)
            if service.check_defaults != BUILT_IN
            else UNSET
        ),
    )


def _store_pool(pool: PoolPolicy) -> StoredPool:
    return StoredPool(
        quorum=pool.quorum,
        hysteresis=pool.hysteresis,
        sorry_server=str(pool.sorry_server) if pool.sorry_server else None,
        when_all_down=pool.when_all_down,
        keep_flows=pool.keep_flows,
        max_ejected=pool.max_ejected,
        slow_start=pool.slow_start,
        watch_handshakes=pool.watch_handshakes,
    )


def _store_backend(backend: Backend) -> StoredBackend:
    return StoredBackend(
        backend.name,
        str(backend.address),
        backend.port,
        backend.weight,
        backend.state,
        backend.zone,
        backend.drain_deadline,
        None if backend.checks is None else tuple(map(from_check, backend.checks)),
    )


def _load_service(stored: StoredService) -> Service:
    return Service(
        name=stored.name,
        vip=parse_address(stored.vip),
        protocol=stored.protocol,
        port=stored.port,
        mode=stored.mode,
        backends=tuple(_load_backend(backend) for backend in stored.backends),
        checks=tuple(to_check(check) for check in stored.checks),
        ring_size=stored.ring_size,
        affinity=stored.affinity,
        hash=stored.hash,
        returns=stored.returns,
        pool=_load_pool(stored.pool, stored.port),
        check_defaults=to_defaults(stored.check_defaults),
    )


def _load_pool(stored: StoredPool, port: int) -> PoolPolicy:
    sorry = stored.sorry_server
    return PoolPolicy(
        quorum=stored.quorum,
        hysteresis=stored.hysteresis,
        sorry_server=None if sorry is None else SorryServer.parse(sorry, port),
        when_all_down=stored.when_all_down,
        keep_flows=stored.keep_flows,
        max_ejected=stored.max_ejected,
        slow_start=stored.slow_start,
        watch_handshakes=stored.watch_handshakes,
    )


def _load_backend(stored: StoredBackend) -> Backend:
    return Backend(
        stored.name,
        parse_address(stored.address),
        stored.port,
        stored.weight,
        stored.state,
        stored.zone,
        stored.drain_deadline,
        None if stored.checks is None else tuple(map(to_check, stored.checks)),
    )
