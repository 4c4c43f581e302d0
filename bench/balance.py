"""How evenly tables are shared out: Figure 11 of the Maglev paper, section 5.3."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

import numpy as np

import maglev
from bench import hashing
from bench.pool import identities

BACKENDS: Final = 1000
SIZES: Final = (65537, 655373)  # slots
DRAWS: Final = 10  # tables per method and size, each with its own seed

_Fill = Callable[[Sequence[bytes], int, int], maglev.Table]  # identities, size, seed


@dataclass(frozen=True, slots=True)
class Balance:
    """The slots of the backends with most and with fewest, in percent of the average.

    ``busiest`` is over the average, ``idlest`` under it, both means of ``DRAWS`` tables;
    ``busiest_range`` is the least and the greatest of them. ``paper`` is the paper's figure
    for the busiest; None stands for one close to 0.
    """

    method: str
    size: int
    busiest: float
    busiest_range: tuple[float, float]
    idlest: float
    paper: float | None


def measure() -> list[Balance]:
    """Return the balance of all methods at all sizes."""
    return [
        _balance(method, fill, size, paper[size])
        for method, fill, paper in _METHODS
        for size in SIZES
    ]


def _balance(method: str, fill: _Fill, size: int, paper: float | None) -> Balance:
    backends = identities(BACKENDS)
    extremes = [_extremes(fill(backends, size, seed)) for seed in range(DRAWS)]
    busiest, idlest = zip(*extremes, strict=True)
    return Balance(
        method, size, fmean(busiest), (min(busiest), max(busiest)), fmean(idlest), paper
    )


def _extremes(table: maglev.Table) -> tuple[float, float]:
    slots = np.bincount(table, minlength=BACKENDS)
    average = len(table) / BACKENDS
    return (
        100 * float(slots.max() / average - 1),
        100 * float(1 - slots.min() / average),
    )


def _maglev(backends: Sequence[bytes], size: int, seed: int) -> maglev.Table:
    return maglev.build([(identity, 1) for identity in backends], size, seed)


# What each method is called, how it fills a table, and the paper's figure for each size.
_METHODS: Final[Sequence[tuple[str, _Fill, dict[int, float | None]]]] = (
    ("Maglev", _maglev, {65537: None, 655373: None}),
    ("Karger", hashing.karger, {65537: 29.7, 655373: 10.3}),
    ("Rendezvous", hashing.rendezvous, {65537: 49.5, 655373: 12.3}),
)
