"""Counting probe results. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Self

from control.check_common import Check, Initial
from control.status import Health

_INITIALLY = {Initial.UP: Health.UP, Initial.DOWN: Health.DOWN}


# A backend that flaps is kept down for a 16th of `damping` at first, then for twice as long
# each time, up to the whole of it.
_DOUBLINGS: Final = 4


@dataclass(frozen=True, slots=True)
class Tracker:
    """One probe's verdict and the run of results that argues against it.

    Points in time are Unix time, so that they mean the same after a restart.
    """

    health: Health = Health.UNKNOWN
    against: int = 0
    rose: float | None = None  # when it was brought up last; None: it was not
    flaps: int = 0  # how often in a row it went down soon after it was brought up
    held: float = 0.0  # it stays down until then, whatever its probes say

    @classmethod
    def begin(cls, initial: Initial, before: Health | None) -> Self:
        """Return the tracker before the first result; ``before``: what is remembered."""
        if initial is Initial.BEFORE:
            return cls(before or Health.UNKNOWN)
        return cls(_INITIALLY.get(initial, Health.UNKNOWN))

    def observe(self, success: bool, check: Check, now: float) -> Self:
        """Return the tracker after one more probe result, at ``now``.

        Where nothing is known, the first result decides alone: nobody waits for ``rise``
        rounds after a start.
        """
        verdict = Health.UP if success else Health.DOWN
        if self.health is verdict:
            return replace(self, against=0) if self.against else self
        if self.health is Health.UNKNOWN:
            return replace(self, health=verdict, against=0)
        needed = check.rise if success else check.fall
        against = self.against + 1
        if against < needed:
            return replace(self, against=against)
        if not success:
            return self._fallen(check.damping, now)
        if self.hold(check, now):
            return replace(self, against=needed)
        return replace(self, health=verdict, against=0, rose=now)

    def hold(self, check: Check, now: float) -> float:
        """Return the seconds for which it stays down because it flaps; 0: it does not."""
        # Whatever becomes of the clock, it is never held for longer than `damping`.
        return max(0.0, min(self.held - now, check.damping))

    def _fallen(self, damping: float, now: float) -> Self:
        flaps = 0
        if self.rose is not None and now < self.rose + damping:
            flaps = min(self.flaps, _DOUBLINGS) + 1
        held = now + damping / 2 ** (_DOUBLINGS + 1 - flaps) if flaps else 0.0
        return replace(self, health=Health.DOWN, against=0, flaps=flaps, held=held)

    def pause(self, check: Check, luck: float) -> float:
        """Return the seconds from the probe just made to the next; ``luck`` is in -1…1."""
        doubtful = self.against > 0 and check.retry_interval is not None
        seconds = check.retry_interval if doubtful else check.interval
        assert seconds is not None  # noqa: S101 - doubtful says so
        return seconds * (1 + check.jitter * luck)


def together(verdicts: Iterable[Health]) -> Health:
    """Return the verdict on a backend from those of its probes: all have to pass."""
    given = set(verdicts)
    for worst in (Health.DOWN, Health.UNKNOWN):
        if worst in given:
            return worst
    return Health.UP


def weighed(configured: int, weights: Iterable[int], most: int) -> int:
    """Return what a backend weighs if its probes would have it weigh ``weights``.

    As in keepalived, each adds its difference to what is ``configured``; 0…``most``.
    """
    return min(max(configured + sum(weight - configured for weight in weights), 0), most)
