"""How late timers are, and which advertisements pass: numbers for the status. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

# Seconds; the last bucket has no end. Advertisements may be 10 ms apart.
BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0)


class Advert(StrEnum):
    """What an advertisement says, but for its numbers."""

    ALIVE = "alive"
    RESIGNS = "resigns"  # priority 0


def advert(priority: int) -> Advert:
    """Return what an advertisement with that priority says."""
    return Advert.ALIVE if priority else Advert.RESIGNS


@dataclass(slots=True)
class Lateness:
    """A histogram of how late timers were."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0  # seconds
    most: float = 0.0  # seconds

    def add(self, late: float) -> None:
        """Count a timer that was ``late`` seconds late; less than 0: it was not due."""
        if late < 0:
            return
        place = next((i for i, end in enumerate(BOUNDS) if late <= end), len(BOUNDS))
        self.counts[place] += 1
        self.total += late
        self.most = max(self.most, late)

    def told(self) -> Mapping[str, int]:
        """Return how many there were up to each bound, the last one ``+Inf``."""
        told, so_far = {}, 0
        for end, count in zip((*map(str, BOUNDS), "+Inf"), self.counts, strict=True):
            so_far += count
            told[end] = so_far
        return told


@dataclass(slots=True)
class Traffic:
    """Advertisements that were sent, and those that were heeded."""

    sent: Counter[Advert] = field(default_factory=Counter)
    heard: Counter[Advert] = field(default_factory=Counter)
    unsent: int = 0  # that the kernel did not take
