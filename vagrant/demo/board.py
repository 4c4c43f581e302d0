"""What the tour has to show at this moment; views read it whenever they like."""

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from vagrant.demo.claims import Claim
from vagrant.demo.request import Request

if TYPE_CHECKING:
    from vagrant.demo.download import Download
    from vagrant.lab.node import Node

WINDOW: Final = 1.0  # seconds over which rates are taken


@dataclass(slots=True)
class Phase:
    """One part of the tour."""

    name: str
    claims: list[Claim] = field(default_factory=list)
    begun: bool = False
    done: bool = False

    @property
    def mark(self) -> str:
        """One character for a list of phases."""
        if not self.done:
            return "▶" if self.begun else "·"
        return "✓" if all(claim.held for claim in self.claims) else "✗"


class Board:
    """The state of one tour; ``say`` is called with a line when there is something new."""

    def __init__(
        self,
        title: str,
        weights: Mapping[str, int],
        phases: Sequence[str],
        say: Callable[[str], None],
    ) -> None:
        self.title = title
        self.weights = weights
        self.phases = [Phase(name) for name in phases]
        self.download: Download | None = None
        self.failed = 0  # requests, in all phases
        self.nodes: Mapping[str, Node] = {}  # empty: they are not there yet
        self._say = say
        self._recent: deque[Request] = deque()

    @property
    def claims(self) -> list[Claim]:
        """All that has been measured so far."""
        return [claim for phase in self.phases for claim in phase.claims]

    def vrrp_states(self) -> dict[str, str]:
        """Return what each node is to VRRP."""
        return {name: node.vrrp_state() or "off" for name, node in self.nodes.items()}

    def begin(self, phase: int) -> None:
        """Begin a phase."""
        self.phases[phase].begun = True
        self._say(f"{self.title}: {self.phases[phase].name} …")

    def finish(self, phase: int, *claims: Claim) -> None:
        """End a phase with what was measured in it."""
        self.phases[phase].claims.extend(claims)
        self.phases[phase].done = True
        for claim in claims:
            mark = "held  " if claim.held else "FAILED"
            self._say(f"  {mark}  {claim.sentence}: {claim.measured}")

    def request_ended(self, request: Request) -> None:
        """Take note of a request."""
        self.failed += not request.answered
        self._recent.append(request)

    def answers_per_second(self) -> Counter[str | None]:
        """Return how often each backend answered lately; None counts failures."""
        start = time.monotonic() - WINDOW
        while self._recent and self._recent[0].ended < start:
            self._recent.popleft()
        return Counter(request.backend for request in tuple(self._recent))
