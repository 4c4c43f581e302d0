"""How many slots an algorithm looks at while it fills a table of M slots.

While F slots are free, the next one in a backend's list is M / (F + 1) further on average.
The paper's algorithm walks down to the last free slot, M·(ln M - 0.42) steps in all.
maglev/table.c stops at K, the root of M, after M·ln(M / K), and has each of the last K
claims look at all slots that are still free, K² / 2 in all.
"""

from dataclasses import dataclass
from math import isqrt, log
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maglev import Permutations, Table

# 1/2 + 1/3 + … + 1/n is about ln n less this: 1 less Euler's constant.
_FIRST_TERM: Final = 1 - 0.5772


@dataclass(frozen=True, slots=True)
class Probes:
    """Slots looked at: by the paper's algorithm, and by ours in its two steps."""

    paper: float
    walking: float
    searching: float

    @property
    def ours(self) -> float:
        """Both steps together."""
        return self.walking + self.searching


def expect(size: int) -> Probes:
    """Return the expected numbers for a table of ``size`` slots, M."""
    searched = _searched(size)
    return Probes(
        paper=size * (log(size) - _FIRST_TERM),
        walking=size * log(size / searched),
        searching=searched**2 / 2,
    )


def count(permutations: Permutations, table: Table) -> Probes:
    """Return the numbers for a table of equal weights, by looking where its slots are.

    A backend tried all slots of its list up to the last one that it got by walking.
    """
    size, searched = permutations.size, _searched(permutations.size)
    places = _places(permutations, table)
    walked = _claims(permutations, table, places) < size - searched
    return Probes(
        paper=_tried(table, places),
        walking=_tried(table[walked], places[walked]),
        searching=searched * (searched + 1) // 2,
    )


def _searched(size: int) -> int:
    """Return K, the claims at the end that search: the square root, rounded up."""
    return isqrt(size - 1) + 1


def _places(permutations: Permutations, table: Table) -> NDArray[np.int64]:
    """Return for each slot where it stands in its owner's list, from 0."""
    size = permutations.size
    offsets = np.array([one.offset for one in permutations.lists], np.int64)
    inverses = np.array([pow(one.skip, -1, size) for one in permutations.lists], np.int64)
    return (np.arange(size) - offsets[table]) * inverses[table] % size


def _claims(
    permutations: Permutations, table: Table, places: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return for each slot the number of the claim that got it, from 0."""
    backends = len(permutations.identities)
    by_owner = np.lexsort((places, table))
    shares = np.bincount(table, minlength=backends)
    firsts = np.cumsum(shares) - shares
    rounds = np.empty(len(table), np.int64)
    rounds[by_owner] = np.arange(len(table)) - firsts[table[by_owner]]
    turns = np.empty(backends, np.int64)
    turns[list(permutations.turns)] = np.arange(backends)
    return rounds * backends + turns[table]


def _tried(owners: Table, places: NDArray[np.int64]) -> int:
    tried = np.zeros(int(owners.max()) + 1, np.int64)
    np.maximum.at(tried, owners, places + 1)
    return int(tried.sum())
