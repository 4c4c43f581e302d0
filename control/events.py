"""What happens on a node, told to whoever wants to know, in order and waiting for nobody.

Who follows too slowly is told that events were missed, and has to look at everything anew:
a queue has an end. All of this belongs to one event loop.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from control.database import Version
from control.desired import DesiredState
from control.errors import BusyError
from control.pool import ORDINARY, Pool
from control.status import Health

MAX_QUEUED: Final = 1024  # events for each who follows
MAX_FOLLOWERS: Final = 32


@dataclass(frozen=True, slots=True)
class BackendChanged:
    """The verdict on a backend is another one."""

    service: str
    backend: str
    health: Health
    reason: str  # what the last probes met; "": they passed


@dataclass(frozen=True, slots=True)
class VersionStored:
    """The desired state is another one; services by name, of the version told before."""

    version: int
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    source: str = ""  # file, api, cli or daemon
    author: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class VersionConfirmed:
    """A version that waited for it was confirmed, and stays."""

    version: int
    author: str


@dataclass(frozen=True, slots=True)
class VersionApplied:
    """The kernel is equal to a version of the desired state."""

    version: int


class PlaneChange(StrEnum):
    """What became of the data plane."""

    ATTACHED = "attached"  # after it was detached
    RELOADED = "reloaded"
    DETACHED = "detached"
    FAILING = "failing"  # packets or tables are not as they should be
    MENDED = "mended"  # no longer


@dataclass(frozen=True, slots=True)
class DataPlaneChanged:
    """Program, links or maps are in another condition."""

    change: PlaneChange
    reason: str = ""  # of FAILING, a sentence


@dataclass(frozen=True, slots=True)
class VrrpChanged:
    """An instance of VRRP on this host is in another state."""

    instance: str
    state: str  # "active", "backup", "initialize"; "": there is no such instance any more
    before: str = ""  # likewise; "": nothing was known of it
    reason: str = ""  # a sentence, if guideway-vrrpd has said one
    since: float = 0.0  # Unix time; 0: not known
    priority: int = 0  # as tracking has it


@dataclass(frozen=True, slots=True)
class ServingChanged:
    """A service has backends that can serve, and its quorum, or has not any more."""

    service: str
    serves: bool
    reason: str  # why it does not; "": it does


@dataclass(frozen=True, slots=True)
class SuspicionChanged:
    """A backend is suspected by its clients' handshakes, or is not any more."""

    service: str
    backend: str
    suspected: bool


@dataclass(frozen=True, slots=True)
class PoolChanged:
    """The policy of a service's pool comes to something else."""

    service: str
    live_weight: int  # of backends that are up
    quorum: bool
    sorry: bool  # the sorry server gets all new flows
    kept: tuple[str, ...] = ()  # backends that serve although their checks fail, by name


What: TypeAlias = (
    BackendChanged
    | VersionStored
    | VersionConfirmed
    | VersionApplied
    | DataPlaneChanged
    | VrrpChanged
    | PoolChanged
    | ServingChanged
    | SuspicionChanged
)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""

    number: int  # of the daemon's events, from 1 on
    time: float  # Unix time
    what: What


class Subscription:
    """What one follower has not been told yet."""

    def __init__(self) -> None:
        self._queue: deque[Event] = deque()
        self._there = asyncio.Event()
        self._missed = 0
        self._over = False

    def restart(self) -> int:
        """Forget what is queued, and return how many events were not told until now."""
        missed = self._missed
        self._queue.clear()
        self._missed = 0
        self._there.clear()
        if self._over:
            self._there.set()
        return missed

    def push(self, event: Event) -> None:
        """Queue an event, or count it among those that are missed."""
        if self._missed or len(self._queue) >= MAX_QUEUED:
            self._missed += 1 + len(self._queue)
            self._queue.clear()
        else:
            self._queue.append(event)
        self._there.set()

    def end(self) -> None:
        """Let :meth:`next` return None once everything is told."""
        self._over = True
        self._there.set()

    @property
    def over(self) -> bool:
        """Whether nothing comes any more."""
        return self._over and not self._queue and not self._missed

    async def next(self) -> Event | None:
        """Return the next event; None if some were missed, or if it is over."""
        await self._there.wait()
        if not self._queue:
            return None
        event = self._queue.popleft()
        if not (self._queue or self._missed or self._over):
            self._there.clear()
        return event


