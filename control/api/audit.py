"""One line in the log for each change that was made or refused: who, what, how it ended.

Versions of the desired state are the store's to log, with who made them. Here are the other
changes, and what was refused: as many of these as a log can bear.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from control.api.identity import Peer

_log: Final = structlog.get_logger()


@dataclass(slots=True)
class Allowance:
    """What may happen ``burst`` times at once, and ``rate`` times a second for long."""

    burst: float = 20
    rate: float = 1
    _left: float = field(init=False)
    _at: float = field(init=False, default=0.0)
    _denied: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._left = self.burst

    def take(self, now: float) -> int | None:
        """Return how many were denied since the last that was not; None: this one is."""
        self._left = min(self.burst, self._left + (now - self._at) * self.rate)
        self._at = now
        if self._left < 1:
            self._denied += 1
            return None
        self._left -= 1
        denied, self._denied = self._denied, 0
        return denied


class Audit:
    """Writes the lines."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Write to the log; ``clock`` gives seconds."""
        self._clock = clock
        self._allowance = Allowance()

    def made(self, peer: Peer, method: str, answer: object) -> None:
        """Log a change, unless it is a version."""
        if not hasattr(answer, "version"):
            _log.info("change made", method=method, author=peer.author, via=peer.via)

    def refused(self, peer: Peer, method: str, code: str, problem: str) -> None:
        """Log a change that was refused, or would have been one."""
        unlogged = self._allowance.take(self._clock())
        if unlogged is None:
            return
        facts: dict[str, object] = {"unlogged": unlogged} if unlogged else {}
        _log.warning(
            "change refused",
            method=method,
            author=peer.author,
            via=peer.via,
            code=code,
            problem=problem,
            **facts,
        )
