"""Services and their backends: what the operator wants of each, as frozen values.

A service is valid or it does not exist. Every rule that needs more than one field of it is
checked here, whichever way a value came (file, API).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import ip_address
from typing import Final, Self

from control.addresses import IpAddress, endpoint, with_port
from control.check_common import BUILT_IN, CheckDefaults, NetworkCheck, PortCheck, Via
from control.checks import AnyCheck, TcpCheck, following
from control.errors import ConfigError, NotFoundError
from control.pool_policy import EACH_BY_ITSELF, SORRY, PoolPolicy
from control.value_rules import check_address, check_name, check_port, check_ring_size

MAX_BACKENDS: Final = 65535  # of one service
MAX_WEIGHT: Final = 65535
MAX_TIME: Final = 253_402_300_799  # Unix time at which the year 9999 ends
MAX_CHECKS: Final = 16  # of one service


class Protocol(StrEnum):
    """What a service balances; the value is how files and commands spell it."""

    TCP = "tcp"
    UDP = "udp"

    @property
    def number(self) -> int:
        """The protocol's number in an IP header (IANA)."""
        return {Protocol.TCP: 6, Protocol.UDP: 17}[self]


class Mode(StrEnum):
    """How packets reach the backends of a service."""

    DR = "dr"  # rewrite the MAC; the backend answers the client directly
    NAT = "nat"  # rewrite address and port; replies come back through the node


class Affinity(StrEnum):
    """When the flows of a service are recorded, so that they keep their backend."""

    TRANSITION = "transition"  # while their slot changes hands
    ALWAYS = "always"  # the classic connection table
    NONE = "none"  # a slot that changes hands takes its flows along


class Hash(StrEnum):
    """What of a packet chooses the backend."""

    FLOW = "flow"  # addresses and ports
    SOURCE = "source"  # the client's address: all its flows go to one backend


class Returns(StrEnum):
    """How a packet from a NAT backend is known to be a reply."""

    STATELESS = "stateless"  # by the address and port that it comes from
    TRACKED = "tracked"  # by its flow, which has to have come through the service


class BackendState(StrEnum):
    """What the operator wants of a backend, whatever its health."""

    ACTIVE = "active"
    DRAINING = "draining"  # gets no new flows
    DISABLED = "disabled"  # gets nothing: its flows go to others, as if it were down


@dataclass(frozen=True, slots=True)
class Backend:
    """A real server of one service."""

    name: str
    address: IpAddress
    port: int
    weight: int = 1  # 0…65535; 0 gets no new flows, like draining
    state: BackendState = BackendState.ACTIVE
    zone: str = ""  # failure domain: what fails together with it; "": only itself
    # Unix time at which a draining backend loses the flows it still has; None: never.
    drain_deadline: float | None = None
    checks: tuple[AnyCheck, ...] | None = None  # instead of the service's; None: those

    @property
    def identity(self) -> str:
        """What its Maglev permutation is computed from; equal on all nodes, for ever."""
        return with_port(self.address, self.port)

    @property
    def in_table(self) -> bool:
        """Whether it owns slots of the base table, up or not."""
        return self.weight > 0 and self.state is BackendState.ACTIVE


