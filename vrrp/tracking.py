"""What the findings of checks mean for an instance. No sockets, no clock, no tasks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from vrrp.machine import OWNER_PRIORITY


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found."""

    problem: str = ""  # completes "the check failed: …"; empty: all is well
    points: int | None = None  # of a file: what its weight is multiplied with

    @property
    def well(self) -> bool:
        """Whether all is well."""
        return not self.problem


UNKNOWN: Final = Finding("it has no result yet")


@dataclass(frozen=True, slots=True)
class Track:
    """That an instance heeds a check."""

    check: str  # its name
    weight: int  # -253…253; 0: the instance rests while the check fails


@dataclass(frozen=True, slots=True)
class Standing:
    """What an instance may be by what it tracks."""

    priority: int
    problem: str = ""  # why it has to rest; empty: it need not


def standing(
    base: int, tracks: Iterable[Track], findings: Mapping[str, Finding]
) -> Standing:
    """Return how an instance of priority ``base`` stands.

    A negative weight counts while the check fails, a positive one while it does not. The
    owner of the addresses remains it, others stay within 1…254.
    """
    priority, problems = base, []
    for track in tracks:
        finding = findings.get(track.check, UNKNOWN)
        if not track.weight:
            if not finding.well:
                problems.append(f"{track.check}: {finding.problem}")
        elif finding.points is not None:
            priority += track.weight * finding.points
        elif finding.well == (track.weight > 0):
            priority += track.weight
    if base == OWNER_PRIORITY:
        return Standing(base, "; ".join(problems))
    return Standing(max(1, min(priority, OWNER_PRIORITY - 1)), "; ".join(problems))


class Tally:
    """Results in a row that turn a finding; the very first result decides alone."""

    def __init__(self, rise: int, fall: int) -> None:
        self._needed = {True: rise, False: fall}
        self._in_a_row = 0
        self.finding = UNKNOWN

    def add(self, result: Finding) -> bool:
        """Take a result into account; tell whether the finding is another one now."""
        before = self.finding
        if before is UNKNOWN or result.well == before.well:
            self._in_a_row = 0
            self.finding = result
            return result != before
        self._in_a_row += 1
        if self._in_a_row < self._needed[result.well]:
            return False
        self._in_a_row = 0
        self.finding = result
        return True
