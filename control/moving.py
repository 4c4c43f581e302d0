"""A service that gets another name, VIP, protocol or port, and what follows it. Pure."""

from dataclasses import replace

from control.desired import DesiredState
from control.errors import ConfigError, ConflictError
from control.model import Backend, Mode, Service
from control.pool_policy import PoolPolicy


def following(
    service: Service, mode: Mode, port: int
) -> tuple[tuple[Backend, ...], PoolPolicy]:
    """Return the backends and the pool of ``service`` once it has this mode and port.

    Where a backend listens does not change with where clients ask. But by DR, and to and
    from every port, there is one port for all.
    """
    if port == service.port or not (mode is Mode.DR or 0 in (port, service.port)):
        return service.backends, service.pool
    pool, sorry = service.pool, service.pool.sorry_server
    if sorry is not None:
        pool = replace(pool, sorry_server=replace(sorry, port=port))
    backends = tuple(replace(backend, port=port) for backend in service.backends)
    return backends, pool


def with_changed(state: DesiredState, old: Service, new: Service) -> DesiredState:
    """Return ``state`` with ``new`` in the place of ``old``; raise what is in the way."""
    if new.name != old.name and any(known.name == new.name for known in state):
        raise ConflictError(f"service {new.name!r} exists already")
    place = new.vip, new.protocol, new.port
    for known in state:
        if known is not old and (known.vip, known.protocol, known.port) == place:
            problem = f"{new.where} belongs to service {known.name!r} already"
            raise ConfigError(f"service {new.name!r}", problem, "vip")
    services = (new if service is old else service for service in state)
    return replace(state, services=tuple(services))
