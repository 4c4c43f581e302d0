"""The Maglev tables of the last two rounds: a round computes only what has changed."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from maglev import Overlay, Permutations, Table

Pool = tuple[tuple[bytes, int], ...]  # identity and weight of each backend
Zones = tuple[Hashable, ...] | None  # a failure domain for each backend
_Value = TypeVar("_Value")


class Tables:
    """Remembers what is in use, and forgets what is not any more."""

    def __init__(self) -> None:
        self._permutations = _Memory[Permutations]()
        self._overlays = _Memory[Overlay]()

    def begin_round(self) -> None:
        """Forget what the last round did not ask for."""
        self._permutations.begin_round()
        self._overlays.begin_round()

    def __len__(self) -> int:
        """Return how many tables were asked for since :meth:`begin_round`."""
        return len(self._overlays)

    def effective(
        self, pool: Pool, size: int, down: frozenset[int], zones: Zones = None
    ) -> Table:
        """Return the table of ``pool`` in which those in ``down`` have no slot.

        ``pool`` and ``size`` are as :func:`maglev.build` wants them, ``zones`` as
        :class:`maglev.Overlay` does.
        """
        identities, weights = zip(*pool, strict=True)
        permutations = self._permutations.recall(
            (identities, size), lambda: Permutations(identities, size)
        )
        overlay = self._overlays.recall(
            (pool, size, zones), lambda: Overlay(permutations, weights, zones)
        )
        if overlay.down != down:
            overlay = overlay.move(down)  # the less that changes, the quicker
            self._overlays.keep((pool, size, zones), overlay)
        return overlay.table


class _Memory(Generic[_Value]):
    """What was asked for in this round and in the one before."""

    def __init__(self) -> None:
        self._before: dict[Hashable, _Value] = {}
        self._now: dict[Hashable, _Value] = {}

    def begin_round(self) -> None:
        self._before, self._now = self._now, {}

    def __len__(self) -> int:
        return len(self._now)

    def keep(self, key: Hashable, value: _Value) -> None:
        self._now[key] = value

    def recall(self, key: Hashable, compute: Callable[[], _Value]) -> _Value:
        for memory in (self._now, self._before):
            if key in memory:
                self._now[key] = memory[key]
                return memory[key]
        self._now[key] = compute()
        return self._now[key]
