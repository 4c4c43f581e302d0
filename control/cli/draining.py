"""Waiting for a backend that drains, and saying how far it is."""

import time
from dataclasses import dataclass
from typing import Final

import click

from control.api.v1 import guideway_pb2 as pb
from control.cli.client import Client, Unanswered
from control.cli.tables import age

_INTERVAL: Final = 1.0  # seconds from look to look
_SAY_EVERY: Final = 5.0  # seconds
_PATIENCE: Final = 60.0  # seconds in which guidewayd has to be back, without a deadline


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found of the backend at one time."""

    time: float  # Unix time
    packets: int  # sent to it so far
    deadline: float | None  # Unix time; None: it has as long as it takes


@dataclass(slots=True)
class Progress:
    """Tells from one look after the other whether anybody still talks to the backend."""

    quiet: float  # seconds without a packet that mean that no flow is left
    packets: int = -1
    last: float = 0.0  # Unix time of the last look that found new packets

    def observe(self, seen: Seen) -> bool:
        """Take in a look; return whether the wait is over."""
        if seen.packets != self.packets:
            self.packets, self.last = seen.packets, seen.time
        return self.is_quiet(seen) or is_late(seen)

    def is_quiet(self, seen: Seen) -> bool:
        """Tell whether there has been no packet for long enough."""
        return seen.time - self.last >= self.quiet

    def sentence(self, seen: Seen) -> str:
        """Say how far it is."""
        silent = seen.time - self.last
        left = "no deadline"
        if seen.deadline is not None:
            left = f"{age(seen.deadline - seen.time)} until the deadline"
        busy = "packets still come"
        if silent:
            busy = f"no packet for {age(silent)} of {age(self.quiet)}"
        return f"{busy}; {left}"


@dataclass(slots=True)
class Patience:
    """How long a guidewayd that does not answer is asked again: it may be restarted.

    Until the deadline, or for a minute if there is none, or little is left of it.
    """

    end: float | None = None  # Unix time; None: it answers
    deadline: float = 0.0  # Unix time; 0: none is known

    def gain(self, seen: Seen) -> None:
        """Take in an answer."""
        self.end, self.deadline = None, seen.deadline or 0.0

    def lose(self, error: Unanswered, now: float) -> None:
        """Take in that there was none at ``now``; raise ``error`` if that was the last."""
        if self.end is None:
            self.end = max(self.deadline, now + _PATIENCE)
            left = age(self.end - now)
            click.echo(f"{error.format_message()}; trying again for {left}", err=True)
        if now >= self.end:
            raise error


def is_late(seen: Seen) -> bool:
    """Tell whether the deadline has passed."""
    return seen.deadline is not None and seen.time >= seen.deadline


def wait_until_drained(client: Client, service: str, backend: str, quiet: float) -> str:
    """Return, with a sentence, when the backend has no flows left or the deadline passed.

    Progress goes to stderr.
    """
    progress, patience, said = Progress(quiet), Patience(), time.time()
    while True:
        try:
            seen = _look(client, service, backend)
        except Unanswered as error:
            patience.lose(error, time.time())
            time.sleep(_INTERVAL)
            continue
        patience.gain(seen)
        if progress.observe(seen):
            break
        if seen.time - said >= _SAY_EVERY:
            said = seen.time
            click.echo(f"{backend}: {progress.sentence(seen)}", err=True)
        time.sleep(_INTERVAL)
    if progress.is_quiet(seen):
        return f"nobody has sent it anything for {age(quiet)}"
    _until_cut(client, service, backend)
    return "its deadline has passed, and what flows it still had are cut"


def _look(client: Client, service: str, backend: str) -> Seen:
    status = _status(client, service, backend)
    if status.backend.state != pb.BACKEND_STATE_DRAINING:
        raise click.ClickException(
            f"{backend} does not drain any more: somebody changed it"
        )
    deadline = status.backend.drain_deadline
    answer = client.call(lambda stub: stub.GetStatistics, pb.GetStatisticsRequest())
    packets = next(
        (
            one.traffic.packets
            for one in answer.backends
            if (one.service, one.backend) == (service, backend)
        ),
        0,
    )
    known = status.backend.HasField("drain_deadline")
    return Seen(time.time(), packets, deadline if known else None)


def _is_cut(client: Client, service: str, backend: str) -> bool:
    return "deadline" in _status(client, service, backend).reason


def _status(client: Client, service: str, backend: str) -> pb.BackendStatus:
    request = pb.GetServiceRequest(name=service)
    status = client.call(lambda stub: stub.GetService, request).service
    for one in status.backends:
        if one.backend.name == backend:
            return one
    raise click.ClickException(f"{backend} is gone: somebody removed it")


def _until_cut(client: Client, service: str, backend: str) -> None:
    patience = Patience()
    while True:
        try:
            if _is_cut(client, service, backend):
                return
        except Unanswered as error:
            patience.lose(error, time.time())
        time.sleep(_INTERVAL / 10)
