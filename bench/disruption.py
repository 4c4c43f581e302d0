"""What a failure moves: Figure 12 of the Maglev paper, section 5.3, and the overlay.

An entry of the table has changed needlessly if its owner changed and is alive. Owners are
compared as backends of the whole pool: in a pool without the failed ones the indices are
others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.pool import identities
from maglev import Overlay, Permutations, Table

BACKENDS: Final = 1000
SIZES: Final = (65537, 655373)  # slots
FAILED: Final = (1, 2, 5, 10, 20, 50, 100)  # backends, at the same time
DRAWS: Final = 20  # per number of failed backends and size, each with its own seed

# From a reference simulation: by size and failed backends, entries in percent that changed
# and that changed needlessly when the table was built again without the failed ones …
_REFERENCE_REBUILT: Final = {
    65537: {
        1: (0.682, 0.582),
        2: (1.183, 0.983),
        5: (2.296, 1.796),
        10: (3.299, 2.299),
        20: (4.631, 2.631),
        50: (8.249, 3.249),
        100: (13.554, 3.553),
    },
    655373: {
        1: (0.428, 0.328),
        2: (0.565, 0.365),
        5: (0.967, 0.467),
        10: (1.579, 0.579),
        20: (2.701, 0.701),
        50: (5.908, 0.908),
        100: (11.043, 1.043),
    },
}
# … and the busiest survivor over the survivors' average, with the overlay.
_REFERENCE_BUSIEST: Final = {65537: {1: 1.037, 10: 1.073, 50: 1.116, 100: 1.167}}


@dataclass(frozen=True, slots=True)
class Change:
    """Entries that differ between two tables, in percent of all."""

    changed: float
    needless: float


@dataclass(frozen=True, slots=True)
class Disruption:
    """What happens when ``failed`` of ``BACKENDS`` fail; means of ``DRAWS`` draws.

    ``rebuilt`` is Maglev built again without the failed ones, ``overlay`` is ours.
    ``overlay_busiest`` is the busiest survivor's share over the survivors' average, a
    ratio, and ``overlay_busiest_range`` the least and the greatest one of all draws.
    ``reference_busiest`` is None where there is no such figure.
    """

    size: int
    failed: int
    rebuilt: Change
    reference: Change
    overlay: Change
    overlay_busiest: float
    overlay_busiest_range: tuple[float, float]
    reference_busiest: float | None


def measure() -> list[Disruption]:
    """Return the disruption for all sizes and numbers of failed backends."""
    return [_disruption(size, failed) for size in SIZES for failed in FAILED]


@dataclass(frozen=True, slots=True)
class _Draw:
    """A table, those who fail (indices), and what becomes of the table."""

    base: Table
    down: NDArray[np.intp]
    rebuilt: Table
    overlay: Table

    def change(self, table: Table) -> Change:
        changed = table != self.base
        needless = changed & ~np.isin(self.base, self.down)
        return Change(100 * float(changed.mean()), 100 * float(needless.mean()))

    def overlay_busiest(self) -> float:
        survivors = BACKENDS - len(self.down)
        return float(np.bincount(self.overlay).max() * survivors / len(self.overlay))


def _disruption(size: int, failed: int) -> Disruption:
    draws = list(_draws(size, failed))
    busiest = [draw.overlay_busiest() for draw in draws]
    return Disruption(
        size=size,
        failed=failed,
        rebuilt=_mean([draw.change(draw.rebuilt) for draw in draws]),
        reference=Change(*_REFERENCE_REBUILT[size][failed]),
        overlay=_mean([draw.change(draw.overlay) for draw in draws]),
        overlay_busiest=fmean(busiest),
        overlay_busiest_range=(min(busiest), max(busiest)),
        reference_busiest=_REFERENCE_BUSIEST.get(size, {}).get(failed),
    )


def _draws(size: int, failed: int) -> Iterator[_Draw]:
    backends = identities(BACKENDS)
    for seed in range(DRAWS):
        # The beginning of the same permutation: with more failures, the same ones and more.
        order = np.random.default_rng(seed).permutation(BACKENDS)
        down, alive = order[:failed], np.sort(order[failed:])
        overlay = Overlay(Permutations(backends, size, seed), [1] * BACKENDS)
        without = Permutations([backends[index] for index in alive], size, seed)
        yield _Draw(
            base=overlay.base,
            down=down,
            rebuilt=alive[without.build([1] * len(alive))].astype(np.int32),
            overlay=overlay.move(down.tolist()).table,
        )


def _mean(changes: list[Change]) -> Change:
    return Change(
        fmean(change.changed for change in changes),
        fmean(change.needless for change in changes),
    )