@dataclass(frozen=True, slots=True)
class Service:
    """A virtual service: (VIP, protocol, port) and who serves it, in the VIP's family."""

    name: str
    vip: IpAddress
    protocol: Protocol
    port: int
    mode: Mode
    backends: tuple[Backend, ...] = ()
    checks: tuple[AnyCheck, ...] = (TcpCheck(),)  # all have to pass; none: always up
    ring_size: int | None = None  # slots, a prime; None: chosen from the number of backends
    affinity: Affinity = Affinity.TRANSITION
    hash: Hash = Hash.FLOW
    returns: Returns = Returns.STATELESS  # of mode nat
    pool: PoolPolicy = EACH_BY_ITSELF
    check_defaults: CheckDefaults = BUILT_IN  # what its checks and its backends' go by

    def __post_init__(self) -> None:
        _check_service(self)

    @property
    def where(self) -> str:
        """The service as packets name it, for people."""
        return f"{endpoint(self.vip, self.port)}/{self.protocol}"

    @property
    def sorry(self) -> Backend | None:
        """The sorry server, as what it is to packets: a backend; None: there is none."""
        server = self.pool.sorry_server
        return None if server is None else Backend(SORRY, server.address, server.port)

    @property
    def members(self) -> tuple[Backend, ...]:
        """All that packets may be sent to: the backends and the sorry server."""
        return (*self.backends, self.sorry) if self.sorry else self.backends

    def backend(self, name: str) -> Backend:
        """Return the backend called ``name``, or raise NotFoundError."""
        for backend in self.backends:
            if backend.name == name:
                return backend
        known = tuple(backend.name for backend in self.backends)
        raise NotFoundError("backend", name, within=self.name, known=known)

    def checks_of(self, backend: Backend) -> tuple[AnyCheck, ...]:
        """Return the checks that ``backend`` has to pass; none: it is always up."""
        return self.checks if backend.checks is None else backend.checks

    @property
    def every_check(self) -> Iterator[tuple[str, AnyCheck]]:
        """All checks of the service and its backends, with the path of each."""
        for number, check in enumerate(self.checks):
            yield f"checks[{number}]", check
        for place, backend in enumerate(self.backends):
            for number, check in enumerate(backend.checks or ()):
                yield f"backends[{place}].checks[{number}]", check

    def with_check_defaults(self, defaults: CheckDefaults) -> Self:
        """Return the service with other defaults; checks that had the old ones follow."""
        old = self.check_defaults
        return replace(
            self,
            check_defaults=defaults,
            checks=tuple(following(check, old, defaults) for check in self.checks),
            backends=tuple(
                replace(b, checks=tuple(following(c, old, defaults) for c in b.checks))
                if b.checks
                else b
                for b in self.backends
            ),
        )

    def with_backend(self, backend: Backend) -> Self:
        """Return the service with ``backend`` added, or changed if its name is there."""
        if any(known.name == backend.name for known in self.backends):
            kept = (backend if b.name == backend.name else b for b in self.backends)
            return replace(self, backends=tuple(kept))
        return replace(self, backends=(*self.backends, backend))

    def without_backend(self, name: str) -> Self:
        """Return the service without the backend ``name``, or raise NotFoundError."""
        gone = self.backend(name)
        return replace(self, backends=tuple(b for b in self.backends if b is not gone))


def _check_service(service: Service) -> None:
    where = f"service {service.name!r}"
    check_name("service name", service.name, "name")
    check_port(where, service.port, "port")
    check_address(where, service.vip, "vip")
    if service.mode is Mode.DR and service.returns is Returns.TRACKED:
        raise ConfigError(
            where,
            "returns: tracked goes with mode nat only; by dr no reply comes here",
            "returns",
        )
    if len(service.backends) > MAX_BACKENDS:
        problem = f"{len(service.backends)} backends are more than {MAX_BACKENDS}"
        raise ConfigError(where, problem, "backends")
    if service.ring_size is not None:
        check_ring_size(where, service.ring_size, len(service.backends))
    _check_defaults(where, service)
    _check_checks(where, service, service.checks, "")
    names: set[str] = set()
    places: set[tuple[IpAddress, int]] = set()
    for field, problem in service.pool.problems():
        raise ConfigError(where, problem, f"pool.{field}")
    if service.pool.watch_handshakes and service.protocol is not Protocol.TCP:
        raise ConfigError(
            where,
            "watch_handshakes goes with protocol tcp only; udp has no handshakes",
            "pool.watch_handshakes",
        )
    for number, backend in enumerate(service.backends):
        at = f"backends[{number}]"
        _check_backend(where, service, backend, at)
        if backend.name in names:
            problem = f"two backends are called {backend.name!r}"
            raise ConfigError(where, problem, f"{at}.name")
        if (backend.address, backend.port) in places:
            raise ConfigError(
                where,
                f"backend {backend.name!r} has the address {backend.identity}, which "
                "another backend has already",
                f"{at}.address",
            )
        names.add(backend.name)
        places.add((backend.address, backend.port))
    if service.sorry:
        _check_sorry(where, service, service.sorry)


def _check_sorry(where: str, service: Service, sorry: Backend) -> None:
    """Refuse a sorry server that could not be a backend beside the others."""
    try:
        _check_backend(where, service, sorry, "pool.sorry_server")
        without = replace(service, pool=replace(service.pool, sorry_server=None))
        replace(without, backends=(*service.backends, sorry))
    except ConfigError as error:
        here = f"{where}, sorry server"
        raise ConfigError(here, error.problem, "pool.sorry_server") from error


