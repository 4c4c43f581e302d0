"""Timing a program: the same packets through it and through one that does nothing."""

from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from bench.packet_cost.feeder import Feeders
from bench.packet_cost.layout import Template
from bench.xdp_programs import Programs
from dataplane.libbpf import ProgRun

ROUNDS: Final = 4  # of a row, for each load of the program
REPEAT: Final = 1_000_000  # packets of a round

_PRICES: Final = Path(__file__).with_name("prices.c")
_NOTHING: Final = "nothing"
_XDP_TX: Final = 3  # enum xdp_action


@dataclass(frozen=True, slots=True)
class Cost:
    """Nanoseconds per packet: of the best and of the median run."""

    least: float
    median: float


@dataclass(slots=True)
class Samples:
    """Nanoseconds per packet of each run, the feeder's own included."""

    program: list[int] = field(default_factory=list)
    nothing: list[int] = field(default_factory=list)

    @property
    def net(self) -> Cost:
        """What the program costs more than nothing."""
        floor = self.floor
        return Cost(min(self.program) - floor.least, median(self.program) - floor.median)

    @property
    def floor(self) -> Cost:
        """What the feeder costs together with a program that does nothing."""
        return Cost(min(self.nothing), median(self.nothing))

    def add(self, other: "Samples") -> None:
        """Add the runs of ``other``."""
        self.program += other.program
        self.nothing += other.nothing


@dataclass(frozen=True, slots=True)
class Load:
    """What to feed: flows, and the VIPs that they go to, each in turn."""

    template: Template
    flows: int
    vips: int = 1  # a power of two


class WrongVerdictError(Exception):
    """A packet came out of a program with another verdict than the row is about."""


class Timer:
    """Feeders, and the program that does nothing."""

    def __init__(self) -> None:
        self.parts = Programs(_PRICES)
        self._feeders = Feeders()
        self._nothing = self.parts.load(_NOTHING)

    def time(
        self, program: int, load: Load, verdict: int, *, rounds: int = ROUNDS
    ) -> Samples:
        """Run ``program`` for ``rounds`` times, and nothing between every two.

        Raises WrongVerdictError if the last packet of a run has not this ``verdict``.
        """
        samples = Samples()
        for turn in range(rounds):
            if turn % 2 == 0:  # its figures hardly vary
                samples.nothing.append(self._time(self._nothing, load, _XDP_TX))
            samples.program.append(self._time(program, load, verdict))
        return samples

    def run(self, program: int, load: Load, repeat: int = REPEAT) -> ProgRun:
        """Run ``program`` on ``repeat`` packets; what returns is the last one."""
        feeder = self._feeders.of(load.template.layout)
        feeder.feed(program, load.template, flows=load.flows, vips=load.vips)
        return feeder.run(load.template.frame, repeat)

    def _time(self, program: int, load: Load, verdict: int) -> int:
        run = self.run(program, load)
        if run.verdict != verdict:
            raise WrongVerdictError(f"the verdict is {run.verdict}, not {verdict}")
        return run.duration_ns
