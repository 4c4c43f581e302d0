"""How far backends are that come up, and get their slots in steps. Pure.

Who gets flows goes on from where it is, and whoever gets none has everything before it; so
those that served when a slow start was switched on have their whole weight. Since when each
one serves is remembered by guidewayd. One that is started anew reads from the ring that the
kernel has how far each backend had come.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

import numpy as np

from control.desired import DesiredState
from control.entries import endpoint_of
from control.facts import BackendKey
from control.ids import BackendPlace, Ids
from control.model import Backend, Service
from control.ramp import STEPS, step_of
from control.rounds import weighted
from control.serving import STARTING, TOO_LIGHT, Served, effective_table, ring_of, ring_size
from control.tables import Tables
from control.transition import owners
from dataplane.abi import NO_BACKEND_ID
from dataplane.image import Image

LONG_AGO: Final = float("-inf")


def served_by(desired: DesiredState, served: Iterable[Served]) -> frozenset[BackendKey]:
    """Return who gets new flows, of services that want a slow start.

    Of a backend that has no slot as yet, or is too light for one, only time makes more.
    """
    slow = {service.name for service in _slow(desired)}
    return frozenset(
        (one.service.name, name)
        for one in served
        if one.service.name in slow
        for name in one.backend_ids
        if one.slots.get(name) or one.problems.get(name) in (STARTING, TOO_LIGHT)
    )


def since(
    before: Mapping[BackendKey, float],
    desired: DesiredState,
    serving: Collection[BackendKey],
    now: float,
) -> dict[BackendKey, float]:
    """Return since when backends serve, by a monotonic clock that says ``now``.

    Only those of services with a slow start are here. Who is not ``serving`` would begin
    now, or with who has begun within the length of a step, so that those who come together
    go together. Who is serving, and was not here ``before``, has been for long enough.
    """
    found: dict[BackendKey, float] = {}
    for service in _slow(desired):
        keys = [(service.name, one.name) for one in service.backends if one.in_table]
        there = {key: before.get(key, LONG_AGO) for key in keys if key in serving}
        found.update(there)
        if len(there) < len(keys):
            last = max(there.values(), default=LONG_AGO)
            begins = last if now - last < service.pool.slow_start / STEPS else now
            found.update((key, begins) for key in keys if key not in there)
    return found


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

    Which of the slots that are its own in the end a backend has says how far it has come.
    ``weights`` are those that checks have given.
    """
    ids = Ids.of(known)
    found: dict[BackendKey, float] = {}
    for service in _slow(desired):
        for name, step in _steps_in(weighted(service, weights), known, ids).items():
            part = (step - 0.5) / STEPS
            began = now - part * service.pool.slow_start
            found[service.name, name] = LONG_AGO if step == STEPS else began
    return found


def _steps_in(service: Service, known: Image, ids: Ids) -> dict[str, int]:
    """Return the steps of those who serve, by their slots in the ring of the maps."""
    entry = known.services.get(endpoint_of(service))
    if entry is None or not (ring := ring_of(known, entry)):
        return {}
    members = [backend for backend in service.backends if backend.in_table]
    places = (BackendPlace(entry.id, one.address, one.port) for one in members)
    numbers = [ids.backends.get(place, NO_BACKEND_ID) for place in places]
    had = owners(ring)
    serving = {i for i, number in enumerate(numbers) if number and (had == number).any()}
    if not serving or len(ring) != ring_size(service):
        return dict.fromkeys((members[index].name for index in serving), STEPS)
    down = frozenset(range(len(members))) - serving
    whole = effective_table(service, members, down, Tables())
    found = {}
    for index in serving:
        own = np.flatnonzero(whole == index)
        held = own[had[own] == numbers[index]]
        step = step_of(held).max(initial=0) + 1 if len(held) < len(own) else STEPS
        found[members[index].name] = int(step)
    return found


def relative(
    service: str, serving: AbstractSet[str], steps: Mapping[BackendKey, int]
) -> dict[str, int]:
    """Return the steps of those of the ``serving`` who are not the furthest, by name.

    The furthest have their whole weights: nobody could take anything off them.
    """
    found = {name: steps.get((service, name), STEPS) for name in serving}
    furthest = max(found.values(), default=STEPS)
    return {name: step for name, step in found.items() if step < furthest}


def _slow(desired: DesiredState) -> Iterator[Service]:
    return (service for service in desired if service.pool.slow_start)


def _members(desired: DesiredState) -> Iterator[tuple[Service, Backend]]:
    for service in _slow(desired):
        for backend in service.backends:
            if backend.in_table:
                yield service, backend
