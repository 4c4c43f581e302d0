"""The slow starts of a running guidewayd, by its clock. See control/slow_start.py."""

import time
from collections.abc import Callable, Mapping, Sequence

from control.desired import DesiredState
from control.facts import BackendKey
from control.serving import Served
from control.slow_start import recalled, served_by, since, steps
from dataplane.image import Image


class Starts:
    """Remembers since when each backend serves, of services with a slow start."""

    def __init__(
        self,
        wanted: Callable[[], DesiredState],
        served: Callable[[], Sequence[Served] | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remember nothing yet; ``served`` is how services came out last, None: not yet."""
        self._clock = clock
        self._wanted = wanted
        self._served = served
        self._began: dict[BackendKey, float] = {}  # see slow_start.since
        self._steps: dict[BackendKey, int] = {}
        self._judged: tuple[DesiredState | None, bool] = (None, False)

    def recall(self, known: Callable[[], Image], weights: Mapping[BackendKey, int]) -> None:
        """Begin with how far backends are by what the maps hold, if anybody wants to know.

        Takes its time, and may be called from any thread.
        """
        state = self._wanted()
        if _any_slow(state):
            self._began = recalled(state, weights, known(), self._clock())

    def look(self) -> dict[BackendKey, int]:
        """Return how far backends that start slowly have come; those that begin, begin."""
        state, now = self._wanted(), self._clock()
        if state is not self._judged[0]:
            self._judged = state, _any_slow(state)
        if not self._judged[1]:
            self._began, self._steps = {}, {}
            return self._steps
        served = self._served()
        serving = self._began.keys() if served is None else served_by(state, served)
        self._began = since(self._began, state, serving, now)
        self._steps = steps(self._began, state, now)
        return self._steps

    def moved(self) -> bool:
        """Look, and tell whether any backend is further than when somebody looked last."""
        before = self._steps
        return self.look() != before


def _any_slow(state: DesiredState) -> bool:
    return any(service.pool.slow_start for service in state)
