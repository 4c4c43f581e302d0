"""Backends that drain, and until when. Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime

from control.desired import DesiredState
from control.facts import BackendKey
from control.model import Backend


def overdue(desired: DesiredState, now: float) -> frozenset[BackendKey]:
    """Return the backends whose deadline has passed; ``now`` is the Unix time."""
    return frozenset(key for key, deadline in _deadlines(desired) if deadline <= now)


def next_deadline(desired: DesiredState, now: float) -> float | None:
    """Return the Unix time of the deadline that passes next; None: there is none."""
    coming = (deadline for _, deadline in _deadlines(desired) if deadline > now)
    return min(coming, default=None)


def deadline_text(backend: Backend) -> str:
    """Return a deadline as files spell it, ISO 8601 in UTC; "": there is none."""
    if backend.drain_deadline is None:
        return ""
    return datetime.fromtimestamp(backend.drain_deadline, UTC).isoformat()


def _deadlines(desired: DesiredState) -> Iterator[tuple[BackendKey, float]]:
    for service in desired:
        for backend in service.backends:
            if backend.drain_deadline is not None:
                yield (service.name, backend.name), backend.drain_deadline
