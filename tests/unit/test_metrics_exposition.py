"""When the maps are read for a scrape, and what is told of them."""

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from control.health.suspicion import Suspicion
from control.metrics import exposition as module
from control.metrics.exposition import Exposition, Sources
from dataplane.counters import Counters
from dataplane.errors import DetachedError
from dataplane.usage import MapUsage
from tests.support.scraped import COUNTERS, NODE, SERVED


@dataclass
class Kernel:
    """A data plane's counters and maps, and how often they were read."""

    detached: bool = False
    counted: int = 0
    used: int = 0

    def counters(self) -> Counters:
        if self.detached:
            raise DetachedError
        self.counted += 1
        return COUNTERS

    def usage(self) -> tuple[MapUsage, ...]:
        if self.detached:
            raise DetachedError
        self.used += 1
        return (MapUsage("records", self.used, 1024, 4096),)


def exposition(kernel: Kernel, tmp_path: Path) -> Exposition:
    monitor = SimpleNamespace(hindrances=Counter, health=dict, weights=dict, lost=0.0)
    reconciler = SimpleNamespace(
        compiled=SimpleNamespace(services=(SERVED,)), reconciled=1.0, failures=0
    )
    return Exposition(
        Sources(
            lambda: replace(NODE, detached=kernel.detached),
            kernel,
            monitor,
            reconciler,
            tmp_path / "vrrp.json",
            Suspicion(),
        )
    )


async def twice(told: Exposition) -> list[str]:
    return [one.decode() for one in await asyncio.gather(told.text(), told.text())]


def test_who_asks_within_a_second_gets_the_same_text(tmp_path: Path) -> None:
    kernel = Kernel()

    first, second = asyncio.run(twice(exposition(kernel, tmp_path)))

    assert first == second
    assert kernel.counted == 1
    assert 'guideway_service_packets_total{service="web"} 40\n' in first
    assert "\nprocess_resident_memory_bytes " in first


def test_counters_are_read_each_time_and_maps_are_counted_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FRESH", 0.0)
    kernel = Kernel()

    texts = asyncio.run(twice(exposition(kernel, tmp_path)))

    assert (kernel.counted, kernel.used) == (2, 1)
    assert all('guideway_map_entries{map="records"} 1\n' in text for text in texts)


def test_a_detached_data_plane_has_neither_counters_nor_maps(tmp_path: Path) -> None:
    text, _ = asyncio.run(twice(exposition(Kernel(detached=True), tmp_path)))

    assert "guideway_data_plane_attached 0\n" in text
    assert "guideway_packets_total" not in text
    assert "guideway_map_entries{" not in text


def test_who_stops_waiting_does_not_leave_the_maps_being_read(tmp_path: Path) -> None:
    kernel = Kernel()
    told = exposition(kernel, tmp_path)

    async def run() -> None:
        asking = asyncio.create_task(told.text())
        await asyncio.sleep(0)
        asking.cancel()
        await told.finish()
        assert kernel.counted == 1
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(run())
