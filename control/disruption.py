"""What a change does to the flows of a service, computed from the rings. Pure.

Flows are taken to be spread evenly over the hashes. Health is as it is now: a backend that
is new is taken to be up, and one that is down to stay so.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from control.addresses import with_port
from control.model import Affinity, Backend, Service
from control.pool import ORDINARY, Condition, Memory, Pool, decide
from control.pool_policy import EACH_BY_ITSELF
from control.serving import effective_table
from control.status import Standing
from control.tables import Tables

Owners = NDArray[np.int64]  # of each slot, a number for the backend's identity


@dataclass(frozen=True, slots=True)
class Share:
    """What a backend has of a service's ring, before and after."""

    backend: str  # its name
    weight_before: int  # 0: it had no part
    weight_after: int
    slots_before: int
    slots_after: int


@dataclass(frozen=True, slots=True)
class Disruption:
    """What a change does to the flows of one service."""

    slots_before: int  # of the ring; 0: nobody could serve
    slots_after: int
    moved: int  # slots after in which some hash has another backend than before
    flows: float  # the share of flows whose hash has another backend then, 0…1
    broken: float  # the share of established flows that do not keep their backend, 0…1
    shares: tuple[Share, ...]  # of those backends that have another part than before


@dataclass(frozen=True, slots=True)
class _Ring:
    """A service's ring, and who can serve in it."""

    service: Service
    owners: Owners
    able: frozenset[int]  # numbers of backends that can keep the flows they have
    pool: Pool


def disruption(
    before: Service, after: Service, standing: Standing, tables: Tables
) -> Disruption:
    """Return what becomes of the flows from ``before`` to ``after``.

    If one of them is of every port, and not the other, it is about those of that port.
    ``tables`` remembers what was computed before.
    """
    numbers = _Numbers(before.port or after.port)
    old = _ring(before, standing, numbers, tables)
    new = _ring(after, standing, numbers, tables)
    sizes = len(old.owners), len(new.owners)
    shares = _shares(old, new, numbers, standing)
    if not sizes[0]:
        return Disruption(*sizes, sizes[1], 0.0, 0.0, shares)
    if not sizes[1] or not (_where(before) == _where(after) or _hands_over(before, after)):
        return Disruption(*sizes, max(sizes), 1.0, _unkept(old, new), shares)
    moved, flows, broken = _compare(old, new)
    return Disruption(*sizes, moved, flows, broken, shares)


@dataclass(frozen=True, slots=True)
class _Numbers:
    """Numbers of backends: who is reached at one address and port has one number."""

    port: int  # that packets are sent to; 0: every port
    given: dict[str, int] = field(default_factory=dict)

    def of(self, backend: Backend) -> int:
        reached = with_port(backend.address, backend.port or self.port)
        return self.given.setdefault(reached, len(self.given))

    def __len__(self) -> int:
        return len(self.given)


def _ring(service: Service, standing: Standing, numbers: _Numbers, tables: Tables) -> _Ring:
    backends = [_weighted(service, backend, standing) for backend in service.members]
    for backend in backends:
        numbers.of(backend)
    pool = _pool(service, standing)
    down_now = standing.unable | standing.failing
    up = [
        one
        for one in backends
        if pool.trusts(one.name) or (service.name, one.identity) not in down_now
    ]
    members = [
        one for one in backends if one.in_table and pool.is_sorry(one.name) == pool.sorry
    ]
    down = frozenset(index for index, one in enumerate(members) if one not in up)
    owners = np.empty(0, np.int64)
    if len(down) < len(members):
        doubted = frozenset(
            one.name for one in members if (service.name, one.name) in standing.suspected
        )
        table = effective_table(service, members, down, tables, doubted)
        owners = np.array([numbers.of(one) for one in members], np.int64)[table]
    if service.pool.keep_flows:
        unable = standing.unable - standing.failing
        up = [one for one in backends if (service.name, one.identity) not in unable]
    return _Ring(service, owners, frozenset(map(numbers.of, up)), pool)


def _pool(service: Service, standing: Standing) -> Pool:
    """Return what the service's policy comes to; its sorry server is taken to be there."""
    if service.pool == EACH_BY_ITSELF:
        return ORDINARY

    def condition(backend: Backend) -> Condition:
        if (service.name, backend.identity) in standing.failing:
            return Condition.FAILING
        is_unable = (service.name, backend.identity) in standing.unable
        return Condition.OUT if is_unable else Condition.UP

    weighted = tuple(_weighted(service, one, standing) for one in service.backends)
    conditions = {one.name: condition(one) for one in weighted if one.in_table}
    kept = frozenset(
        one.name
        for one in service.backends
        if (service.name, one.identity) in standing.failing - standing.unable
    )
    memory = Memory(lost=service.name in standing.lost, served=kept)
    return decide(
        replace(service, backends=weighted),
        conditions,
        memory,
        sorry_is_reached=service.sorry is not None,
    )


