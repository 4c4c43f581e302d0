"""Between the API's messages and the desired state.

What a client may leave out gets its value here; what is wrong in itself (an address that is
none, a number that this release does not know) is refused here. The rest is the model's.
"""

from dataclasses import replace
from typing import Final

from control.addresses import IpAddress, parse_address
from control.api.convert_checks import (
    checks_from_pb,
    checks_to_pb,
    defaults_from_pb,
    defaults_to_pb,
    one_check_to_pb,
)
from control.api.convert_pool import pool_from_pb, pool_to_pb
from control.api.fields import meant, named_as_in, surely_meant, wrong
from control.api.v1 import guideway_pb2 as pb
from control.check_common import BUILT_IN, CheckDefaults
from control.checks import AnyCheck, TcpCheck
from control.desired import DesiredState
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
from control.moving import following, with_changed
from control.pool_policy import EACH_BY_ITSELF

MAX_DRAIN: Final = 31_536_000  # seconds: a year

_PROTOCOLS: Final = {
    pb.PROTOCOL_TCP: Protocol.TCP,
    pb.PROTOCOL_UDP: Protocol.UDP,
}
_MODES: Final = {
    pb.MODE_DR: Mode.DR,
    pb.MODE_NAT: Mode.NAT,
}
_AFFINITIES: Final = {
    pb.AFFINITY_TRANSITION: Affinity.TRANSITION,
    pb.AFFINITY_ALWAYS: Affinity.ALWAYS,
    pb.AFFINITY_NONE: Affinity.NONE,
}
_HASHES: Final = {
    pb.HASH_FLOW: Hash.FLOW,
    pb.HASH_SOURCE: Hash.SOURCE,
}
_RETURNS: Final = {
    pb.RETURNS_STATELESS: Returns.STATELESS,
    pb.RETURNS_TRACKED: Returns.TRACKED,
}
_BACKEND_STATES: Final = {
    pb.BACKEND_STATE_ACTIVE: BackendState.ACTIVE,
    pb.BACKEND_STATE_DRAINING: BackendState.DRAINING,
    pb.BACKEND_STATE_DISABLED: BackendState.DISABLED,
}
_PROTOCOLS_TO_PB: Final = {value: number for number, value in _PROTOCOLS.items()}
_MODES_TO_PB: Final = {value: number for number, value in _MODES.items()}
_AFFINITIES_TO_PB: Final = {value: number for number, value in _AFFINITIES.items()}
_HASHES_TO_PB: Final = {value: number for number, value in _HASHES.items()}
_RETURNS_TO_PB: Final = {value: number for number, value in _RETURNS.items()}
_BACKEND_STATES_TO_PB: Final = {value: number for number, value in _BACKEND_STATES.items()}


def new_service(request: pb.AddServiceRequest) -> Service:
    """Return the service that is to be added; raise ConfigError."""
    wanted = request.service
    if not wanted.HasField("port"):
        raise wrong("service.port", "is required; 0 is every port")
    with named_as_in(request):
        defaults = defaults_from_pb(wanted.check_defaults, BUILT_IN)
        return Service(
            name=wanted.name,
            vip=_address("service.vip", wanted.vip),
            protocol=surely_meant(wanted.protocol, _PROTOCOLS, "service.protocol"),
            port=wanted.port,
            mode=surely_meant(wanted.mode, _MODES, "service.mode"),
            backends=tuple(
                _backend(backend, wanted.port, defaults, f"backends[{number}]")
                for number, backend in enumerate(request.backends)
            ),
            checks=_checks(wanted, (TcpCheck(**defaults.values()),), defaults),
            ring_size=wanted.ring_size or None,
            affinity=meant(wanted.affinity, _AFFINITIES, "service.affinity")
            or Affinity.TRANSITION,
            hash=meant(wanted.hash, _HASHES, "service.hash") or Hash.FLOW,
            returns=meant(wanted.returns, _RETURNS, "service.returns") or Returns.STATELESS,
            pool=pool_from_pb(wanted.pool, EACH_BY_ITSELF, wanted.port, "service.pool"),
            check_defaults=defaults,
        )


def added_service(
    state: DesiredState, service: Service, request: pb.AddServiceRequest
) -> DesiredState:
    """Return the state with ``service`` of ``request`` added; raise what is in the way."""
    with named_as_in(request):
        return state.with_new_service(service)


def changed_service(state: DesiredState, request: pb.ChangeServiceRequest) -> DesiredState:
    """Return the state with what is given of a service changed; raise what is wrong."""
    service = state.service(request.name)
    mode = meant(request.mode, _MODES, "mode") or service.mode
    port, ring_size = service.port, service.ring_size
    if request.HasField("port"):
        port = request.port
    if request.HasField("ring_size"):
        ring_size = request.ring_size or None
    with named_as_in(request):
        defaults = defaults_from_pb(request.check_defaults, service.check_defaults)
        inheriting = service.with_check_defaults(defaults)
        backends, pool = following(inheriting, mode, port)
        changed = replace(
            inheriting,
            name=request.new_name if request.HasField("new_name") else service.name,
            vip=_address("vip", request.vip) if request.HasField("vip") else service.vip,
            protocol=meant(request.protocol, _PROTOCOLS, "protocol") or service.protocol,
            port=port,
            mode=mode,
            backends=backends,
            checks=_checks(request, inheriting.checks, defaults),
            ring_size=ring_size,
            affinity=meant(request.affinity, _AFFINITIES, "affinity") or service.affinity,
            hash=meant(request.hash, _HASHES, "hash") or service.hash,
            returns=meant(request.returns, _RETURNS, "returns") or service.returns,
            pool=pool_from_pb(request.pool, pool, port, "pool"),
        )
        return with_changed(state, service, changed)


