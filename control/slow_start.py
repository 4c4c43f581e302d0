"""Backends that come up get their weight in steps. Pure.

Who gets flows goes on from where it is, and whoever gets none has everything before it; so
those that served when a slow start was switched on have their whole weight. Since when each
one serves is remembered by guidewayd. One that is started anew reads from the ring that the
kernel has how far each backend had come.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Final

from control.entries import endpoint_of
from control.facts import BackendKey
from control.ids import BackendPlace, Ids
from control.model import MAX_WEIGHT, Backend, DesiredState, Service
from control.rounds import weighted
from control.serving import TOO_LIGHT, Served, effective_table, ring_of
from control.tables import Tables
from control.transition import owners
from dataplane.image import Image

STEPS: Final = 10  # to the whole weight, all as long
LONG_AGO: Final = float("-inf")


def served_by(desired: DesiredState, served: Iterable[Served]) -> frozenset[BackendKey]:
    """Return who gets new flows, of services that want a slow start.

    Of a backend too light for a slot, only time makes more.
    """
    slow = {service.name for service in _slow(desired)}
    return frozenset(
        (one.service.name, name)
        for one in served
        if one.service.name in slow
        for name in one.backend_ids
        if one.slots.get(name) or one.problems.get(name) == TOO_LIGHT
    )


def since(
    before: Mapping[BackendKey, float],
    desired: DesiredState,
    serving: Collection[BackendKey],
    now: float,
) -> dict[BackendKey, float]:
    """Return since when backends serve, by a monotonic clock that says ``now``.

    Only those of services with a slow start are here. Who is not ``serving`` would begin
    now; who is, and was not here ``before``, has been serving for long enough.
    """
    return {
        key: before.get(key, LONG_AGO) if key in serving else now
        for service, backend in _members(desired)
        for key in [(service.name, backend.name)]
    }


def steps(
    began: Mapping[BackendKey, float], desired: DesiredState, now: float
) -> dict[BackendKey, int]:
    """Return how many of :data:`STEPS` parts of their weights backends have, if not all."""
    found = {}
    for service, backend in _members(desired):
        key = service.name, backend.name
        if key in began:
            part = min((now - began[key]) / service.pool.slow_start, 1.0)
            if (step := 1 + int(part * STEPS)) < STEPS:
                found[key] = step
    return found


def recalled(
    desired: DesiredState, weights: Mapping[BackendKey, int], known: Image, now: float
) -> dict[BackendKey, float]:
    """Return what :func:`since` would have of those who serve, by the maps' contents.

    A backend's slots, beside those that its whole weight gives it, say how far it has come.
    ``weights`` are those that checks have given.
    """
    ids = Ids.of(known)
    found: dict[BackendKey, float] = {}
    for service in _slow(desired):
        rates = _rates(weighted(service, weights), known, ids)
        for name, rate in rates.items():
            step = max(1, round(STEPS * rate / max(rates.values())))
            part = (step - 0.5) / STEPS
            whole = step == STEPS
            found[service.name, name] = (
                LONG_AGO if whole else now - part * service.pool.slow_start
            )
    return found


def _rates(service: Service, known: Image, ids: Ids) -> dict[str, float]:
    """Return the slots of those who serve, as part of what their weights come to."""
    entry = known.services.get(endpoint_of(service))
    if entry is None or not (ring := ring_of(known, entry)):
        return {}
    slots = Counter(owners(ring).tolist())
    members = [backend for backend in service.backends if backend.in_table]
    counts = {
        index: count
        for index, backend in enumerate(members)
        for place in [BackendPlace(entry.id, backend.address, backend.port)]
        if (count := slots[ids.backends.get(place, -1)])
    }
    if not counts:
        return {}
    down = frozenset(range(len(members))) - counts.keys()
    whole = Counter(effective_table(service, members, down, Tables()).tolist())
    return {
        members[index].name: count / whole[index]
        for index, count in counts.items()
        if whole[index]
    }


def relative(
    service: str, serving: AbstractSet[str], steps: Mapping[BackendKey, int]
) -> dict[str, int]:
    """Return the steps of those who are ``serving``, by name; none if all are as far."""
    found = {name: steps.get((service, name), STEPS) for name in serving}
    if len(set(found.values())) <= 1:
        return {}
    return {name: step for name, step in found.items() if step < STEPS}


def ramped(service: Service, steps: Mapping[str, int]) -> Service:
    """Return ``service`` with the weights of these ``steps``, by backend name.

    The table is a matter of how weights are to each other: all are made larger, so that
    there are parts of a weight of 1.
    """
    if not steps:
        return service
    heaviest = max(backend.weight for backend in service.backends)
    scale = STEPS if heaviest * STEPS <= MAX_WEIGHT else 1

    def weigh(backend: Backend) -> Backend:
        if not backend.in_table:
            return backend
        weight = backend.weight * scale * steps.get(backend.name, STEPS) // STEPS
        return replace(backend, weight=max(1, weight))

    return replace(service, backends=tuple(map(weigh, service.backends)))


def _slow(desired: DesiredState) -> Iterator[Service]:
    return (service for service in desired if service.pool.slow_start)


def _members(desired: DesiredState) -> Iterator[tuple[Service, Backend]]:
    for service in _slow(desired):
        for backend in service.backends:
            if backend.in_table:
                yield service, backend
