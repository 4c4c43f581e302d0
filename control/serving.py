"""How a service comes out of a round: who can serve it, and its ring. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from control.addresses import with_port
from control.entries import endpoint_of, unreachable
from control.facts import Facts, Moment
from control.ids import BackendPlace
from control.model import MAX_WEIGHT, Affinity, Backend, BackendState, Service
from control.pool import ORDINARY, Pool
from control.ramp import ramped
from control.status import Health
from control.sync.listener import in_ids
from control.sync.shared import SharedRing
from control.tables import Tables
from control.transition import (
    PATIENCE,
    change,
    close_window,
    end,
    is_in_transition,
    nobody,
    ordinary,
    owners,
)
from dataplane import records
from dataplane.abi import NO_BACKEND_ID
from dataplane.image import Image, Ring
from dataplane.records import Index
from maglev import Table, default_size

TOO_LIGHT: Final = "its weight is too small for a slot: a larger ring_size gives it one"
STARTING: Final = "it starts slowly, and its slots come later"
UNHEALTHY: Final = "its health check fails"  # the monitor knows why
UNPROBED: Final = "its first health check has not ended"  # here too, if something is amiss
OVERDUE: Final = "drained: its deadline has passed, and its flows have been cut"
REPLACED: Final = "the sorry server serves: there is no quorum"
LATE: Final = "the maps have no room for it before others have gone: a moment"
_EMPTY: Final = Ring(b"")
_DOUBT: Final = 4  # one that is suspected gets one part in so many of its share


@dataclass(frozen=True, slots=True)
class Served:
    """How one service came out."""

    service: Service
    id: int
    ring: Ring  # ids by slot; empty: nobody can serve
    changed_ns: int  # when the ring last changed, CLOCK_MONOTONIC; 0: never yet
    slots: Mapping[str, int]  # by backend name
    backend_ids: Mapping[str, int]  # by backend name; only who is in the maps
    problems: Mapping[str, str]  # by backend name: why it gets no traffic
    down: frozenset[int]  # ids of backends that cannot even keep the flows they have
    held: records.Service | None = None  # as the maps have it, if it has to stay so
    pool: Pool = ORDINARY


def ring_size(service: Service) -> int:
    """Return how many slots a service has when anybody can serve it."""
    return service.ring_size or default_size(len(service.backends))


def serving_ids(known: Image) -> frozenset[int]:
    """Return the ids of all backends that get packets now, of flows from before too."""
    highest = max((index.number for index in known.backends), default=NO_BACKEND_ID)
    serves = np.zeros(highest + 1, np.bool_)
    for service in known.services.values():
        ids = np.frombuffer(known.rings.get(service.ring_offset, _EMPTY).words, np.uint32)
        serves[ids[ids <= highest]] = True
    return frozenset(np.flatnonzero(serves).tolist())


def serve(
    service: Service,
    service_id: int,
    numbers: Mapping[BackendPlace, int],
    facts: Facts,
    serving: frozenset[int],
    tables: Tables,
) -> Served:
    """Return who serves a service now; ``serving`` are the ids that do already."""
    backend_ids = {
        backend.name: numbers[place]
        for backend in service.backends
        if (place := BackendPlace(service_id, backend.address, backend.port)) in numbers
    }
    problems = {
        backend.name: problem
        for backend in service.backends
        if (
            problem := problem_of(
                service, backend, facts, serves=backend_ids.get(backend.name) in serving
            )
            or ("" if backend.name in backend_ids else LATE)
        )
    }
    steps = _pool(service, facts).steps
    doubted = frozenset(
        b.name for b in service.backends if (service.name, b.name) in facts.suspected
    )
    ring, slots = _ring(service, backend_ids, frozenset(problems), steps, doubted, tables)
    too_light = {
        backend.name: STARTING if backend.name in steps else TOO_LIGHT
        for backend in service.backends
        if ring and not slots.get(backend.name) and backend.name not in problems
    }
    down = _down(service, backend_ids, facts, serving)
    return Served(
        service, service_id, ring, 0, slots, backend_ids, problems | too_light, down
    )


def hold(
    service: Service,
    numbers: Mapping[BackendPlace, int],
    facts: Facts,
    serving: frozenset[int],
    known: Image,
) -> Served:
    """Return a service as the maps have it, for what it is to be has no room yet.

    Backends that are going serve on, called by their address and port.
    """
    entry = known.services[endpoint_of(service)]
    ring = ring_of(known, entry)
    stay = set(numbers.values())
    going = {
        with_port(known.backends[index].address, known.backends[index].port): index.number
        for index in backends_of(known, entry)
        if index.number not in stay
    }
    ids = {
        backend.name: number
        for backend in service.backends
        for place in [BackendPlace(entry.id, backend.address, backend.port)]
        if (number := numbers.get(place)) is not None
    }
    counts = Counter(owners(ring).tolist())
    slots = {name: counts[number] for name, number in (going | ids).items()}
    down = {n for n in going.values() if known.backends[Index(n)].is_down}
    return Served(
        service,
        entry.id,
        ring,
        entry.changed_ns,
        slots,
        ids,
        {each.name: LATE for each in service.backends if not slots.get(each.name)},
        _down(service, ids, facts, serving) | down,
        entry,
    )


def ring_of(known: Image, entry: records.Service) -> Ring:
    """Return the ring of a service that the maps have; empty if nobody can serve it."""
    return known.rings.get(entry.ring_offset, _EMPTY) if entry.ring_size else _EMPTY


def backends_of(known: Image, entry: records.Service) -> list[Index]:
    """Return who has slots of a service that the maps have, or had them before."""
    named = {Index(number) for number in set(ring_of(known, entry).view())}
    return sorted(
        (index for index in named & known.backends.keys()), key=lambda each: each.number
    )


def _down(
    service: Service, ids: Mapping[str, int], facts: Facts, serving: frozenset[int]
) -> frozenset[int]:
    # Flows that stay whatever checks say stay, too, while those say nothing yet.
    bearable = ("", UNHEALTHY, UNPROBED) if service.pool.keep_flows else ("",)
    return frozenset(
        ids[backend.name]
        for backend in service.backends
        if backend.name in ids
        and _trouble(service, backend, facts, serves=ids[backend.name] in serving)
        not in bearable
    )


def follow(
    served: Served,
    known: Image,
    moment: Moment,
    leader: SharedRing,
    numbers: Mapping[BackendPlace, int],
) -> Served:
    """Return ``served`` with a ring in which flows stay with who has them elsewhere.

    ``leader`` is the ring of the node that they come by. Its history is ours then, and its
    windows close when they do there; what we know otherwise, as of a backend's health,
    changes hands from there.
    """
    keepers = frozenset(served.backend_ids.values()) - served.down
    old = in_ids(leader, served.id, numbers)
    if served.service.affinity is Affinity.NONE or not (served.ring or (old and keepers)):
        return served
    wanted = owners(served.ring) if served.ring else nobody(ring_size(served.service))
    changed_ns, before = leader.changed_ns, known.services.get(endpoint_of(served.service))
    if before is not None:
        same = np.array_equal(wanted, owners(ring_of(known, before)))
        changed_ns = max(changed_ns, before.changed_ns) if same else moment.now_ns
    return replace(served, ring=change(old, wanted, keepers), changed_ns=changed_ns)


def remember(served: Served, known: Image, moment: Moment) -> Served:
    """Return ``served`` with a ring in which flows stay with the backend they have."""
    before = known.services.get(endpoint_of(served.service))
    if before is None or served.service.affinity is Affinity.NONE:
        return served
    old = ring_of(known, before)
    keepers = frozenset(served.backend_ids.values()) - served.down
    if not served.ring and not (old and keepers):
        return served
    # Nobody may get new flows, and yet some keep those that they have.
    wanted = owners(served.ring) if served.ring else nobody(ring_size(served.service))
    ring, changed_ns = change(old, wanted, keepers), before.changed_ns
    window_ns = PATIENCE[served.service.protocol] * 1_000_000_000
    if not np.array_equal(wanted, owners(old)):
        changed_ns = moment.now_ns
    elif is_in_transition(ring) and moment.now_ns - changed_ns > window_ns:
        silent = moment.recorded is not None and served.id not in moment.recorded
        ring = end(ring) if silent else close_window(ring)
    return replace(served, ring=ring, changed_ns=changed_ns)


def problem_of(service: Service, backend: Backend, facts: Facts, *, serves: bool) -> str:
    """Say why a backend gets no new flows; "" if it does. ``serves``: it gets packets."""
    problem = (
        _overdue(service, backend, facts)
        or _withheld(backend)
        or _trouble(service, backend, facts, serves=serves)
    )
    pool = _pool(service, facts)
    if problem or pool.is_sorry(backend.name):
        return problem
    if backend.name in pool.unproven:
        return UNPROBED
    return REPLACED if pool.sorry else ""


def _trouble(service: Service, backend: Backend, facts: Facts, *, serves: bool) -> str:
    """Say why a backend cannot serve at all; "" if it can.

    One that ``serves`` already keeps doing so while its health is not known: after a
    restart, or when its check was changed.
    """
    if backend.state is BackendState.DISABLED:
        return "disabled"
    if overdue := _overdue(service, backend, facts):
        return overdue
    health = health_of(service, backend, facts, serves=serves)
    if _pool(service, facts).trusts(backend.name):
        health = Health.UNCHECKED
    return _unhealthy(health) or unreachable(backend, facts.network)


def health_of(service: Service, backend: Backend, facts: Facts, *, serves: bool) -> Health:
    """Return what a backend counts as, for whom health alone is asked."""
    health = facts.health.get((service.name, backend.name), Health.UNKNOWN)
    if not service.checks_of(backend) or (health is Health.UNKNOWN and serves):
        return Health.UNCHECKED
    return health


def _pool(service: Service, facts: Facts) -> Pool:
    return facts.pools.get(service.name, ORDINARY)


def _overdue(service: Service, backend: Backend, facts: Facts) -> str:
    return OVERDUE if (service.name, backend.name) in facts.overdue else ""


def _withheld(backend: Backend) -> str:
    if backend.state is BackendState.DRAINING:
        return "draining"
    return "its weight is 0" if backend.weight == 0 else ""


def _unhealthy(health: Health) -> str:
    if health is Health.DOWN:
        return UNHEALTHY
    return UNPROBED if health is Health.UNKNOWN else ""


def _ring(
    service: Service,
    ids: Mapping[str, int],
    unable: frozenset[str],
    steps: Mapping[str, int],
    doubted: frozenset[str],
    tables: Tables,
) -> tuple[Ring, dict[str, int]]:
    """Return a service's ring, and the number of slots of each backend in it."""
    members = [backend for backend in service.backends if backend.in_table]
    down = frozenset(index for index, b in enumerate(members) if b.name in unable)
    if len(down) == len(members):
        return _EMPTY, {}
    starting = {
        index: steps[backend.name]
        for index, backend in enumerate(members)
        if index not in down and backend.name in steps
    }
    table = effective_table(service, members, down, tables, doubted)
    if starting and len(down) + len(starting) < len(members):
        out = down | starting.keys()
        without = effective_table(service, members, out, tables, doubted)
        table = ramped(table, without, starting)
    numbers = np.array([ids.get(b.name, NO_BACKEND_ID) for b in members], np.uint32)
    slots = np.bincount(table, minlength=len(members)).tolist()
    names = [backend.name for backend in members]
    return ordinary(numbers[table]), dict(zip(names, slots, strict=True))


