"""How well a table keeps its promises: shares against weights, and what a change moves."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maglev.table import Table
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
    needless: int  # of these, those whose old owner could have kept them

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

    Raises ValueError if nobody who is up has a weight.
    """
    able = np.array(weights, np.int64)
    able[list(down)] = 0
    if not able.any():
        raise ValueError("nobody is up who has a weight: there are no shares")
    slots = np.bincount(table[table >= 0], minlength=len(able))
    return Shares(slots, able * (len(table) / able.sum()))


def disruption(before: Table, after: Table, gone: Iterable[int] = ()) -> Disruption:
    """Return what moves from ``before`` to ``after``, indices into the same backends.

    Slots of those ``gone`` have to move; others move needlessly. (With more backends or
    other weights some have to move too; compare with the least that is possible then.)
    Raises ValueError if the tables differ in size.
    """
    moved = transition(before, after)
    needless = np.isin(moved.before, list(gone), invert=True)
    return Disruption(len(before), len(moved.slots), int(np.count_nonzero(needless)))


def translate(table: Table, indices: Sequence[int]) -> Table:
    """Return ``table`` with index i replaced by ``indices[i]``; NOBODY stays.

    For tables of different lists of backends: before they can be compared, they have to
    speak of the same one.
    """
    return np.append(np.array(indices, np.int32), np.int32(-1))[table]
