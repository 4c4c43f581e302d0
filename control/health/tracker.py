"""Counting probe results. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from control.checks import Check, Initial
from control.status import Health

_INITIALLY = {Initial.UP: Health.UP, Initial.DOWN: Health.DOWN}


@dataclass(frozen=True, slots=True)
class Tracker:
    """One probe's verdict and the run of results that argues against it."""

    health: Health = Health.UNKNOWN
    against: int = 0

    @classmethod
    def begin(cls, initial: Initial, before: Health | None) -> Self:
        """Return the tracker before the first result; ``before``: what is remembered."""
        if initial is Initial.BEFORE:
            return cls(before or Health.UNKNOWN)
        return cls(_INITIALLY.get(initial, Health.UNKNOWN))

    def observe(self, *, success: bool, rise: int, fall: int) -> Self:
        """Return the tracker after one more probe result.

        Where nothing is known, the first result decides alone: nobody waits for ``rise``
        rounds after a start.
        """
        verdict = Health.UP if success else Health.DOWN
        if self.health in (verdict, Health.UNKNOWN):
            return replace(self, health=verdict, against=0)
        against = self.against + 1
        if against < (rise if success else fall):
            return replace(self, against=against)
        return replace(self, health=verdict, against=0)

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