def effective_table(
    service: Service,
    members: Sequence[Backend],
    down: frozenset[int],
    tables: Tables,
    doubted: frozenset[str] = frozenset(),
) -> Table:
    """Return the table of ``service`` over ``members``, of whom those in ``down`` are out.

    ``down`` are indices, and not all of them. Those that are ``doubted``, by name, count
    with a quarter of their weight.
    """
    weights = _doubting(members, doubted)
    pool = tuple((one.identity.encode(), weights[one.name]) for one in members)
    return tables.effective(pool, ring_size(service), down, _zones(members))


def _doubting(members: Sequence[Backend], doubted: frozenset[str]) -> dict[str, int]:
    """Return the weights, by name. Ratios alone matter to a table: so nobody comes to 0."""
    weights = {one.name: one.weight for one in members}
    if doubted.isdisjoint(weights):
        return weights
    if max(weights.values()) * _DOUBT <= MAX_WEIGHT:
        return {n: w if n in doubted else w * _DOUBT for n, w in weights.items()}
    return {n: max(w // _DOUBT, 1) if n in doubted else w for n, w in weights.items()}


def _zones(members: Sequence[Backend]) -> tuple[str, ...] | None:
    """Return the failure domain of each; who has none fails alone. None: there are none."""
    if not any(backend.zone for backend in members):
        return None
    # No name of a zone has a space.
    return tuple(backend.zone or f" {backend.identity}" for backend in members)
