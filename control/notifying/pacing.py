"""When the next mail is due. Pure; times are of one monotonic clock."""

from dataclasses import dataclass
from typing import Final

MAX_TRIES: Final = 10  # of one mail; with these pauses they take an hour and a half
_FIRST_PAUSE: Final = 30.0  # seconds after a failure, doubled by each one that follows
_LONGEST_PAUSE: Final = 900.0  # seconds


@dataclass(slots=True)
class Pace:
    """Mails gather, keep their distance, and are tried again later and later."""

    gather: float  # seconds
    interval: float  # seconds
    _sent: float = float("-inf")
    _waits: float | None = None  # since when
    _tried: float = 0.0
    failures: int = 0  # since one was sent

    def wait(self, now: float) -> None:
        """Note that there is something to be sent, from ``now`` on at the latest."""
        if self._waits is None:
            self._waits = now

    def due(self) -> float:
        """Return when to send; infinity if there is nothing."""
        if self._waits is None:
            return float("inf")
        due = max(self._waits + self.gather, self._sent + self.interval)
        if self.failures:
            pause = _FIRST_PAUSE * 2 ** (self.failures - 1)
            due = max(due, self._tried + min(pause, _LONGEST_PAUSE))
        return due

    def sent(self, now: float, *, more: bool) -> None:
        """Note that a mail was sent; there is ``more`` to send if that came meanwhile."""
        self._sent, self.failures = now, 0
        self._waits = now if more else None

    def failed(self, now: float) -> bool:
        """Note that it was not; return whether it is worth another try."""
        self._tried = now
        self.failures += 1
        return self.failures < MAX_TRIES

    def give_up(self, now: float, *, more: bool) -> None:
        """Note that a mail is not tried again; the next one is, as the first was."""
        self.failures = 0
        self._sent = now
        self._waits = now if more else None
