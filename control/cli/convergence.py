"""Waiting until a version of the desired state is what the node does."""

import sys
import time
from collections.abc import Collection, Iterable
from shutil import get_terminal_size
from typing import Final

import click

from control.api.v1 import guideway_pb2 as pb
from control.cli.client import Client, Failure
from control.cli.session import Session

_POLL_INTERVAL: Final = 0.1  # seconds at least, and no less than a look takes
_SAY_AFTER: Final = 1.0  # seconds
_FEW: Final = 16  # services that are asked for one by one
_CLEAR_LINE: Final = "\r\x1b[K"


def wait_for(session: Session, version: int, services: Collection[str] | None) -> None:
    """Wait until the kernel has ``version``, and of ``services``, or all, who is up serves.

    What it waits for is said on a terminal. Raise Failure if it takes longer than the
    session's patience, at once if there is nothing to wait for, or if nobody serves one of
    ``services`` then that has backends.
    """
    client, limit = session.client, session.patience
    began = time.monotonic()
    progress = _Progress(limit)
    try:
        while missing := _missing(client, version, services):
            now = time.monotonic()
            if now - began > limit:
                raise Failure(
                    f"version {version} is stored, but after {limit:g} s {missing}: "
                    "`guideway status` and `guideway backend list` say more"
                )
            progress.say(missing, now - began)
            time.sleep(max(_POLL_INTERVAL, time.monotonic() - now))
    finally:
        progress.end()
    for status in _look(client, services or ()):
        wanted = [backend for backend in status.backends if _is_wanted(backend)]
        if wanted and not status.ring_size:
            name = wanted[0].backend.name
            raise Failure(
                f"version {version} is in the kernel, but nobody serves "
                f"{status.service.name}: {name}: {wanted[0].reason}"
            )


def is_terminal() -> bool:
    """Tell whether somebody looks at stderr."""
    return sys.stderr.isatty()


class _Progress:
    """A line on stderr, if that is a terminal, that goes away in the end."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._is_shown = False
        self._is_told = is_terminal()

    def say(self, missing: str, waited: float) -> None:
        """Say what is waited for, when it has taken a moment."""
        if not self._is_told or waited < _SAY_AFTER:
            return
        line = f"waiting {waited:.0f} s of {self._limit:g}: {missing}"
        width = get_terminal_size().columns - 1
        click.echo(f"{_CLEAR_LINE}{line[:width]}", nl=False, err=True)
        self._is_shown = True

    def end(self) -> None:
        """Take the line away."""
        if self._is_shown:
            click.echo(_CLEAR_LINE, nl=False, err=True)


def _missing(client: Client, version: int, services: Collection[str] | None) -> str:
    """Say what is not as ``version`` wants it; "" if everything is."""
    node = client.call(lambda stub: stub.GetStatus, pb.GetStatusRequest()).node
    if node.detached:
        raise Failure(
            f"version {version} is stored, but there is no kernel to wait for: the data "
            "plane is detached; `guideway dataplane reload` attaches it, and fills it with "
            "this version"
        )
    if node.applied_version < version:
        return f"the kernel has version {node.applied_version}"
    waits = [
        f"{status.service.name}/{backend.backend.name}: {reason}"
        for status in _look(client, services)
        for backend in status.backends
        if (reason := _lack(backend))
    ]
    more = f", and {len(waits) - 1} more" if len(waits) > 1 else ""
    return f"not all backends serve: {waits[0]}{more}" if waits else ""


def _look(client: Client, services: Collection[str] | None) -> Iterable[pb.ServiceStatus]:
    """Return how these services are; None: all of them."""
    if services is not None and len(services) <= _FEW:
        return [
            client.call(lambda stub: stub.GetService, request).service
            for request in (pb.GetServiceRequest(name=name) for name in services)
        ]
    answer = client.call(lambda stub: stub.ListServices, pb.ListServicesRequest())
    return [
        one for one in answer.services if services is None or one.service.name in services
    ]


def _lack(status: pb.BackendStatus) -> str:
    """Say what keeps a backend from serving that nothing is known against; "": nothing."""
    if status.health == pb.HEALTH_UNKNOWN:
        return status.reason or "its health is not known"
    if status.health == pb.HEALTH_DOWN or status.share or not _is_wanted(status):
        return ""
    return status.reason


def _is_wanted(status: pb.BackendStatus) -> bool:
    """Tell whether a backend is meant to get new flows."""
    has_dynamic = status.HasField("dynamic_weight")
    weight = status.dynamic_weight if has_dynamic else status.backend.weight
    return bool(weight) and status.backend.state == pb.BACKEND_STATE_ACTIVE
