"""Looking at the handshakes of services that want it, for as long as the daemon runs."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from control.facts import BackendKey
from control.health.passive import Finding, Findings, look, suspected
from control.serving import Served
from dataplane.errors import DataplaneError
from dataplane.records import Handshakes

_log: Final = structlog.get_logger()

_INTERVAL: Final = 1.0  # seconds between looks
_Totals = Mapping[BackendKey, tuple[int, Handshakes]]  # with the backend's id


@dataclass(slots=True)
class Suspicion:
    """What handshakes have said so far; forgotten with the process, and soon found."""

    findings: dict[str, Findings] = field(default_factory=dict)  # by service
    _totals: _Totals = field(default_factory=dict)

    def suspects(self) -> frozenset[BackendKey]:
        """Return the backends that are suspected."""
        return frozenset(
            (service, backend)
            for service, findings in self.findings.items()
            for backend in suspected(findings)
        )

    def every(self) -> dict[BackendKey, Finding]:
        """Return what is known of all backends of services that are watched."""
        return {
            (service, backend): found
            for service, findings in self.findings.items()
            for backend, found in findings.items()
        }

    def finding(self, key: BackendKey) -> Finding | None:
        """Return what is known of a backend; None: its service is not watched."""
        return self.findings.get(key[0], {}).get(key[1])

    def look(
        self, services: Iterable[Served], counted: Mapping[int, Handshakes], seconds: float
    ) -> None:
        """Judge by ``counted``, ``seconds`` after the last look."""
        totals: dict[BackendKey, tuple[int, Handshakes]] = {}
        found: dict[str, Findings] = {}
        for served in services:
            if not served.service.pool.watch_handshakes:
                continue
            name, gained = served.service.name, {}
            for backend in served.service.backends:
                number = served.backend_ids.get(backend.name)
                if number is None or not backend.in_table:
                    continue
                key, total = (name, backend.name), counted.get(number, Handshakes())
                totals[key] = number, total
                gained[backend.name] = _gained(self._totals.get(key), number, total)
            found[name] = look(self.findings.get(name, {}), gained, seconds)
        self._totals, self.findings = totals, found


def _gained(
    before: tuple[int, Handshakes] | None, number: int, total: Handshakes
) -> Handshakes:
    """Return what was counted since; nothing, if the number was another backend's."""
    if before is None or before[0] != number:
        return Handshakes()
    was = before[1]
    return Handshakes(
        max(total.begun - was.begun, 0),
        max(total.repeated - was.repeated, 0),
        max(total.completed - was.completed, 0),
    )


async def follow_handshakes(
    suspicion: Suspicion,
    services: Callable[[], tuple[Served, ...]],
    counted: Callable[[], Mapping[int, Handshakes]],
    told: Callable[[BackendKey, bool], None],
) -> None:
    """Look again and again; ``told`` gets each backend that is suspected, or no more.

    ``counted`` reads the kernel, in a thread, if any of the ``services`` is watched.
    """
    looked = time.monotonic()
    every: tuple[Served, ...] | None = None
    watched: tuple[Served, ...] = ()
    while True:
        await asyncio.sleep(_INTERVAL)
        if (now := services()) is not every:
            every = now
            watched = tuple(one for one in now if one.service.pool.watch_handshakes)
        before, counts = suspicion.suspects(), dict[int, Handshakes]()
        if watched:
            try:
                counts = dict(await asyncio.to_thread(counted))
            except DataplaneError:
                continue  # it is detached; nothing is known of packets that pass us by
        seconds, looked = time.monotonic() - looked, time.monotonic()
        suspicion.look(watched, counts, seconds)
        for key, is_suspected in _news(before, suspicion.suspects()):
            facts = {"service": key[0], "backend": key[1]}
            _log.info("handshakes judged", suspected=is_suspected, **facts)
            told(key, is_suspected)


def _news(
    before: frozenset[BackendKey], now: frozenset[BackendKey]
) -> Iterator[tuple[BackendKey, bool]]:
    for key in sorted(before ^ now):
        yield key, key in now
