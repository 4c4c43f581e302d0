"""A change that is undone unless somebody confirms it in time.

The deadline is stored with the change, so that a restart does not forget it. A clock that
is set does not move it: within a boot the clock counts that nobody can set. After a reboot
there is only the time of day left, and no wait is longer than it was at first.
"""

import math
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from control.errors import ConfigError

MIN_TIMEOUT: Final = 1.0  # seconds
MAX_TIMEOUT: Final = 86400.0  # seconds
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Instant:
    """A point in time, by each clock that there is."""

    wall: float  # Unix time
    boottime: float  # seconds since the host was booted, sleep included
    boot: str  # which boot that was


@dataclass(frozen=True, slots=True)
class Pending:
    """A version that waits for its confirmation."""

    version: int
    base: int  # the version before, which comes back; 0: nothing was ever wanted
    timeout: float  # seconds
    since: Instant

    def left(self, now: Instant) -> float:
        """Return the seconds until it is undone, 0…timeout."""
        if now.boot == self.since.boot:
            passed = now.boottime - self.since.boottime
        else:
            passed = now.wall - self.since.wall
        return min(max(self.timeout - passed, 0.0), self.timeout)


def instant() -> Instant:
    """Return what the clocks show."""
    return Instant(
        wall=time.time(),
        boottime=time.clock_gettime(time.CLOCK_BOOTTIME),
        boot=_boot(),
    )


@cache
def _boot() -> str:
    return _BOOT_ID.read_text(encoding="ascii").strip()


def check_timeout(timeout: float) -> None:
    """Raise ConfigError if nobody can be given so many seconds to confirm."""
    if math.isnan(timeout) or not MIN_TIMEOUT <= timeout <= MAX_TIMEOUT:
        raise ConfigError(
            "confirm_timeout",
            f"{timeout:g} s is not in {MIN_TIMEOUT:g}…{MAX_TIMEOUT:g} s",
        )
