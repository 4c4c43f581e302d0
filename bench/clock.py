"""Timing: how long something takes when it is repeated on one core."""

import gc
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Self, TypeVar

Work = Callable[[], object]
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Timing:
    """The quickest and the median run, in milliseconds."""

    best_ms: float
    median_ms: float

    @classmethod
    def of(cls, runs_ns: Sequence[int]) -> Self:
        """Return the timing of runs that took so many nanoseconds."""
        return cls(min(runs_ns) / 1e6, median(runs_ns) / 1e6)


def settle() -> int:
    """Stay on one core from now on, without garbage collections; return the core."""
    core = max(os.sched_getaffinity(0))  # interrupts tend to be on the first
    os.sched_setaffinity(0, {core})
    gc.disable()
    return core


def clock(works: Sequence[Work], runs: int) -> list[Timing]:
    """Return the timings of ``works``, of which each is done ``runs`` times.

    They take turns, so that a slow moment of the machine does not hit one alone.
    """
    taken = [[_nanoseconds(work) for work in works] for _ in range(runs)]
    return [Timing.of(runs_ns) for runs_ns in zip(*taken, strict=True)]


def clock_once(work: Callable[[], _Result]) -> tuple[_Result, float]:
    """Return what ``work`` returns, and its milliseconds; for what is slow anyway."""
    start_ns = time.perf_counter_ns()
    result = work()
    return result, (time.perf_counter_ns() - start_ns) / 1e6


def _nanoseconds(work: Work) -> int:
    start_ns = time.perf_counter_ns()
    work()
    return time.perf_counter_ns() - start_ns