def added_backend(state: DesiredState, request: pb.AddBackendRequest) -> DesiredState:
    """Return the state with one more backend; raise what is wrong."""
    service = state.service(request.service)
    with named_as_in(request):
        backend = _backend(request.backend, service.port, service.check_defaults, "backend")
        return state.with_new_backend(request.service, backend)


def changed_backend(
    state: DesiredState, request: pb.SetBackendRequest, now: float
) -> DesiredState:
    """Return the state with what is given of a backend changed; raise what is wrong.

    ``now`` is the Unix time.
    """
    deadline = None
    if request.HasField("drain_within"):
        if not 0 < request.drain_within <= MAX_DRAIN:
            problem = (
                f"{request.drain_within:g} is not above 0 and up to {MAX_DRAIN} seconds"
            )
            raise wrong("drain_within", problem)
        deadline = round(now + request.drain_within, 3)
    with named_as_in(request):
        changed = state.with_changed_backend(
            request.service,
            request.backend,
            weight=request.weight if request.HasField("weight") else None,
            state=meant(request.state, _BACKEND_STATES, "state"),
            zone=request.zone if request.HasField("zone") else None,
            drain_deadline=deadline,
        )
        return _with_checks(changed, request)


def _with_checks(state: DesiredState, request: pb.SetBackendRequest) -> DesiredState:
    """Return the state with other checks of a backend, if any are asked for."""
    service, checks = state.service(request.service), None
    if request.service_checks and request.checks:
        raise wrong("service_checks", "contradicts `checks`: the service's or its own")
    if not request.service_checks and not request.checks:
        return state
    if request.checks:
        known = service.checks_of(service.backend(request.backend))
        checks = checks_from_pb(request.checks, known, service.check_defaults)
    return state.with_backend_checks(request.service, request.backend, checks)


def service_to_pb(service: Service) -> pb.Service:
    """Return a service's settings, nothing left out."""
    return pb.Service(
        name=service.name,
        vip=str(service.vip),
        protocol=_PROTOCOLS_TO_PB[service.protocol],
        port=service.port,
        mode=_MODES_TO_PB[service.mode],
        check=one_check_to_pb(service.checks),
        checks=checks_to_pb(service.checks),
        ring_size=service.ring_size or 0,
        affinity=_AFFINITIES_TO_PB[service.affinity],
        hash=_HASHES_TO_PB[service.hash],
        returns=_RETURNS_TO_PB[service.returns],
        pool=pool_to_pb(service.pool),
        check_defaults=defaults_to_pb(service.check_defaults),
    )


def backend_to_pb(backend: Backend) -> pb.Backend:
    """Return a backend's settings, nothing left out."""
    return pb.Backend(
        name=backend.name,
        address=str(backend.address),
        port=backend.port,
        weight=backend.weight,
        state=_BACKEND_STATES_TO_PB[backend.state],
        zone=backend.zone,
        drain_deadline=backend.drain_deadline,
        checks=_own_checks_to_pb(backend),
    )


def _own_checks_to_pb(backend: Backend) -> list[pb.HealthCheck]:
    if backend.checks is None:
        return []
    return checks_to_pb(backend.checks) or [pb.HealthCheck(none=pb.NoCheck())]


def _backend(wanted: pb.Backend, port: int, defaults: CheckDefaults, at: str) -> Backend:
    """Return the backend ``at`` a place of the request, of a service that has ``port``.

    ``defaults`` are those of the service's checks.
    """
    address = _address(f"{at}.address", wanted.address)
    return Backend(
        name=wanted.name or str(address),
        address=address,
        port=wanted.port if wanted.HasField("port") else port,
        weight=wanted.weight if wanted.HasField("weight") else 1,
        state=meant(wanted.state, _BACKEND_STATES, f"{at}.state") or BackendState.ACTIVE,
        zone=wanted.zone,
        drain_deadline=(
            wanted.drain_deadline if wanted.HasField("drain_deadline") else None
        ),
        checks=checks_from_pb(wanted.checks, (), defaults) if wanted.checks else None,
    )


def _checks(
    wanted: pb.Service | pb.ChangeServiceRequest,
    known: tuple[AnyCheck, ...],
    defaults: CheckDefaults,
) -> tuple[AnyCheck, ...]:
    """Return the checks that are asked for; the ``known`` ones if none are."""
    one = (wanted.check,) if wanted.HasField("check") else ()
    asked = (*one, *wanted.checks)
    return checks_from_pb(asked, known, defaults) if asked else known


def _address(where: str, text: str) -> IpAddress:
    try:
        return parse_address(text)
    except ValueError as error:
        raise wrong(where, str(error)) from error
