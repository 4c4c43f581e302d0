"""Who stands in for backends that are down.

Rebuilding a Maglev table without a backend moves slots of living ones too, about one in a
hundred. The overlay moves none: each slot of a backend that is down goes to a survivor by
weighted rendezvous hashing (Thaler and Ravishankar 1998; the weights after Schindelhauer
and Schomaker 2005). The result depends on who is up, not on the order of events, so all
nodes agree, and a recovery gives back exactly the slots that a failure took.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from math import log
from typing import Final

from maglev.table import NOBODY, hashes

_MASK: Final = (1 << 64) - 1
_HALF: Final = 0.5  # keeps the logarithm's argument off 0


def overlay(
    table: Sequence[int], backends: Sequence[tuple[bytes, int]], down: AbstractSet[int]
) -> list[int]:
    """Return ``table`` with each slot of a backend in ``down`` given to a survivor.

    ``table`` and ``backends`` are those of :func:`maglev.build`; ``down`` holds indices of
    backends. Survivors are drawn in proportion to their weights. Without survivors such
    slots are ``NOBODY``'s.
    """
    survivors = [
        (index, hashes(identity)[0], weight)
        for index, (identity, weight) in enumerate(backends)
        if weight > 0 and index not in down
    ]
    stands_in = {
        slot: _choose(slot, survivors) for slot, owner in enumerate(table) if owner in down
    }
    return [stands_in.get(slot, owner) for slot, owner in enumerate(table)]


def _choose(slot: int, survivors: Sequence[tuple[int, int, int]]) -> int:
    """Return the survivor whose exponential clock of rate ``weight`` rings first."""
    spread = _mix(slot + 1)
    best, soonest = NOBODY, float("inf")
    for index, key, weight in survivors:
        uniform = (_mix(key ^ spread) + _HALF) / (_MASK + 1)
        rings = -log(uniform) / weight
        if rings < soonest:
            best, soonest = index, rings
    return best


def _mix(word: int) -> int:
    """Return a bijective scramble of a 64-bit word: the finaliser of SplitMix64."""
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    word = (word ^ word >> 27) * 0x94D049BB133111EB & _MASK
    return word ^ word >> 31
