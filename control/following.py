"""Looking now and then at what has no events of its own, and telling what is different."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from control.drains import next_deadline
from control.events import (
    Hub,
    PlaneFacts,
    VrrpChanged,
    differences,
    pool_changes,
    serving_changes,
)
from control.pool import Pool
from control.store import Store

_PLANE_INTERVAL: Final = 0.1  # seconds; a look takes microseconds
_VRRP_INTERVAL: Final = 0.25  # seconds; a look at the clock of a file
_SERVING_INTERVAL: Final = 0.5  # seconds; what holds for two looks is told
_LONGEST_WAIT: Final = 5.0  # seconds; clocks are set, and stand still while a host sleeps
_MAX_FILE: Final = 4 << 20  # bytes
_MAX_REASON: Final = 200  # characters


class Instance(msgspec.Struct, frozen=True):
    """What concerns us of an instance in the status file of guideway-vrrpd."""

    state: str
    since: float = 0.0
    priority: int = 0
    problem: str = ""
    reason: str = ""


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


async def follow_serving(
    hub: Hub,
    look: Callable[[], Mapping[str, str]],
    before: Mapping[str, bool],
    *,
    interval: float = _SERVING_INTERVAL,
) -> None:
    """Tell ``hub`` which services begin and cease to serve, until cancelled.

    ``look`` says of each service why nobody serves it, "" where somebody does; of a service
    that it does not mention nothing is known. It gives another mapping where anything is
    otherwise. ``before`` is what was told earlier.
    """
    told = dict(before)
    seen, is_told = look(), False
    while True:
        await asyncio.sleep(interval)
        last, seen = seen, look()
        if seen is last and is_told:
            continue
        is_told = seen is last
        steady = {
            name: why
            for name, why in seen.items()
            if name in last and bool(last[name]) == bool(why)
        }
        for what in serving_changes(told, steady):
            hub.publish(what)
        # What is not known now, as while a check is new, is still what was told last.
        told |= {name: not why for name, why in steady.items()}


async def follow_vrrp(hub: Hub, path: Path) -> None:
    """Tell ``hub`` what guideway-vrrpd's status file at ``path`` says, if it is there."""
    stamp: tuple[int, ...] = ()
    known: dict[str, Instance] = {}
    while True:
        found = _stamp(path)
        if found != stamp:
            stamp, before = found, known
            known = await asyncio.to_thread(read_states, path)
            for what in moved(before, known):
                hub.publish(what)
        await asyncio.sleep(_VRRP_INTERVAL)


def read_states(path: Path) -> dict[str, Instance]:
    """Return the instances by name; none if the file is not there or is another's."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_MAX_FILE), type=dict[str, Instance])
    except (OSError, msgspec.MsgspecError):
        return {}


def moved(
    before: Mapping[str, Instance], now: Mapping[str, Instance]
) -> Iterator[VrrpChanged]:
    """Give the instances that are in another state, or gone."""
    for name, one in now.items():
        was = before[name].state if name in before else ""
        if was != one.state:
            reason = (one.reason or one.problem)[:_MAX_REASON]
            yield VrrpChanged(name, one.state, was, reason, one.since, one.priority)
    for name in before.keys() - now.keys():
        yield VrrpChanged(name, "", before[name].state)


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_ino, found.st_mtime_ns, found.st_size)
