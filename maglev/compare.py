"""How well a table keeps its promises: shares against weights, and what a change moves."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import index

import numpy as np
from numpy.typing import NDArray

from maglev.table import Table, check_indices
from maglev.transition import transition


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """The slots of each backend against its exact share by weight."""

    slots: NDArray[np.int64]  # by backend
    exact: NDArray[np.float64]  # slots by weight, not rounded, by backend

    @property
    def over(self) -> float:
        """The worst over-provision: (slots / exact) - 1 of the busiest backend.

        Infinite if one has slots that should have none.
        """
        return float(np.max(self._ratios())) - 1

    @property
    def under(self) -> float:
        """The worst under-provision, 0…1: 1 - (slots / exact) of the idlest backend."""
        return 1 - float(np.min(self._ratios()))

    @property
    def rounding(self) -> float:
        """The greatest difference from an exact share, in slots."""
        return float(np.max(np.abs(self.slots - self.exact)))

    def _ratios(self) -> NDArray[np.float64]:
        concerned = (self.exact > 0) | (self.slots > 0)
        with np.errstate(divide="ignore"):
            return self.slots[concerned] / self.exact[concerned]


@dataclass(frozen=True, slots=True)
class Disruption:
    """What a change of tables does to the flows, if they are spread evenly over slots."""

    size: int  # slots
    changed: int  # slots that have another owner
    needless: int  # of these, those that the new shares did not call for

    @property
    def changed_share(self) -> float:
        """The share of all slots that changed, 0…1."""
        return self.changed / self.size

    @property
    def needless_share(self) -> float:
        """The share of all slots that changed needlessly, 0…1."""
        return self.needless / self.size


def shares(table: Table, weights: Sequence[int], down: Iterable[int] = ()) -> Shares:
    """Return who has how much of ``table``, against the weights of those not ``down``.

    Raises ValueError if nobody who is up has a weight, or if there is not a weight for
    everybody; TypeError if something is no integer.
    """
    able = np.array([index(weight) for weight in weights], np.int64)
    if able.min(initial=0) < 0 or table.max() >= len(able):
        raise ValueError(
            f"{len(able)} weights are needed from 0, one for each of "
            f"{table.max() + 1} backends or more"
        )
    able[list(check_indices(down, len(able)))] = 0
    if not able.any():
        raise ValueError("nobody is up who has a weight: there are no shares")
    slots = np.bincount(table[table >= 0], minlength=len(able))
    return Shares(slots, able * (len(table) / able.sum()))


def disruption(before: Table, after: Table) -> Disruption:
    """Return what moves from ``before`` to ``after``, indices into the same backends.

    For a pool that grew or shrank, build both over all backends, with weight 0 for those
    that are not in it: they are the tables of the smaller pools.

    An owner that has fewer slots after than before must have lost so many; whatever else
    changed did so needlessly. Raises ValueError if the tables differ in size.
    """
    changed = len(transition(before, after).slots)
    owners = max(int(table.max()) for table in (before, after)) + 2  # from NOBODY, -1
    lost = np.bincount(before + 1, minlength=owners) - np.bincount(
        after + 1, minlength=owners
    )
    needed = int(lost[lost > 0].sum())
    return Disruption(len(before), changed, changed - needed)
