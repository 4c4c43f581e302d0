"""``services`` of a file, and how they become the model."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from control.addresses import parse_address
from control.check_common import CheckDefaults
from control.check_schema import CheckSchema, DefaultsSchema, to_check, to_defaults
from control.checks import AnyCheck, TcpCheck
from control.config_values import address_of
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
from control.pool_policy import EACH_BY_ITSELF, PoolPolicy, SorryServer, WhenAllDown

Port = Annotated[int, Meta(ge=0, le=65535)]
Weight = Annotated[int, Meta(ge=0, le=65535)]
_FIRST_CHECK: Final = re.compile(r"services\[(\d+)\]\.(?:backends\[(\d+)\]\.)?checks\[0\]")
_Checks = TypeVar("_Checks", tuple[AnyCheck, ...], None)


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
        address_of("address", self.address)
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
        address_of("vip", self.vip)
        _check_or_checks(self)


def to_state(
    services: tuple[ServiceConfig, ...], check_defaults: DefaultsSchema | UnsetType
) -> DesiredState:
    """Return the state of these services; ``check_defaults`` are those of the whole file.

    Raise ConfigError, with the field as in the state.
    """
    defaults = to_defaults(check_defaults)
    return DesiredState(tuple(_service(*each, defaults) for each in enumerate(services)))


@contextmanager
def as_written(services: tuple[ServiceConfig, ...]) -> Iterator[None]:
    """Let the field of a ConfigError be as in the file, where one check may be `check`."""
    try:
        yield
    except ConfigError as error:
        found = _FIRST_CHECK.match(error.field)
        if not found:
            raise
        number, place = found.groups()
        one: ServiceConfig | BackendConfig = services[int(number)]
        if place is not None:
            one = services[int(number)].backends[int(place)]
        if one.checks is not UNSET:
            raise
        field = error.field.replace("checks[0]", "check")
        raise ConfigError(error.where, error.problem, field) from error


def _service(number: int, service: ServiceConfig, defaults: CheckDefaults) -> Service:
    try:
        return _to_service(service, defaults)
    except ConfigError as error:
        at = f"services[{number}].{error.field}"
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
