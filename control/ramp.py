"""Which of its slots a backend has that starts slowly. Pure.

Each slot comes with one step, the same one always. So a step moves only slots that come to
the backend to stay, and a ring is a function of the steps.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maglev import Table

STEPS: Final = 10  # to the whole weight, all as long


def step_of(slots: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return how many steps come before the one with which each of these slots comes."""
    return slots % STEPS


def ramped(whole: Table, without: Table, steps: Mapping[int, int]) -> Table:
    """Return ``whole`` with what backends do not have yet as it is ``without`` them.

    ``steps``, from 1, are of those who start slowly, by their index in the tables.
    """
    table = whole.copy()
    for index, step in steps.items():
        own = np.flatnonzero(whole == index)
        later = own[step_of(own) >= step]
        table[later] = without[later]
    return table
