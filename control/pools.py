"""Every service's pool in a round, and what of it the tables are made from. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from control.desired import DesiredState
from control.entries import endpoint_of, unreachable
from control.facts import Facts
from control.ids import BackendPlace, Ids
from control.model import Backend, BackendState, Service
from control.pool import Condition, Memory, Pool, decide
from control.pool_policy import EACH_BY_ITSELF, SORRY
from control.serving import health_of, ring_of, ring_size
from control.slow_start import relative
from control.status import Health
from control.transition import owners
from dataplane.image import Image

_CONDITIONS: Final = {Health.DOWN: Condition.FAILING, Health.UNKNOWN: Condition.UNKNOWN}


def pools_of(desired: DesiredState, facts: Facts, known: Image) -> dict[str, Pool]:
    """Return the pools by service, but of those whose backends serve by themselves.

    ``known`` is what the maps hold.
    """
    ids = Ids.of(known)
    return {
        service.name: _pool(service, facts, known, ids)
        for service in desired
        if service.pool != EACH_BY_ITSELF
    }


def as_served(desired: DesiredState, pools: Mapping[str, Pool]) -> DesiredState:
    """Return ``desired`` with sorry servers as backends, which drain while not needed.

    So they have numbers, and are answered for, before they are needed; and flows that they
    got stay with them when they are not needed any more.
    """
    if not any(service.sorry for service in desired):
        return desired
    return DesiredState(tuple(_with_sorry(service, pools) for service in desired))


def _with_sorry(service: Service, pools: Mapping[str, Pool]) -> Service:
    sorry = service.sorry
    if sorry is None:
        return service
    if not pools[service.name].sorry:
        sorry = replace(sorry, state=BackendState.DRAINING)
    return replace(
        service,
        backends=(*service.backends, sorry),
        ring_size=ring_size(service),  # as without it
        pool=replace(service.pool, sorry_server=None),
    )


def _pool(service: Service, facts: Facts, known: Image, ids: Ids) -> Pool:
    numbers = _numbers(service, ids)
    entry = known.services.get(endpoint_of(service))
    busy = frozenset[int]()
    if entry is not None and (ring := ring_of(known, entry)):
        busy = frozenset(np.unique(owners(ring)).tolist())
    served = frozenset(name for name, number in numbers.items() if number in busy)
    conditions = {
        backend.name: _condition(service, backend, facts, serves=backend.name in served)
        for backend in service.backends
        if backend.in_table
    }
    assumed = any(
        facts.health.get((service.name, backend.name), Health.UNKNOWN) is Health.UNKNOWN
        for backend in service.backends
        if backend.in_table and backend.name in served and service.checks_of(backend)
    )
    pool = decide(
        service,
        conditions,
        Memory(service.name in facts.lost or SORRY in served, served, assumed),
        sorry_is_reached=_is_reached(service.sorry, facts),
    )
    if not service.pool.slow_start:
        return pool
    up = {name for name, condition in conditions.items() if condition is Condition.UP}
    return replace(pool, steps=relative(service.name, up | pool.kept.keys(), facts.steps))


def _is_reached(sorry: Backend | None, facts: Facts) -> bool:
    return sorry is not None and not unreachable(sorry, facts.network)


def _numbers(service: Service, ids: Ids) -> dict[str, int]:
    """Return the ids of backends and sorry server in the maps, by name."""
    service_id = ids.services.get(endpoint_of(service))
    if service_id is None:
        return {}
    return {
        backend.name: number
        for backend in service.members
        for place in [BackendPlace(service_id, backend.address, backend.port)]
        if (number := ids.backends.get(place)) is not None
    }


def _condition(
    service: Service, backend: Backend, facts: Facts, *, serves: bool
) -> Condition:
    if unreachable(backend, facts.network):
        return Condition.OUT
    health = health_of(service, backend, facts, serves=serves)
    return _CONDITIONS.get(health, Condition.UP)
