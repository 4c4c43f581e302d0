"""When the whole machine stood still, and what else happened without that. Pure.

A virtual machine is stopped by its host now and then, for tens of milliseconds, with all
its processors. No program is on time then. What comes without that is ours to mend.
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

Stretch: TypeAlias = tuple[float, float]  # from when until when, in seconds


def standstills(late: Iterable[Sequence[Stretch]], least: float) -> list[Stretch]:
    """Return the stretches of ``least`` seconds or more that all processors share.

    ``late`` has for each processor when its witness was late, in order and apart.
    """
    first, *others = late
    shared = list(first)
    for other in others:
        shared = _in_both(shared, other)
    return [(begin, end) for begin, end in shared if end - begin >= least]


def unexcused(
    changes: Iterable[float], stood: Sequence[Stretch], within: float
) -> list[float]:
    """Return the times in ``changes`` with no standstill up to ``within`` s before."""
    return [
        at for at in changes if not any(begin <= at <= end + within for begin, end in stood)
    ]


def _in_both(some: Sequence[Stretch], others: Sequence[Stretch]) -> list[Stretch]:
    shared = ((max(a, c), min(b, d)) for a, b in some for c, d in others)
    return [(begin, end) for begin, end in shared if begin < end]
