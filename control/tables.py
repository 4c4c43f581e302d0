"""The Maglev tables of the last two rounds: a round computes only what has changed."""

from collections.abc import Callable

from maglev import build, overlay

Pool = tuple[tuple[bytes, int], ...]  # identity and weight of each backend
Table = tuple[int, ...]  # an index into the pool for each slot


class Tables:
    """Remembers the tables that are in use, and forgets those that are not any more."""

    def __init__(self) -> None:
        self._before: dict[object, Table] = {}
        self._now: dict[object, Table] = {}

    def begin_round(self) -> None:
        """Forget what the last round did not ask for."""
        self._before, self._now = self._now, {}

    def effective(self, pool: Pool, size: int, down: frozenset[int]) -> Table:
        """Return the table of ``pool`` in which those in ``down`` have no slot."""
        return self._remember(
            (pool, size, down), lambda: tuple(overlay(self._base(pool, size), pool, down))
        )

    def _base(self, pool: Pool, size: int) -> Table:
        return self._remember((pool, size), lambda: tuple(build(pool, size)))

    def _remember(self, key: object, compute: Callable[[], Table]) -> Table:
        table = self._now.get(key) or self._before.get(key) or compute()
        self._now[key] = table
        return table
