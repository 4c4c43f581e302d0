"""Counting probe results. Pure."""

from dataclasses import dataclass, replace
from typing import Self

from control.status import Health


@dataclass(frozen=True, slots=True)
class Tracker:
    """One backend's verdict and the run of probe results that argues against it."""

    health: Health = Health.UNKNOWN
    against: int = 0

    def observe(self, *, success: bool, rise: int, fall: int) -> Self:
        """Return the tracker after one more probe result.

        The first result decides alone: after a start nobody waits for ``rise`` rounds.
        """
        verdict = Health.UP if success else Health.DOWN
        if self.health in (verdict, Health.UNKNOWN):
            return replace(self, health=verdict, against=0)
        against = self.against + 1
        if against < (rise if success else fall):
            return replace(self, against=against)
        return replace(self, health=verdict, against=0)
