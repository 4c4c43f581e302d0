"""What the Maglev paper compares Maglev with: two older kinds of consistent hashing.

Both fill a lookup table as Maglev does, so that the tables can be compared slot by slot.
Backends are identities, as for :func:`maglev.build`; owners are indices of them.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from maglev import Table

POINTS_PER_BACKEND: Final = 1000

_Words = NDArray[np.uint64]
_SLOTS_AT_A_TIME: Final = 32  # with 1000 backends: 256 KiB of scores, within an L2 cache
# 2⁶⁴ over the golden ratio: the step between the states of SplitMix64.
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)


def karger(backends: Sequence[bytes], size: int, seed: int = 0) -> Table:
    """Return the table by Karger et al., "Consistent Hashing and Random Trees", STOC'97.

    Each backend has points on a circle; a slot belongs to the next point clockwise.

    How the circle is made is chosen to fit the Maglev paper's figures: the busiest backend
    29.7 % over the average at 65537 slots, 10.3 % at 655373. It is the table itself; a
    point is a slot, each backend has 1000, and of points that meet in a slot the first
    keeps it, all first points coming before all second ones. 60 draws give 29 % and 11 % on
    average. No other circle that was tried fits: one of 2⁶⁴ places, where points do not
    meet, gives 41 % and 12 % with 1000 points per backend, 40 % and 35 % with 100, and 44 %
    and 17 % with 1000 if the slots are hashed onto it, too.
    """
    points = _points(backends, POINTS_PER_BACKEND, seed) % np.uint64(size)
    marked, first = np.unique(points, return_index=True)
    clockwise = np.searchsorted(marked, np.arange(size, dtype=np.uint64))
    clockwise %= len(marked)
    table: Table = (first[clockwise] % len(backends)).astype(np.int32)
    return table


def rendezvous(backends: Sequence[bytes], size: int, seed: int = 0) -> Table:
    """Return the table by Thaler and Ravishankar, "Using Name-Based Mappings", 1998.

    A slot belongs to the backend whose hash together with the slot is the greatest.
    """
    keys = _keys(backends, seed)
    slots = _mix(np.arange(1, size + 1, dtype=np.uint64))
    table = np.empty(size, np.int32)
    for start in range(0, size, _SLOTS_AT_A_TIME):
        some = slice(start, start + _SLOTS_AT_A_TIME)
        table[some] = _mix(slots[some, np.newaxis] ^ keys).argmax(axis=1)
    return table


def _points(backends: Sequence[bytes], per_backend: int, seed: int) -> _Words:
    """Return the first points of all backends, then all second ones, and so on."""
    numbers = np.arange(1, per_backend + 1, dtype=np.uint64)[:, np.newaxis]
    return _mix(_keys(backends, seed) + numbers * _GOLDEN).ravel()


def _keys(backends: Sequence[bytes], seed: int) -> _Words:
    return np.array([xxh3_64_intdigest(one, seed) for one in backends], np.uint64)


def _mix(words: _Words) -> _Words:
    """Scramble ``words``, which it overwrites: the finaliser of SplitMix64."""
    words ^= words >> np.uint64(30)
    words *= np.uint64(0xBF58476D1CE4E5B9)
    words ^= words >> np.uint64(27)
    words *= np.uint64(0x94D049BB133111EB)
    words ^= words >> np.uint64(31)
    return words
