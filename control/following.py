"""Looking now and then at what has no events of its own, and telling what is different."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from control.drains import next_deadline
from control.events import Hub, PlaneFacts, VrrpChanged, differences, pool_changes
from control.pool import Pool
from control.store import Store

_PLANE_INTERVAL: Final = 0.1  # seconds; a look takes microseconds
_VRRP_INTERVAL: Final = 1.0  # seconds
_LONGEST_WAIT: Final = 5.0  # seconds; clocks are set, and stand still while a host sleeps
_MAX_FILE: Final = 1 << 20  # bytes


class _Instance(msgspec.Struct):
    """What concerns us of an instance in the status file of guideway-vrrpd."""

    state: str


async def follow_plane(hub: Hub, look: Callable[[], PlaneFacts]) -> None:
    """Tell ``hub`` what becomes of the data plane, until cancelled."""
    known = look()
    while True:
        await asyncio.sleep(_PLANE_INTERVAL)
        before, known = known, look()
        for what in differences(before, known):
            hub.publish(what)


async def follow_pools(hub: Hub, look: Callable[[], Mapping[str, Pool]]) -> None:
    """Tell ``hub`` what the pools of services come to, until cancelled."""
    known = look()
    while True:
        await asyncio.sleep(_PLANE_INTERVAL)
        before, known = known, look()
        for what in () if known == before else pool_changes(before, known):
            hub.publish(what)


async def follow_drains(store: Store, wake: Callable[[], None]) -> None:
    """Call ``wake`` when a deadline of a draining backend passes, until cancelled."""
    while True:
        version, now = store.version, time.time()
        due = next_deadline(store.state, now)
        wait = None if due is None else min(due - now, _LONGEST_WAIT)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await store.wait_for_change(version)
        if due is not None and time.time() >= due:
            wake()


async def follow_vrrp(hub: Hub, path: Path) -> None:
    """Tell ``hub`` what guideway-vrrpd's status file at ``path`` says, if it is there."""
    stamp: tuple[int, ...] = ()
    known: dict[str, str] = {}
    while True:
        found = _stamp(path)
        if found != stamp:
            stamp, before = found, known
            known = await asyncio.to_thread(read_states, path)
            for what in moved(before, known):
                hub.publish(what)
        await asyncio.sleep(_VRRP_INTERVAL)


def read_states(path: Path) -> dict[str, str]:
    """Return the states by instance; none if the file is not there or is another's."""
    try:
        with path.open("rb") as file:
            instances = msgspec.json.decode(file.read(_MAX_FILE), type=dict[str, _Instance])
    except (OSError, msgspec.MsgspecError):
        return {}
    return {name: instance.state for name, instance in instances.items()}


def moved(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[VrrpChanged]:
    """Give the instances that are in another state, or gone."""
    for name, state in now.items():
        if before.get(name) != state:
            yield VrrpChanged(name, state)
    for name in before.keys() - now.keys():
        yield VrrpChanged(name, "")


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_ino, found.st_mtime_ns, found.st_size)
