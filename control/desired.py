"""The desired state: all services that the operator wants, as a frozen value.

A :class:`DesiredState` is changed by asking it for another one (``with_service`` …): it is
valid or it does not exist, so whoever holds one may read it without a lock. Rules between
services are checked here; those of one service in :mod:`control.model`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Self

from control.addresses import IpAddress
from control.check_common import NetworkCheck
from control.checks import AnyCheck
from control.errors import ConfigError, ConflictError, NotFoundError
from control.model import Backend, BackendState, Protocol, Service


@dataclass(frozen=True, slots=True)
class DesiredState:
    """All services, in the operator's order."""

    services: tuple[Service, ...] = ()

    def __post_init__(self) -> None:
        _check_state(self)

    def __iter__(self) -> Iterator[Service]:
        return iter(self.services)

    def service(self, name: str) -> Service:
        """Return the service called ``name``, or raise NotFoundError."""
        for service in self.services:
            if service.name == name:
                return service
        raise NotFoundError("service", name, known=tuple(one.name for one in self.services))

    def sharing(self, other: Self) -> Self:
        """Return an equal state, of the same objects as ``other`` where those are equal."""
        known = {service.name: service for service in other}
        pairs = ((service, known.get(service.name)) for service in self)
        services = tuple(old if old and old == new else new for new, old in pairs)
        return replace(self, services=services)

    def with_new_service(self, service: Service) -> Self:
        """Return the state with one more service, or raise ConflictError."""
        if any(known.name == service.name for known in self.services):
            raise ConflictError(f"service {service.name!r} exists already")
        return replace(self, services=(*self.services, service))

    def with_service(self, service: Service) -> Self:
        """Return the state with that service changed, or raise NotFoundError."""
        old = self.service(service.name)
        kept = (service if s is old else s for s in self.services)
        return replace(self, services=tuple(kept))

    def without_service(self, name: str) -> Self:
        """Return the state without the service ``name``, or raise NotFoundError."""
        gone = self.service(name)
        return replace(self, services=tuple(s for s in self.services if s is not gone))

    def with_new_backend(self, service: str, backend: Backend) -> Self:
        """Return the state with one more backend, or raise what is in the way."""
        old = self.service(service)
        if any(known.name == backend.name for known in old.backends):
            raise ConflictError(f"backend {backend.name!r} exists already in {service!r}")
        return self.with_service(old.with_backend(backend))

    def with_changed_backend(
        self,
        service: str,
        name: str,
        *,
        weight: int | None = None,
        state: BackendState | None = None,
        zone: str | None = None,
        drain_deadline: float | None = None,
    ) -> Self:
        """Return the state with what is given changed; None leaves a field as it is.

        But a ``state`` that is given takes an older deadline away.
        """
        old = self.service(service)
        backend = old.backend(name)
        if weight is not None:
            backend = replace(backend, weight=weight)
        if state is not None:
            backend = replace(backend, state=state, drain_deadline=None)
        if drain_deadline is not None:
            backend = replace(backend, drain_deadline=drain_deadline)
        if zone is not None:
            backend = replace(backend, zone=zone)
        return self.with_service(old.with_backend(backend))

    def with_backend_checks(
        self, service: str, name: str, checks: tuple[AnyCheck, ...] | None
    ) -> Self:
        """Return the state with other checks of a backend; None: its service's."""
        old = self.service(service)
        return self.with_service(
            old.with_backend(replace(old.backend(name), checks=checks))
        )

    def without_backend(self, service: str, name: str) -> Self:
        """Return the state without that backend, or raise NotFoundError."""
        return self.with_service(self.service(service).without_backend(name))


def _check_state(state: DesiredState) -> None:
    names: set[str] = set()
    places = dict[tuple[IpAddress, Protocol, int], str]()
    for number, service in enumerate(state):
        at = f"services[{number}]"
        if service.name in names:
            problem = f"two services are called {service.name!r}"
            raise ConfigError("services", problem, f"{at}.name")
        names.add(service.name)
        place = (service.vip, service.protocol, service.port)
        if place in places:
            raise ConfigError(
                f"service {service.name!r}",
                f"{service.where} belongs to service {places[place]!r} already",
                f"{at}.vip",
            )
        places[place] = service.name
    _check_loops(state)
    _check_sources(state)


def _check_loops(state: DesiredState) -> None:
    """Refuse backends that are VIPs: their packets would come back to the node."""
    vips = {service.vip: service for service in reversed(state.services)}
    numbers = {int(vip) for vip in vips}  # hashed much quicker than addresses
    for number, service in enumerate(state):
        for place, backend in enumerate(service.members):
            if int(backend.address) in numbers and (other := vips.get(backend.address)):
                raise ConfigError(
                    f"service {service.name!r}, backend {backend.name!r}",
                    f"{backend.address} is the VIP of service {other.name!r}, and a VIP is "
                    "not forwarded to another one; give the servers' own addresses",
                    f"services[{number}].backends[{place}].address",
                )


def _check_sources(state: DesiredState) -> None:
    """Refuse probes from VIPs: who has the VIP too keeps the answer to itself."""
    vips = {str(service.vip): service.name for service in reversed(state.services)}
    for number, service in enumerate(state):
        for path, check in service.every_check:
            source = check.source if isinstance(check, NetworkCheck) else None
            name = vips.get(str(ip_address(source))) if source is not None else None
            if name is not None:
                raise ConfigError(
                    f"service {service.name!r}, check ({check.kind})",
                    f"source {source} is the VIP of service {name!r}, and answers to a "
                    "VIP do not come here; give an address of the node's own",
                    f"services[{number}].{path}.source",
                )
