"""Which backends clients do not get an answer from, by the handshakes of their pool. Pure.

Where replies go past this node, packets still say something of a backend: a client that was
answered goes on, one that was not sends its SYN again. A backend whose handshakes complete
far more seldom than those of the others in its service is *suspected*. The others are the
measure, and not a figure: a flood of SYNs from addresses that nobody has, or a client's own
network that breaks, is everybody's in proportion, and says nothing of anybody.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from dataplane.records import Handshakes

HALF_LIFE: Final = 5.0  # seconds; what was counted weighs half after that
_ENOUGH: Final = 30.0  # handshakes that should have been completed, so that chance is out
_FAR_BELOW: Final = 1 / 3  # of what should have been: suspected
_LIKE_OTHERS: Final = 2 / 3  # of what should have been: not suspected any more
_LOOKS: Final = 2  # in a row that say so: answers to what began just now are on their way
_PATIENCE: Final = 60.0  # seconds without enough to judge by; then it is tried again
_MOST: Final = 2  # one in so many of a service's backends is suspected at a time


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one backend."""

    begun: float = 0.0  # handshakes, those of late above all
    completed: float = 0.0
    is_suspected: bool = False
    against: int = 0  # looks in a row that contradict that
    unheard: float = 0.0  # seconds for which there was not enough to judge by
    usual: float = 0.0  # the part that the others complete, 0…1

    @property
    def ratio(self) -> float | None:
        """The part of its handshakes that are completed, 0…1; None: there were none."""
        return min(self.completed / self.begun, 1.0) if self.begun else None

    def __str__(self) -> str:
        """Say it of a backend that is suspected, after its name."""
        few = "far fewer" if self.ratio is None else f"{self.ratio:.0%}"
        return f"is suspected: {few} of its handshakes end, of others' {self.usual:.0%}"


Findings = Mapping[str, Finding]  # those of one service, by the backend's name


def look(before: Findings, gained: Mapping[str, Handshakes], seconds: float) -> Findings:
    """Return what is known of a service's backends, ``seconds`` after ``before``.

    ``gained`` is what was counted since, of every backend that there is.
    """
    summed = {
        name: _sum(before.get(name, Finding()), new, 0.5 ** (seconds / HALF_LIFE))
        for name, new in gained.items()
    }
    begun = sum(one.begun for one in summed.values())
    completed = sum(one.completed for one in summed.values())
    summed = {
        name: replace(one, usual=_usual(begun - one.begun, completed - one.completed))
        for name, one in summed.items()
    }
    parts = {
        name: _part(one) if completed - one.completed >= _ENOUGH else None
        for name, one in summed.items()
    }
    found = {
        name: _lift(one, parts[name], seconds) if one.is_suspected else one
        for name, one in summed.items()
    }
    room = len(found) // _MOST - sum(one.is_suspected for one in found.values())
    worst_first = sorted(found, key=lambda name: parts[name] or 0.0)
    for name in worst_first:
        if not summed[name].is_suspected:
            found[name] = _suspect(found[name], parts[name], may=room > 0)
            room -= found[name].is_suspected
    return found


def suspected(findings: Findings) -> frozenset[str]:
    """Return the names of those who are."""
    return frozenset(name for name, one in findings.items() if one.is_suspected)


def _sum(one: Finding, new: Handshakes, kept: float) -> Finding:
    return replace(
        one,
        begun=one.begun * kept + new.begun,
        completed=one.completed * kept + new.completed,
    )


def _usual(begun: float, completed: float) -> float:
    return min(completed / begun, 1.0) if begun else 0.0


def _part(one: Finding) -> float | None:
    """Return which part was completed of what would be usual; None: too little to say."""
    promised = one.begun * one.usual
    return one.completed / promised if promised >= _ENOUGH else None


def _suspect(one: Finding, part: float | None, *, may: bool) -> Finding:
    if part is None or part >= _FAR_BELOW:
        return replace(one, against=0) if one.against else one
    if one.against + 1 < _LOOKS or not may:
        return replace(one, against=min(one.against + 1, _LOOKS))
    # It gets fewer from now on: count anew.
    return Finding(is_suspected=True, usual=one.usual)


def _lift(one: Finding, part: float | None, seconds: float) -> Finding:
    if part is None:
        unheard = one.unheard + seconds
        return Finding() if unheard >= _PATIENCE else replace(one, unheard=unheard)
    if part < _LIKE_OTHERS:
        return replace(one, against=0, unheard=0.0)
    if one.against + 1 < _LOOKS:
        return replace(one, against=one.against + 1, unheard=0.0)
    return Finding()
