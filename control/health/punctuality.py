"""How much time this process loses, because it is not woken or has too much to do.

A probe during which much was lost has not found a silent backend but a busy node: if its
time-outs counted, a node at its limits would take all its backends down at once.
"""

import asyncio
import time
from typing import Final

_PERIOD: Final = 0.05  # seconds
_USUAL: Final = 0.05  # seconds that a wake-up may be late: no probe suffers from that


class Punctuality:
    """Measures while :meth:`watch` runs."""

    def __init__(self) -> None:
        self.lost = 0.0  # seconds, altogether

    async def watch(self) -> None:
        """Measure until cancelled."""
        while True:
            due = time.monotonic() + _PERIOD
            await asyncio.sleep(_PERIOD)
            late = time.monotonic() - due
            if late > _USUAL:
                self.lost += late