class Hub:
    """Takes events from those who know, and gives them to all who follow."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Tell what happens from now on; ``clock`` gives the Unix time."""
        self._clock = clock
        self._followers = set[Subscription]()
        self._hearers: list[Callable[[Event], None]] = []
        self._over = False
        self.number = 0  # of the last event
        self.vrrp: dict[str, str] = {}  # states by instance, as the last events said

    def publish(self, what: What) -> None:
        """Tell all followers; cheap, and waits for nobody."""
        self.number += 1
        if isinstance(what, VrrpChanged):
            self.vrrp.pop(what.instance, None)
            self.vrrp.update({what.instance: what.state} if what.state else {})
        event = Event(self.number, self._clock(), what)
        for follower in self._followers:
            follower.push(event)
        for hear in self._hearers:
            hear(event)

    def inform(self, hear: Callable[[Event], None]) -> None:
        """Call ``hear`` with every event from now on; it returns at once."""
        self._hearers.append(hear)

    @contextmanager
    def subscribe(self) -> Iterator[Subscription]:
        """Follow while the body runs; BusyError if there are as many as there may be."""
        if len(self._followers) >= MAX_FOLLOWERS:
            raise BusyError(f"{MAX_FOLLOWERS} clients watch already: end one of them")
        subscription = Subscription()
        if self._over:
            subscription.end()
        self._followers.add(subscription)
        try:
            yield subscription
        finally:
            self._followers.discard(subscription)

    def close(self) -> None:
        """Tell all followers that this was all."""
        self._over = True
        for follower in self._followers:
            follower.end()


def stored(version: Version, before: DesiredState, now: DesiredState) -> VersionStored:
    """Return what ``version``, which is ``now``, changed in the state ``before``."""
    old = {service.name: service for service in before}
    new = {service.name: service for service in now}
    return VersionStored(
        version.number,
        added=tuple(name for name in new if name not in old),
        changed=tuple(n for n in new if n in old and new[n] != old[n]),
        removed=tuple(name for name in old if name not in new),
        source=version.source,
        author=version.author,
        comment=version.comment,
    )


def serving_changes(
    before: Mapping[str, bool], now: Mapping[str, str]
) -> Iterator[ServingChanged]:
    """Give the services that serve and did not, or did and do not: ``now`` says why not.

    A service is taken to have served if ``before`` does not know it.
    """
    for name, reason in now.items():
        if before.get(name, True) != (not reason):
            yield ServingChanged(name, not reason, reason)


@dataclass(frozen=True, slots=True)
class PlaneFacts:
    """What can be seen of the data plane at one time."""

    applied_version: int
    detached: bool
    reloads: int
    trouble: str  # why it does not serve as it should; "": it does


def differences(before: PlaneFacts, now: PlaneFacts) -> Iterator[What]:
    """Give what happened between two looks at the data plane."""
    if now.reloads != before.reloads and not now.detached:
        again = before.detached
        yield DataPlaneChanged(PlaneChange.ATTACHED if again else PlaneChange.RELOADED)
    if now.detached and (not before.detached or now.reloads != before.reloads):
        yield DataPlaneChanged(PlaneChange.DETACHED)
    if not now.detached and now.trouble != before.trouble:
        if now.trouble:
            yield DataPlaneChanged(PlaneChange.FAILING, now.trouble)
        elif not before.detached:
            yield DataPlaneChanged(PlaneChange.MENDED)
    if now.applied_version != before.applied_version and now.applied_version:
        yield VersionApplied(now.applied_version)


def pool_changes(before: Mapping[str, Pool], now: Mapping[str, Pool]) -> Iterator[What]:
    """Give the services, by name, whose pools serve otherwise than ``before``."""
    for service, pool in now.items():
        was = before.get(service, ORDINARY)
        if (was.quorum, was.sorry, was.kept.keys()) != (
            pool.quorum,
            pool.sorry,
            pool.kept.keys(),
        ):
            kept = tuple(sorted(pool.kept))
            yield PoolChanged(service, pool.live_weight, pool.quorum, pool.sorry, kept)
