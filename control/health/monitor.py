"""Probing all backends, each probe in a task of its own, for as long as it is wanted."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import Final

import structlog

from control.addresses import IpAddress
from control.checks import AnyCheck
from control.desired import DesiredState
from control.facts import BackendKey
from control.health.kinds import probe as probe_by_kind
from control.health.memory import Memory
from control.health.peer import Way
from control.health.probe import Probe, probes_of
from control.health.punctuality import Punctuality
from control.health.result import NoResultError, Result
from control.health.running import Running
from control.health.tracker import Tracker, together, weighed
from control.model import MAX_WEIGHT
from control.status import Health, ProbeStatus

_log: Final = structlog.get_logger()

_RATE: Final = 1500  # first probes in a second, if there are so many
_MOST_LOST: Final = 0.25  # part of the time-out; a silence of which more was lost is none
_BUSY: Final = "this host is too busy to wait for answers"

Told = Callable[[BackendKey, Health, str], None]  # a verdict, and why it is down
# See kinds.probe, and VipPath.way.
ProbeBy = Callable[[IpAddress, int, AnyCheck, Way | None], Awaitable[Result]]
WayTo = Callable[[IpAddress, IpAddress, float], Awaitable[Way]]


@dataclass(frozen=True, slots=True)
class _Watched:
    weight: int  # configured
    probes: list[Running]


class Monitor:
    """Keeps the probes running that the backends with checks need."""

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        changed: Callable[[], None],
        probe_by: ProbeBy = probe_by_kind,
        told: Told = lambda *_: None,
        way_to: WayTo | None = None,
    ) -> None:
        """Run probes in ``tasks``; call ``changed`` when a verdict or a weight changes.

        ``told`` gets each backend whose verdict, by all its probes, is another one.
        ``way_to`` gives the way by a VIP to a backend, within so many seconds.
        """
        self._tasks = tasks
        self._changed = changed
        self._probe_by = probe_by
        self._told = told
        self._way_to = way_to
        self._running: dict[Probe, Running] = {}
        self._watched: dict[BackendKey, _Watched] = {}
        self._punctuality = Punctuality()
        self._measuring: asyncio.Task[None] | None = None
        self._unsaved: dict[Probe, None] = {}  # in the order of their changes

    def watch(
        self,
        desired: DesiredState,
        before: Mapping[BackendKey, Health] | None = None,
        memories: Mapping[Probe, Memory] | None = None,
    ) -> None:
        """Probe the backends of ``desired``, and no others; unchanged probes run on.

        ``memories`` says what the guidewayd before has found out, and ``before`` what
        backends were for it, where that is all that is known.
        """
        wanted = probes_of(desired)
        self._measure(wanted=bool(wanted))
        memory: dict[Probe, Health | None] = {}
        for key, (_, probes) in wanted.items():
            memory.update(dict.fromkeys(probes, (before or {}).get(key)))
        for probe in [probe for probe in self._running if probe not in memory]:
            self._unsaved[probe] = None
            if task := self._running.pop(probe).task:
                task.cancel()
        for running in self._running.values():
            running.users.clear()
        new = {
            probe: known for probe, known in memory.items() if probe not in self._running
        }
        self._start(new, memories or {})
        self._watched = {
            key: _Watched(weight, [self._running[probe] for probe in probes])
            for key, (weight, probes) in wanted.items()
        }
        for key, watched in self._watched.items():
            for running in watched.probes:
                running.users.append(key)

    def _measure(self, *, wanted: bool) -> None:
        if wanted and self._measuring is None:
            watching = self._punctuality.watch()
            self._measuring = self._tasks.create_task(watching, name="punctuality")
        elif not wanted and self._measuring is not None:
            self._measuring.cancel()
            self._measuring = None

    def _start(
        self, new: Mapping[Probe, Health | None], memories: Mapping[Probe, Memory]
    ) -> None:
        """Start probes, spread over their interval, but not over more than they need."""
        starts: list[tuple[float, Running]] = []
        for place, (probe, before) in enumerate(new.items()):
            check = probe.check
            running = Running(probe, Tracker.begin(check.initial, before))
            if (memory := memories.get(probe)) is not None:
                running.recall(memory)
            delay = place / len(new) * min(check.interval, len(new) / _RATE)
            starts.append((delay, running))
            self._running[probe] = running
        if starts:
            starts.sort(key=itemgetter(0))
            self._tasks.create_task(self._begin(starts), name="first probes")

    async def _begin(self, starts: Iterable[tuple[float, Running]]) -> None:
        """Begin probes after their delays: all at once would hold up the loop."""
        begun = time.monotonic()
        for delay, running in starts:
            if self._is_to_begin(running):
                await asyncio.sleep(max(0.0, begun + delay - time.monotonic()))
            if self._is_to_begin(running):  # and was neither dropped nor hastened
                self._probe(running)

    def _is_to_begin(self, running: Running) -> bool:
        return running.task is None and self._running.get(running.probe) is running

    def _probe(self, running: Running) -> None:
        """Probe a backend at once, and again and again."""
        name = f"{running.probe.check.kind} probe of {running.probe.address}"
        running.task = self._tasks.create_task(self._run(running), name=name)

    def health(self) -> dict[BackendKey, Health]:
        """Return the verdict on each backend that is probed."""
        return {
            key: together(running.tracker.health for running in watched.probes)
            for key, watched in self._watched.items()
        }

    def weights(self) -> dict[BackendKey, int]:
        """Return the weights, 0…65535, of backends whose probes decide on that."""
        weights = {}
        for key, watched in self._watched.items():
            given = [one.weight for one in watched.probes if one.weight is not None]
            if given:
                weights[key] = weighed(watched.weight, given, MAX_WEIGHT)
        return weights

    def since(self, key: BackendKey) -> float | None:
        """Return the Unix time of the last change of a verdict; None if there was none."""
        verdict = together(running.tracker.health for running in self._of(key))
        times = [
            running.since
            for running in self._of(key)
            if running.since is not None and running.tracker.health is verdict
        ]
        # It was down as soon as the first one failed, and up when the last one passed.
        return (min if verdict is Health.DOWN else max)(times, default=None)

    def problem(self, key: BackendKey) -> str:
        """Return why the last probes of a backend failed, or were not made; "": neither."""
        now = time.time()
        problems = (running.complaint(now) for running in self._of(key))
        return "; ".join(dict.fromkeys(filter(None, problems)))

    def probes(self, key: BackendKey) -> tuple[ProbeStatus, ...]:
        """Return what the probes of a backend have found; none if there are none."""
        now = time.time()
        return tuple(running.status(now) for running in self._of(key))

    def unsaved(self, most: int) -> list[tuple[Probe, Memory | None]]:
        """Return up to ``most`` changes since they were asked for; None: forget it."""
        taken = list(islice(self._unsaved, most))
        for probe in taken:
            del self._unsaved[probe]
        return [(probe, self._memory(probe)) for probe in taken]

    def lose(self, probes: Iterable[Probe]) -> None:
        """Have changes returned again that could not be kept."""
        self._unsaved.update(dict.fromkeys(probes))

    def lose_all(self) -> None:
        """Have everything returned, whether it has changed or not."""
        self.lose(self._running)

    def _memory(self, probe: Probe) -> Memory | None:
        running = self._running.get(probe)
        return running.memory() if running else None

    def hasten(self, key: BackendKey) -> None:
        """Probe a backend at once; what is under way begins anew."""
        for running in self._of(key):
            if running.task:
                running.task.cancel()
            self._probe(running)

    def hindrances(self) -> Counter[str]:
        """Return why probes have no results, and how many for each reason."""
        return Counter(r.hindrance for r in self._running.values() if r.hindrance)

    def suspects(self) -> frozenset[IpAddress]:
        """Return the addresses of which the last probe of some kind failed."""
        return frozenset(r.probe.address for r in self._running.values() if r.problem)

    def known(self) -> bool:
        """Tell whether every probe has had its first result."""
        return all(
            running.tracker.health is not Health.UNKNOWN
            for running in self._running.values()
        )

    @property
    def lost(self) -> float:
        """Seconds by which this process was woken late while it probed, altogether."""
        return self._punctuality.lost

    def _of(self, key: BackendKey) -> list[Running]:
        watched = self._watched.get(key)
        return watched.probes if watched else []

    async def _run(self, running: Running) -> None:
        probe = running.probe
        while True:
            started = time.monotonic()
            try:
                result = await self._ask(probe)
            except NoResultError as error:
                self._hindered(running, str(error), time.monotonic() - started)
            else:
                self._observe(running, result, time.monotonic() - started)
            luck = random.uniform(-1, 1)  # noqa: S311 - to get out of step
            pause = running.tracker.pause(probe.check, luck)
            await asyncio.sleep(max(0.0, started + pause - time.monotonic()))

    async def _ask(self, probe: Probe) -> Result:
        lost = self._punctuality.lost
        result = await self._make(probe)
        lost = self._punctuality.lost - lost
        if result.is_silence and lost > _MOST_LOST * probe.check.timeout:
            raise NoResultError(_BUSY)
        return result

    async def _make(self, probe: Probe) -> Result:
        if probe.vip is None or self._way_to is None:
            return await self._probe_by(probe.address, probe.port, probe.check, None)
        try:
            way = await self._way_to(probe.vip, probe.address, probe.check.timeout)
        except TimeoutError:
            return Result("nobody says which MAC it has", is_silence=True)
        return await self._probe_by(probe.vip, probe.port, probe.check, way)

    def _hindered(self, running: Running, why: str, duration: float) -> None:
        if why != running.hindrance:
            probe = running.probe
            facts = {"address": str(probe.address), "check": probe.check.kind}
            _log.warning("no probe possible", **facts, problem=why)
        running.hindered(why, time.time(), duration)

    def _observe(self, running: Running, result: Result, duration: float) -> None:
        before, weight = running.tracker.health, running.weight
        if running.observe(result, time.time(), duration):
            self._unsaved[running.probe] = None
        health = running.tracker.health
        if health is not before:
            self._tell(running, before)
        if health is not before or running.weight != weight:
            self._changed()

    def _tell(self, running: Running, before: Health) -> None:
        for service, backend in running.users:
            _log.info(
                "backend health changed",
                service=service,
                backend=backend,
                check=running.probe.check.kind,
                health=running.tracker.health,
                problem=running.problem,
            )
            key = (service, backend)
            verdicts = [(one, one.tracker.health) for one in self._of(key)]
            verdict = together(health for _, health in verdicts)
            if verdict is not together(
                before if one is running else health for one, health in verdicts
            ):
                self._told(key, verdict, self.problem(key))