def _check_backend(where: str, service: Service, backend: Backend, at: str) -> None:
    here = f"{where}, backend {backend.name!r}"
    check_name("backend name", backend.name, f"{at}.name")
    if backend.zone:
        check_name(f"{here}, zone", backend.zone, f"{at}.zone")
    _check_drain(here, backend, at)
    check_port(here, backend.port, f"{at}.port")
    check_address(here, backend.address, f"{at}.address")
    if backend.checks:
        _check_checks(here, service, backend.checks, f"{at}.")
    if backend.address.version != service.vip.version:
        raise ConfigError(
            here,
            f"{backend.address} is IPv{backend.address.version}, and the VIP {service.vip} "
            f"is IPv{service.vip.version}: both have to be of one family",
            f"{at}.address",
        )
    if backend.address == service.vip:
        problem = f"{backend.address} is the VIP itself; give the server's own address"
        raise ConfigError(here, problem, f"{at}.address")
    if not 0 <= backend.weight <= MAX_WEIGHT:
        problem = f"weight {backend.weight} is not in 0…{MAX_WEIGHT}"
        raise ConfigError(here, problem, f"{at}.weight")
    if service.mode is Mode.DR and backend.port != service.port:
        raise ConfigError(
            here,
            f"port {backend.port} differs from the service's {service.port}, and DR cannot "
            "change ports: use mode nat, or leave the backend's port out",
            f"{at}.port",
        )
    if (backend.port == 0) != (service.port == 0):
        raise ConfigError(
            here,
            "port 0 (every port) goes only with a service and backends that all have it",
            f"{at}.port",
        )


def _check_drain(here: str, backend: Backend, at: str) -> None:
    deadline = backend.drain_deadline
    if deadline is None:
        return
    if backend.state is not BackendState.DRAINING:
        problem = f"a drain deadline goes with state draining, not with {backend.state}"
        raise ConfigError(here, problem, f"{at}.drain_deadline")
    if not 0 <= deadline <= MAX_TIME:
        problem = f"the drain deadline {deadline:g} is no time from 1970 to 9999"
        raise ConfigError(here, problem, f"{at}.drain_deadline")


def _check_defaults(where: str, service: Service) -> None:
    if found := next(service.check_defaults.problems_of_defaults(), None):
        raise ConfigError(f"{where}, check_defaults", found, "check_defaults")


def _check_checks(
    where: str, service: Service, checks: tuple[AnyCheck, ...], path: str
) -> None:
    """Refuse checks, of ``service`` or a backend of it, that cannot be made.

    Their fields are at ``path``.
    """
    if len(checks) > MAX_CHECKS:
        problem = f"{len(checks)} checks are more than {MAX_CHECKS}"
        raise ConfigError(where, problem, f"{path}checks")
    for number, check in enumerate(checks):
        many = len(checks) > 1
        here = f"{where}, check {number + 1} ({check.kind})" if many else f"{where}, check"
        at = f"{path}checks[{number}]"
        if service.port == 0 and check.port is None and check.needs_port:
            problem = "a service of every port needs a port in its check"
            raise ConfigError(where, problem, f"{at}.port")
        if found := next(check.problems(), None):
            raise ConfigError(here, found, at)
        if check in checks[:number]:
            raise ConfigError(here, "is there twice", at)
        if (
            isinstance(check, PortCheck)
            and check.via is Via.VIP
            and service.mode is not Mode.DR
        ):
            raise ConfigError(
                here,
                "via: vip goes with mode dr only; by nat packets reach a backend at its "
                "own address and port, and so do probes without it",
                f"{at}.via",
            )
        if isinstance(check, NetworkCheck) and check.source is not None:
            _check_source(here, service, ip_address(check.source), f"{at}.source")


def _check_source(where: str, service: Service, source: IpAddress, field: str) -> None:
    if source.version != service.vip.version:
        raise ConfigError(
            where,
            f"source {source} is IPv{source.version}, and the backends are "
            f"IPv{service.vip.version}: both have to be of one family",
            field,
        )
