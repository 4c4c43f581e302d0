"""Who of a pool serves: by what its checks say, and by the service's policy. Pure.

The answer is a function of the policy and of who is up, alike on all nodes. Only two things
are remembered: whether the quorum was there (between its two thresholds that stays as it
was), and who served last. Both are read from the ring that the kernel has, so that a
restart changes neither.
"""

import hashlib
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from control.model import Backend, Service
from control.pool_policy import SORRY, PoolPolicy, WhenAllDown


class Condition(Enum):
    """What is known of a backend that is meant to get new flows."""

    UP = auto()
    UNKNOWN = auto()  # its first check has not ended
    FAILING = auto()  # its checks say so, and it could be reached
    OUT = auto()  # no policy can make it serve: there is no way to it


@dataclass(frozen=True, slots=True)
class Pool:
    """What a service's policy comes to at one time."""

    live_weight: int = 0  # of backends that are up
    quorum: bool = True
    sorry: bool = False  # the sorry server gets all new flows
    # Backends that serve although their checks fail, by name, and which policy lets them.
    kept: Mapping[str, str] = field(default_factory=dict)
    # Of who starts slowly, how many tenths of the weight it has, by name; see slow_start.
    steps: Mapping[str, int] = field(default_factory=dict)
    # Backends that may only keep flows until their first check has ended, by name.
    unproven: AbstractSet[str] = frozenset()
    has_sorry: bool = False  # there is a sorry server, needed or not

    def is_sorry(self, backend: str) -> bool:
        """Tell whether this is the name of the sorry server."""
        return self.has_sorry and backend == SORRY

    def trusts(self, backend: str) -> bool:
        """Tell whether a backend may serve whatever its checks say."""
        return backend in self.kept or self.is_sorry(backend)


ORDINARY: Final = Pool()


@dataclass(frozen=True, slots=True)
class Memory:
    """What was true of a pool before."""

    lost: bool = False  # the quorum was
    served: AbstractSet[str] = frozenset()  # who had slots, by name
    assumed: bool = False  # some of those count as up, for nothing is known of them yet


def decide(
    service: Service,
    conditions: Mapping[str, Condition],
    memory: Memory,
    *,
    sorry_is_reached: bool,
) -> Pool:
    """Return who serves; ``conditions`` has every backend that is in the table, by name."""
    policy = service.pool
    weights = {backend.name: backend.weight for backend in service.backends}
    live = sum(weights[name] for name in _all(conditions, Condition.UP))
    possible = live + sum(weights[name] for name in _all(conditions, Condition.UNKNOWN))
    quorum = _has_quorum(policy, live, possible, was_lost=memory.lost)
    failing = set(_all(conditions, Condition.FAILING))
    kept: dict[str, str] = {}
    if not possible:
        kept = dict.fromkeys(_when_all_down(policy, failing, memory), _said(policy))
    # Backends that served are not replaced before anything is known of them.
    waits = memory.assumed and SORRY not in memory.served
    sorry = not quorum and not kept and sorry_is_reached and not waits
    if not sorry and not kept:
        kept = dict.fromkeys(_not_ejected(service, conditions), "max_ejected")
    unproven = frozenset(_all(conditions, Condition.UNKNOWN))
    has_sorry = policy.sorry_server is not None
    return Pool(live, quorum, sorry, kept, unproven=unproven, has_sorry=has_sorry)


def _all(conditions: Mapping[str, Condition], wanted: Condition) -> Iterable[str]:
    return (name for name, condition in conditions.items() if condition is wanted)


def _has_quorum(policy: PoolPolicy, live: int, possible: int, *, was_lost: bool) -> bool:
    """Tell whether there is a quorum, by keepalived's thresholds.

    ``possible`` is what may be up. Nothing is lost or gained by what is not known yet.
    """
    if was_lost:
        return live >= policy.quorum + policy.hysteresis
    return possible >= max(policy.quorum - policy.hysteresis, 1)


def _when_all_down(policy: PoolPolicy, failing: set[str], memory: Memory) -> Iterable[str]:
    match policy.when_all_down:
        case WhenAllDown.ALL:
            return failing
        case WhenAllDown.LAST_KNOWN:
            return failing & memory.served
        case WhenAllDown.SORRY | WhenAllDown.NONE:
            return ()


def _said(policy: PoolPolicy) -> str:
    return f"when_all_down: {policy.when_all_down}"


def _not_ejected(service: Service, conditions: Mapping[str, Condition]) -> Iterable[str]:
    """Return those who fail, and of whom too many are out already.

    Who is out is a matter of names alone: nodes whose checks fail one after the other in
    another order come to the same table.
    """
    allowed = int(service.pool.max_ejected * len(conditions) + _ROUNDING)
    allowed -= sum(condition is Condition.OUT for condition in conditions.values())
    failing = (b for b in service.backends if conditions.get(b.name) is Condition.FAILING)
    ordered = sorted(failing, key=_lot)
    return [backend.name for backend in ordered[max(allowed, 0) :]]


_ROUNDING: Final = 1e-9  # 0.29 of 100 comes out below 29


def _lot(backend: Backend) -> bytes:
    return hashlib.blake2b(backend.identity.encode(), digest_size=8).digest()
