"""Who stands in for backends that are down.

Rebuilding a Maglev table without a backend moves slots of living ones too. The overlay
moves none: each slot of a backend that is down goes to a survivor by weighted rendezvous
hashing (Thaler and Ravishankar 1998; the weights after Schindelhauer and Schomaker 2005).
The result depends on who is up, not on the order of events, so all nodes agree, and a
recovery gives back exactly the slots that a failure took. The arithmetic is in overlay.c.
"""

from collections.abc import Hashable, Iterable
from copy import copy
from typing import Final, Self

import numpy as np

from maglev.native import ffi, lib
from maglev.table import Permutations, Table, check_indices, run


def overlay(
    backends: Iterable[tuple[bytes, int]],
    size: int,
    down: Iterable[int],
    *,
    seed: int = 0,
    zones: Iterable[Hashable] | None = None,
) -> Table:
    """Return the table of :func:`maglev.build` without those that are down.

    ``down`` holds indices of ``backends``; see :class:`Overlay` for the rest.
    """
    pairs = list(backends)
    permutations = Permutations([identity for identity, _ in pairs], size, seed)
    weights = [weight for _, weight in pairs]
    return Overlay(permutations, weights, zones).move(down).table


class Overlay:
    """A table, and the same without those of its backends that are down. Immutable.

    ``base`` is the table when all are up, ``table`` the one for ``down``. Survivors get the
    slots of those that are down in proportion to their weights; if there are none, these
    slots are ``NOBODY``'s.
    """

    def __init__(
        self,
        permutations: Permutations,
        weights: Iterable[int],
        zones: Iterable[Hashable] | None = None,
    ) -> None:
        """Build the table, with nobody down.

        ``zones`` are failure domains, one for each backend. If they are given, a slot goes
        to a survivor in another zone than its owner's as long as there is one: what has
        taken the owner may take its neighbours next. Raises ValueError as
        :func:`maglev.build` does, or if there is not one zone for each backend.
        """
        self._weights = permutations.check_weights(weights)
        self._zones = None if zones is None else _numbered(zones)
        backends = len(permutations.identities)
        if self._zones is not None and len(self._zones) != backends:
            raise ValueError(f"there are {len(self._zones)} zones for {backends} backends")
        self.permutations: Final = permutations
        self.base: Final = permutations.build(self._weights)
        self.table: Table = self.base
        self.down: frozenset[int] = frozenset()

    def move(self, down: Iterable[int]) -> Self:
        """Return the overlay for those in ``down``, indices of backends.

        The result is the same from whichever overlay it is made; the less differs, the
        quicker it is. Otherwise it takes time as the slots of those that are down, times
        the survivors: about a nanosecond each. Raises ValueError if an index is not that of
        a backend, TypeError if it is no index.
        """
        backends = len(self.permutations.identities)
        now = check_indices(down, backends)
        states = np.zeros(backends, np.uint8)
        states[list(self.down - now)] = lib.MAGLEV_BACK
        states[list(now)] = lib.MAGLEV_DOWN
        table = np.empty_like(self.base)
        run(
            lib.maglev_overlay(
                self.permutations.lists,
                self.permutations.turns,
                ffi.from_buffer("uint16_t[]", self._weights),
                ffi.NULL
                if self._zones is None
                else ffi.from_buffer("uint32_t[]", self._zones),
                ffi.from_buffer("uint8_t[]", states),
                backends,
                ffi.from_buffer("int32_t[]", self.base),
                ffi.from_buffer("int32_t[]", self.table),
                self.permutations.size,
                ffi.from_buffer("int32_t[]", table),
            )
        )
        table.flags.writeable = False
        return self._with(table, now)

    def _with(self, table: Table, down: frozenset[int]) -> Self:
        overlay = copy(self)
        overlay.table, overlay.down = table, down
        return overlay


def _numbered(zones: Iterable[Hashable]) -> np.typing.NDArray[np.uint32]:
    numbers: dict[Hashable, int] = {}
    listed = [numbers.setdefault(zone, len(numbers)) for zone in zones]
    return np.array(listed, np.uint32)
