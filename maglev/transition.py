"""What changes from one table to the next."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Transition:
    """The slots in which two tables differ, ascending, and what they held before."""

    slots: NDArray[np.uint32]
    before: NDArray[Any]  # of the tables' type; as many as there are slots


def transition(old: NDArray[Any], new: NDArray[Any]) -> Transition:
    """Return what changes from ``old`` to ``new``, tables of one size.

    What they hold has to mean the same in both: indices into the same list of backends, or
    ids that outlive it. Raises ValueError if the sizes differ: then a flow has another
    slot, and nothing can be said slot by slot.
    """
    if old.shape != new.shape:
        raise ValueError(
            f"a table of {len(old)} slots does not change slot by slot "
            f"into one of {len(new)}: both need the same size"
        )
    slots = np.flatnonzero(old != new).astype(np.uint32)
    return Transition(slots, old[slots])
