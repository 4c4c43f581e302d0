"""Waiting for a condition with a deadline, instead of sleeping and hoping."""

import time
from collections.abc import Callable
from typing import TypeVar

from vagrant.lab.errors import NotInTimeError

T = TypeVar("T")


def eventually(
    condition: Callable[[], T],
    *,
    within: float,
    what: str,
    every: float = 0.02,
    explain: Callable[[], str] | None = None,
) -> T:
    """Return the first true value of ``condition()``, or raise NotInTimeError.

    ``within`` and ``every`` are seconds. The condition is tried at least once, and once
    more when the time is up; ``explain`` is asked only then, for what may tell the reason.
    """
    deadline = time.monotonic() + within
    while True:
        late = time.monotonic() >= deadline
        value = condition()
        if value:
            return value
        if late:
            raise NotInTimeError(what, within, explain() if explain else "")
        time.sleep(every)