def _weighted(service: Service, backend: Backend, standing: Standing) -> Backend:
    weight = standing.weights.get((service.name, backend.name), backend.weight)
    return replace(backend, weight=weight)


def _where(service: Service) -> tuple[object, ...]:
    return service.vip, service.protocol, service.port


def _hands_over(before: Service, after: Service) -> bool:
    """Tell whether one of two services has a port that the other has with all others."""
    return (
        before.name != after.name
        and (before.vip, before.protocol) == (after.vip, after.protocol)
        and 0 in (before.port, after.port)
    )


def _inherits(before: Service, after: Service) -> bool:
    """Tell whether the ring of ``after`` remembers who had its slots."""
    return _where(before) == _where(after) and after.affinity is not Affinity.NONE


def _unkept(old: _Ring, new: _Ring) -> float:
    """Return the share of flows that nobody keeps where no ring follows."""
    keeps = _inherits(old.service, new.service) and old.service.mode is new.service.mode
    able = new.able if keeps else frozenset()
    return float(np.mean(~np.isin(old.owners, list(able))))


def _compare(old: _Ring, new: _Ring) -> tuple[int, float, float]:
    """Return the slots and the shares of flows that move, and that break."""
    lengths, old_slots, new_slots = _pieces(len(old.owners), len(new.owners))
    was, becomes = old.owners[old_slots], new.owners[new_slots]
    changed = was != becomes
    moved = len(np.unique(new_slots[changed]))
    if old.service.hash is not new.service.hash:
        # A flow is anywhere in the new ring, wherever it was in the old.
        flows = 1 - _chance(old, new)
        return len(new.owners), flows, flows
    flows = float(lengths[changed].sum())
    if old.service.mode is not new.service.mode:
        return moved, flows, 1.0
    kept = becomes
    if _inherits(old.service, new.service):
        # As control/transition.py has it: a slot inherits from the one at its middle.
        size, before = len(new.owners), len(old.owners)
        middles = (2 * np.arange(size) + 1) * before // (2 * size)
        inherited = old.owners[middles][new_slots]
        kept = np.where(np.isin(inherited, list(new.able)), inherited, becomes)
    return moved, flows, float(lengths[kept != was].sum())


def _pieces(
    old: int, new: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Cut the hashes where a slot of either ring begins: lengths, and slots in both."""
    if old == new:
        slots = np.arange(new)
        return np.full(new, 1 / new), slots, slots
    total = old * new
    starts = np.union1d(np.arange(old) * new, np.arange(new) * old)
    lengths = np.diff(np.append(starts, total)) / total
    return lengths, starts // new, starts // old


def _chance(old: _Ring, new: _Ring) -> float:
    """Return how likely a flow that is hashed anew comes to the backend it had."""
    count = max(int(ring.owners.max()) for ring in (old, new)) + 1
    parts = (np.bincount(r.owners, minlength=count) / len(r.owners) for r in (old, new))
    return float(np.dot(*parts))


def _shares(
    old: _Ring, new: _Ring, numbers: _Numbers, standing: Standing
) -> tuple[Share, ...]:
    parts = [_parts(ring, numbers, standing) for ring in (old, new)]
    names = dict.fromkeys((*parts[1], *parts[0]))
    nothing = (0, 0)
    return tuple(
        Share(name, was[0], becomes[0], was[1], becomes[1])
        for name in names
        for was, becomes in [tuple(part.get(name, nothing) for part in parts)]
        if was != becomes
    )


def _parts(
    ring: _Ring, numbers: _Numbers, standing: Standing
) -> dict[str, tuple[int, int]]:
    """Return weight and slots of each backend, by name."""
    counts = np.bincount(ring.owners, minlength=len(numbers)).tolist()
    parts = {}
    for one in ring.service.members:
        backend = _weighted(ring.service, one, standing)
        serves = not ring.pool.is_sorry(one.name) or ring.pool.sorry
        weight = backend.weight if backend.in_table and serves else 0
        parts[backend.name] = weight, counts[numbers.of(backend)]
    return parts
