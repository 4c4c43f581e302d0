"""How long it takes to follow a change: of a weight, or of who is up."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

import maglev
from bench.building import RUNS, Case, check_equal
from bench.clock import Timing, clock, clock_once
from bench.paper import Builder, Paper
from maglev import Overlay, Permutations, Table, twin

WEIGHTED: Final = Case(65537, 1000, 100)
EQUAL: Final = Case(65537, 1000, 1)
ONE_DOWN: Final = "overlay: 1 of 1000 down"
HUNDRED_DOWN: Final = "overlay: 100 of 1000 down"


@dataclass(frozen=True, slots=True)
class Changing:
    """What following a change took.

    ``paper`` is what the paper's algorithm does about it: it builds the table again without
    those that are down, and as if weights were equal. ``twin_ms`` is one run of twin.py,
    which comes to the same table as ours, but knows nothing of the table before.
    """

    change: str
    ours: Timing
    paper: Timing
    twin_ms: float


def measure(paper: Paper) -> Iterator[Changing]:
    """Yield what each change took."""
    yield from _weights(paper)
    yield from _failures(paper)


def _weights(paper: Paper) -> Iterator[Changing]:
    """Change one weight of a pool."""
    (identity, weight), *others = WEIGHTED.pairs()
    pairs = [(identity, weight % WEIGHTED.heaviest + 1), *others]
    backends, weights = zip(*pairs, strict=True)
    permutations = Permutations(backends, WEIGHTED.size)
    papers = paper.builder(permutations)
    by_twin = partial(twin.build, pairs, WEIGHTED.size)
    for change, build in (
        ("a weight changes: from nothing", partial(maglev.build, pairs, WEIGHTED.size)),
        ("a weight changes: lists kept", partial(permutations.build, weights)),
    ):
        yield _measure(change, build, by_twin, papers)


def _failures(paper: Paper) -> Iterator[Changing]:
    """Let backends fail and one recover."""
    pairs = EQUAL.pairs()
    backends, weights = zip(*pairs, strict=True)
    up = Overlay(Permutations(backends, EQUAL.size), weights)
    base = up.base.tolist()
    one, hundred, more = (frozenset(range(down)) for down in (1, 100, 101))
    for change, before, down in (
        (ONE_DOWN, up, one),
        (HUNDRED_DOWN, up, hundred),
        ("overlay: the 101st fails", up.move(hundred), more),
        ("overlay: the 101st recovers", up.move(more), hundred),
    ):
        alive = [identity for i, identity in enumerate(backends) if i not in down]
        yield _measure(
            change,
            partial(_move, before, down),
            partial(twin.overlay, base, pairs, down),
            paper.builder(Permutations(alive, EQUAL.size)),
        )


def _move(before: Overlay, down: frozenset[int]) -> Table:
    return before.move(down).table


def _measure(
    change: str,
    ours: Callable[[], Table],
    by_twin: Callable[[], list[int]],
    papers: Builder,
) -> Changing:
    table, twin_ms = clock_once(by_twin)
    check_equal(ours(), np.array(table, np.int32))
    by_us, by_paper = clock((ours, papers.build), RUNS)
    return Changing(change, by_us, by_paper, twin_ms)
