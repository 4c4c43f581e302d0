"""How long a Maglev table takes to build."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

import maglev
from bench.clock import Timing, clock, clock_once
from bench.paper import Paper
from bench.pool import identities
from maglev import Permutations, Table, twin

RUNS: Final = 25


@dataclass(frozen=True, slots=True)
class Case:
    """A table to build: its slots, and backends of weights from 1 to ``heaviest``."""

    size: int
    backends: int
    heaviest: int

    def pairs(self) -> list[tuple[bytes, int]]:
        """Return the backends, identities and weights."""
        random = np.random.default_rng(self.backends)
        weights = random.integers(1, self.heaviest, self.backends, endpoint=True)
        return list(zip(identities(self.backends), weights.tolist(), strict=True))


BACKENDS: Final = (3, 10, 100, 1000, 5000)
CASES: Final = (
    *(
        Case(65537, backends, heaviest)
        for heaviest in (1, 100, 65535)
        for backends in BACKENDS
    ),
    *(Case(655373, 1000, heaviest) for heaviest in (1, 100)),
)


@dataclass(frozen=True, slots=True)
class Building:
    """What building took.

    ``from_nothing`` is :func:`maglev.build` of a list of pairs, ``kept`` is building alone,
    with permutations that were there. ``paper`` is like ``kept``, and with equal weights
    whatever the case has. ``twin_ms`` is one run of twin.py, like ``from_nothing``.
    """

    case: Case
    from_nothing: Timing
    kept: Timing
    paper: Timing
    twin_ms: float


def measure(paper: Paper) -> Iterator[Building]:
    """Yield what each of ``CASES`` took."""
    for case in CASES:
        yield _measure(case, paper)


def _measure(case: Case, paper: Paper) -> Building:
    pairs = case.pairs()
    backends, weights = zip(*pairs, strict=True)
    permutations = Permutations(backends, case.size)
    papers = paper.builder(permutations)
    table = permutations.build(weights)
    by_twin, twin_ms = clock_once(partial(twin.build, pairs, case.size))
    check_equal(table, np.array(by_twin, np.int32))
    if case.heaviest == 1:
        check_equal(table, papers.build_with_owners())
    from_nothing, kept, by_paper = clock(
        (
            partial(maglev.build, pairs, case.size),
            partial(permutations.build, weights),
            papers.build,
        ),
        RUNS,
    )
    return Building(case, from_nothing, kept, by_paper, twin_ms)


def check_equal(table: Table, other: Table) -> None:
    """Raise RuntimeError if two ways to the same table lead to different ones."""
    if not np.array_equal(table, other):
        raise RuntimeError("two programs that should build the same table do not")
