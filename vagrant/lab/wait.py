"""Waiting for a condition with a deadline, instead of sleeping and hoping."""

import os
import time
from collections.abc import Callable
from typing import Final, TypeVar

from vagrant.lab.errors import NotInTimeError

T = TypeVar("T")

# How many times longer everything may take here than on a real machine: emulators are slow.
PATIENCE: Final = float(os.environ.get("GUIDEWAY_PATIENCE", "1"))


def eventually(
    condition: Callable[[], T],
    *,
    within: float,
    what: str,
    every: float = 0.02,
    explain: Callable[[], str] | None = None,
) -> T:
    """Return the first true value of ``condition()``, or raise NotInTimeError.

    ``within`` and ``every`` are seconds; the first is multiplied by PATIENCE. The condition
    is tried at least once, and once more when the time is up; ``explain`` is asked only
    then, for what may tell the reason.
    """
    within *= PATIENCE
    deadline = time.monotonic() + within
    while True:
        late = time.monotonic() >= deadline
        value = condition()
        if value:
            return value
        if late:
            raise NotInTimeError(what, within, explain() if explain else "")
        time.sleep(every)
