"""One request, as the demo records it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Request:
    """One request and what became of it; times are of the monotonic clock."""

    started: float
    ended: float
    port: int  # the client's, which tells its packets from those of other requests
    backend: str | None  # who answered; None: it failed
    error: str = ""  # why

    @property
    def answered(self) -> bool:
        """Whether there was an answer, complete and in time."""
        return self.backend is not None
