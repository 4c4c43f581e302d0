"""Probing all backends, each in a task of its own, for as long as it is wanted."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from control.addresses import IpAddress
from control.facts import BackendKey
from control.health.tcp import NoResultError
from control.health.tcp import probe as probe_by_tcp
from control.health.tracker import Tracker
from control.model import DesiredState, TcpCheck
from control.status import Health

_log: Final = structlog.get_logger()

ProbeBy = Callable[[IpAddress, int, float], Awaitable[str]]  # see tcp.probe


@dataclass(frozen=True, slots=True)
class Probe:
    """What is probed, and how: another definition is another probe, and starts afresh."""

    address: IpAddress
    port: int
    check: TcpCheck


@dataclass(slots=True)
class _Running:
    probe: Probe
    task: asyncio.Task[None]
    tracker: Tracker = field(default_factory=Tracker)
    since: float | None = None  # Unix time
    problem: str = ""  # of the last probe that had a result


class Monitor:
    """Keeps one probe running for each backend that has a check."""

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        changed: Callable[[], None],
        probe_by: ProbeBy = probe_by_tcp,
    ) -> None:
        """Run probes in ``tasks``; call ``changed`` whenever a verdict changes."""
        self._tasks = tasks
        self._changed = changed
        self._probe_by = probe_by
        self._running: dict[BackendKey, _Running] = {}

    def watch(self, desired: DesiredState) -> None:
        """Probe the backends of ``desired``, and no others; unchanged probes run on."""
        wanted = _probes(desired)
        for key in [
            k for k, running in self._running.items() if wanted.get(k) != running.probe
        ]:
            self._running.pop(key).task.cancel()
        for key, probe in wanted.items():
            if key not in self._running:
                task = self._tasks.create_task(self._run(key, probe), name=f"probe {key}")
                self._running[key] = _Running(probe, task)

    def health(self) -> dict[BackendKey, Health]:
        """Return the verdict on each backend that is probed."""
        return {key: running.tracker.health for key, running in self._running.items()}

    def since(self, key: BackendKey) -> float | None:
        """Return the Unix time of the last change of a verdict; None if there was none."""
        running = self._running.get(key)
        return running.since if running else None

    def problem(self, key: BackendKey) -> str:
        """Return why the last probe of a backend failed; "" if it did not."""
        running = self._running.get(key)
        return running.problem if running else ""

    def suspects(self) -> frozenset[IpAddress]:
        """Return the addresses whose last probe failed."""
        return frozenset(r.probe.address for r in self._running.values() if r.problem)

    def known(self) -> bool:
        """Tell whether every probe has had its first result."""
        return Health.UNKNOWN not in self.health().values()

    async def _run(self, key: BackendKey, probe: Probe) -> None:
        check = probe.check
        while True:
            started = time.monotonic()
            try:
                problem = await self._probe_by(probe.address, probe.port, check.timeout)
            except NoResultError as error:
                _log.warning("no probe possible", backend=key[1], problem=str(error))
            else:
                self._observe(key, check, problem)
            pause = check.interval * random.uniform(0.9, 1.1)  # noqa: S311 - out of step
            await asyncio.sleep(max(0.0, started + pause - time.monotonic()))

    def _observe(self, key: BackendKey, check: TcpCheck, problem: str) -> None:
        running = self._running[key]
        running.problem = problem
        before = running.tracker.health
        running.tracker = running.tracker.observe(
            success=not problem, rise=check.rise, fall=check.fall
        )
        health = running.tracker.health
        if health is before:
            return
        running.since = time.time()
        service, backend = key
        _log.info(
            "backend health changed",
            service=service,
            backend=backend,
            health=health,
            problem=problem,
        )
        self._changed()


def _probes(desired: DesiredState) -> dict[BackendKey, Probe]:
    return {
        (service.name, backend.name): Probe(
            backend.address, service.check.port or backend.port, service.check
        )
        for service in desired
        if service.check is not None
        for backend in service.backends
    }
