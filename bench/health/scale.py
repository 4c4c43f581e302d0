"""Probing many backends by guidewayd's own monitor, on one core."""

import asyncio
import os
import resource
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.health.servers import desired
from control.addresses import IpAddress
from control.checks import AnyCheck, TcpCheck
from control.desired import DesiredState
from control.health.kinds import probe
from control.health.monitor import Monitor
from control.health.peer import Way
from control.health.result import Result
from control.status import Health

_DESCRIPTORS: Final = Path("/proc/self/fd")
_SAMPLE: Final = 0.05  # seconds between looks at the descriptors
_WINDOW: Final = 0.1  # seconds: the unit of the start-up spread


@dataclass(frozen=True, slots=True)
class Scale:
    """What a run has cost. Seconds, but for the counts."""

    probes: int  # in the time that was measured
    seconds: float
    cpu: float
    late: float  # begun later than due, at the 99th percentile
    latest: float
    longest: float  # for which the event loop did something else, at most
    descriptors: int  # open at a time, at most
    crowd: int  # probes begun within 0.1 s of the start-up, at most
    verdicts: Counter[Health]

    @property
    def price(self) -> float:
        """CPU seconds for a probe."""
        return self.cpu / self.probes


class _Watch:
    """Notes when probes begin."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._begun: dict[IpAddress, float] = {}
        self.first: list[float] = []
        self.late: list[float] = []

    async def probe(
        self, address: IpAddress, port: int, check: AnyCheck, way: Way | None
    ) -> Result:
        now = time.monotonic()
        before = self._begun.get(address)
        self._begun[address] = now
        if before is None:
            self.first.append(now)
        else:
            self.late.append(now - before - self._interval)
        return await probe(address, port, check, way)


def run(core: int, backends: int, interval: float, seconds: float, port: int) -> Scale:
    """Probe ``backends`` each ``interval`` from ``core``, and measure for ``seconds``."""
    os.sched_setaffinity(0, {core})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return asyncio.run(_run(backends, interval, seconds, port))


async def _run(backends: int, interval: float, seconds: float, port: int) -> Scale:
    watch = _Watch(interval)
    async with asyncio.TaskGroup() as tasks:
        monitor = Monitor(tasks, changed=lambda: None, probe_by=watch.probe)
        # Without jitter it is known when a probe is due.
        monitor.watch(desired(backends, port, TcpCheck(interval=interval, jitter=0)))
        gauge = _Gauge()
        measuring = tasks.create_task(gauge.run())
        await asyncio.sleep(3 * interval)  # until all have had verdicts, and are told of
        crowd = _crowd(watch.first)
        watch.late.clear()
        gauge.longest = 0.0
        cpu, begun = time.process_time(), time.monotonic()
        await asyncio.sleep(seconds)
        cpu, taken = time.process_time() - cpu, time.monotonic() - begun
        late = sorted(watch.late)
        verdicts = Counter(monitor.health().values())
        measuring.cancel()
        monitor.watch(DesiredState())
    return Scale(
        probes=len(late),
        seconds=taken,
        cpu=cpu,
        late=late[int(len(late) * 0.99)],
        latest=late[-1],
        longest=gauge.longest,
        descriptors=gauge.descriptors,
        crowd=crowd,
        verdicts=verdicts,
    )


class _Gauge:
    """Looks at the descriptors now and then, and at how late it is woken for that."""

    def __init__(self) -> None:
        self.descriptors = 0
        self.longest = 0.0

    async def run(self) -> None:
        while True:
            due = time.monotonic() + _SAMPLE
            await asyncio.sleep(_SAMPLE)
            self.longest = max(self.longest, time.monotonic() - due)
            self.descriptors = max(self.descriptors, sum(1 for _ in _DESCRIPTORS.iterdir()))


def _crowd(times: list[float]) -> int:
    """Return how many of ``times`` are within a window, at most."""
    first = min(times)
    return max(Counter(int((one - first) / _WINDOW) for one in times).values())
