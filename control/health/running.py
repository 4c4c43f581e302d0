"""A probe that goes on, and what it has found out so far."""

import asyncio
import math
from collections import deque
from dataclasses import dataclass, field

from control.facts import BackendKey
from control.health.memory import KEPT, Memory
from control.health.probe import Probe
from control.health.result import Result
from control.health.tracker import Tracker
from control.status import Health, Outcome, ProbeResult, ProbeStatus


@dataclass(slots=True, eq=False)
class Running:
    """Changed by the monitor alone, on the event loop."""

    probe: Probe
    tracker: Tracker
    task: asyncio.Task[None] | None = None
    users: list[BackendKey] = field(default_factory=list)
    since: float | None = None  # Unix time
    problem: str = ""  # of the last probe that had a result
    hindrance: str = ""  # why the last probe had none
    weight: int | None = None  # that the last success has given
    results: deque[ProbeResult] = field(default_factory=lambda: deque(maxlen=KEPT))

    def recall(self, memory: Memory) -> None:
        """Go on where the guidewayd before has ended."""
        self.tracker, self.since = memory.tracker, memory.since
        self.weight = memory.weight
        self.results.extend(memory.results)
        for result in reversed(memory.results):
            if result.outcome is not Outcome.NONE:
                self.problem = result.problem
                break

    def memory(self) -> Memory:
        """Return what the next guidewayd should know."""
        return Memory(self.tracker, self.since, self.weight, tuple(self.results))

    def observe(self, result: Result, now: float, duration: float) -> bool:
        """Count a result that came at ``now``; tell whether it is worth remembering.

        It is if it changes something. One like those before it is not: of thousands of
        probes, that would keep the disk busy for nothing.
        """
        tracker, weight, problem = self.tracker, self.weight, self.problem
        failed = bool(result.problem)
        self.problem, self.hindrance = result.problem, ""
        if not failed:
            self.weight = result.weight
        self.tracker = tracker.observe(not failed, self.probe.check, now)
        if self.tracker.health is not tracker.health:
            self.since = now
        outcome = Outcome.FAILED if failed else Outcome.PASSED
        self.results.append(ProbeResult(now, duration, outcome, result.problem))
        return (
            self.tracker is not tracker or self.weight != weight or self.problem != problem
        )

    def hindered(self, why: str, now: float, duration: float) -> None:
        """Note that no probe was possible, which says nothing of the backend."""
        self.hindrance = why
        self.results.append(ProbeResult(now, duration, Outcome.NONE, why))

    def complaint(self, now: float) -> str:
        """Say what is wrong at ``now``; "" if nothing is."""
        hold = self.tracker.hold(self.probe.check, now)
        flapping = f"flapping: up again at the earliest in {math.ceil(hold)} s"
        found = (self.problem or self.hindrance, flapping if hold else "")
        return "; ".join(filter(None, found))

    def status(self, now: float) -> ProbeStatus:
        """Return all that is known at ``now``."""
        check, tracker = self.probe.check, self.tracker
        needed = {Health.UP: check.fall, Health.DOWN: check.rise}.get(tracker.health, 0)
        return ProbeStatus(
            check=check,
            port=self.probe.port,
            health=tracker.health,
            since=self.since,
            against=tracker.against,
            needed=needed,
            hold=tracker.hold(check, now),
            results=tuple(self.results),
        )
