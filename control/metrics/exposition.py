"""The text that a scrape gets, at most one a second, made beside the event loop."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from prometheus_client import ProcessCollector, generate_latest

from control.health.monitor import Monitor
from control.health.suspicion import Suspicion
from control.metrics.families import families
from control.metrics.seen import Seen, Work
from control.metrics.vrrp import read_routers
from control.reconciler import Reconciler
from control.status import MapStatus, NodeStatus
from dataplane.errors import DetachedError
from dataplane.instance import Instance

_FRESH: Final = 1.0  # seconds for which all who ask get the same text
_COUNT_INTERVAL: Final = 60.0  # seconds; counting a map of a million entries takes 0.5


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the node's metrics come from."""

    node: Callable[[], NodeStatus]
    instance: Instance
    monitor: Monitor
    reconciler: Reconciler
    vrrp_status: Path
    suspicion: Suspicion


class Exposition:
    """Prometheus's text, and when it was made."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._process = ProcessCollector(registry=None)
        self._turn = asyncio.Lock()
        self._text = b""
        self._made = -_FRESH  # by the monotonic clock
        self._maps: tuple[MapStatus, ...] = ()
        self._maps_read = -_COUNT_INTERVAL

    async def text(self) -> bytes:
        """Return the metrics as they were less than a second ago. Raises DataplaneError."""
        async with self._turn:
            if time.monotonic() >= self._made + _FRESH:
                work = asyncio.ensure_future(asyncio.to_thread(self._write, self._look()))
                try:
                    self._text = await asyncio.shield(work)
                except asyncio.CancelledError:
                    # A thread cannot be stopped, and has the maps open.
                    await asyncio.wait([work])
                    raise
                self._made = time.monotonic()
            return self._text

    async def finish(self) -> None:
        """Wait for what is under way: it has the maps open."""
        async with self._turn:
            pass

    def _look(self) -> Seen:
        """Collect what lives on the event loop: 10 ms for 16,384 backends."""
        sources = self._sources
        reconciler, monitor = sources.reconciler, sources.monitor
        compiled = reconciler.compiled
        return Seen(
            node=sources.node(),
            work=Work(
                reconciled=reconciler.reconciled,
                failures=reconciler.failures,
                lost=monitor.lost,
                hindered=monitor.hindrances().total(),
            ),
            served=compiled.services if compiled else (),
            health=monitor.health(),
            weights=monitor.weights(),
            handshakes=sources.suspicion.every(),
        )

    def _write(self, seen: Seen) -> bytes:
        """Read the kernel's part and write all down; in a thread."""
        instance = self._sources.instance
        seen = replace(seen, routers=read_routers(self._sources.vrrp_status))
        try:
            maps = self._count(instance)
            seen = replace(seen, counters=instance.counters(), maps=maps)
        except DetachedError:
            self._maps_read = -_COUNT_INTERVAL
        own = "".join(families(seen)).encode()
        return own + generate_latest(self._process)

    def _count(self, instance: Instance) -> tuple[MapStatus, ...]:
        if time.monotonic() >= self._maps_read + _COUNT_INTERVAL:
            self._maps = tuple(
                MapStatus(one.name, one.used, one.limit, one.memory)
                for one in instance.usage()
            )
            self._maps_read = time.monotonic()
        return self._maps
