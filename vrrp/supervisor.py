"""The instances of one daemon: starting, stopping, reloading, and telling how they are."""

import asyncio
import signal
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final

from structlog import get_logger
from structlog.typing import FilteringBoundLogger

from service_manager import ServiceManager
from vrrp.checks import Check, Checker
from vrrp.config import mistake, parse, read
from vrrp.errors import VrrpError
from vrrp.group import Group
from vrrp.handover import Handover
from vrrp.host import check_footing, check_users
from vrrp.instance import DaemonConfig, Instance
from vrrp.lacks import warn
from vrrp.maintenance import Maintenance
from vrrp.notify import Notifier
from vrrp.operator import listen
from vrrp.reporting import Reporter
from vrrp.runner import Runner
from vrrp.status import Status, StatusFile
from vrrp.tracking import Finding, standing
from vrrp.watch import watch

_log: Final[FilteringBoundLogger] = get_logger()
_TELL_EVERY: Final = 1.0  # seconds; counters may move with every packet
_FIRST_RESULTS: Final = 5.0  # seconds that a reload waits for new checks at most
_LAST_WORDS: Final = 5.0  # seconds for the operator's programs when we end
_STOP: Final = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class _Running:
    runner: Runner
    speaking: asyncio.Task[None]
    keeping: asyncio.Task[None]

    async def stop(self) -> None:
        """Resign first, then let go of the addresses: so somebody is ready to take them."""
        self.runner.retire()
        for task in (self.speaking, self.keeping):
            task.cancel()
            await asyncio.wait([task])


class Supervisor:
    """Owns the instances; every task of theirs belongs to ``tasks``."""

    def __init__(
        self,
        path: Path,
        tasks: asyncio.TaskGroup,
        kernel: Executor,
        status: StatusFile,
        maintenance: Maintenance,
    ) -> None:
        self._path = path
        self._tasks = tasks
        self._kernel = kernel
        self._status = status
        self._running: dict[str, _Running] = {}
        self._checkers: dict[str, Checker] = {}
        self._findings: dict[str, Finding] = {}
        self._found = asyncio.Event()  # there is another finding
        self._dirty = asyncio.Event()
        self._notifier = Notifier()
        self._reporter = Reporter(self._notifier)
        self._manager = ServiceManager()
        self._maintenance = maintenance
        self._handover = Handover(self._runners, maintenance, self._judge_all)

    async def run(self, config: DaemonConfig) -> None:
        """Run ``config``'s instances, obey operators, and signals until one says stop.

        Raises HostError if operators cannot be heard.
        """
        signals = _hear_signals()
        async with listen(config.socket, self._handover.handle):
            await self._run(config, signals)

    async def _run(self, config: DaemonConfig, signals: asyncio.Queue[int]) -> None:
        helpers = [
            self._tasks.create_task(watch(self._look), name="watch"),
            self._tasks.create_task(self._tell(), name="status"),
            self._tasks.create_task(self._manager.beat(), name="watchdog"),
        ]
        self._start_checks(config.checks)
        self._reporter.programs(config.groups)
        self._start(config.instances)
        self._manager.ready()
        while await signals.get() not in _STOP:
            self._manager.reloading()
            await self._reload(config)
            self._manager.ready()
        self._manager.stopping()
        _log.info("stopping")
        await self._stop(list(self._running))
        await self._stop_checks(list(self._checkers))
        await asyncio.to_thread(self._notifier.end, _LAST_WORDS)
        for helper in helpers:
            helper.cancel()

    def _start(self, instances: Iterable[Instance]) -> None:
        members: dict[str, list[Runner]] = {}
        groups: dict[str, Group] = {}
        for instance in instances:
            name = instance.group
            group = groups.setdefault(name, Group(name)) if name else None
            turned = self._reporter.turned
            runner = Runner(instance, self._kernel, self._dirty.set, group, turned)
            members.setdefault(name, []).append(runner)
            task = self._tasks.create_task
            self._running[instance.name] = _Running(
                runner,
                task(runner.run(), name=f"vrrp {instance.name}"),
                task(runner.keeper.run(), name=f"addresses {instance.name}"),
            )
        for name, group in groups.items():
            group.join(members[name])
            self._reporter.join(name, members[name])
        self._judge_all()
        self._dirty.set()

    def _start_checks(self, checks: Iterable[Check]) -> None:
        for check in checks:
            checker = self._checkers[check.name] = Checker(check, self._find)
            checker.start()

    async def _stop_checks(self, names: Iterable[str]) -> None:
        for name in names:
            await asyncio.to_thread(self._checkers.pop(name).stop)

    def _find(self, name: str, finding: Finding) -> None:
        self._findings[name] = finding
        self._found.set()
        self._judge_all()

    def _judge_all(self) -> None:
        for each in self._running.values():
            self._judge(each.runner)

    def _judge(self, runner: Runner) -> None:
        instance = runner.instance
        base = instance.router.priority
        found = standing(base, instance.tracks, self._findings)
        problems = filter(None, (self._maintenance.problem, found.problem))
        runner.judge(replace(found, problem="; ".join(problems)))

    async def _stop(self, names: Iterable[str]) -> None:
        stopping = [self._running.pop(name).stop() for name in names]
        await asyncio.gather(*stopping)
        self._dirty.set()

    async def _reload(self, running_by: DaemonConfig) -> None:
        """Read the file again; what it does not change runs on as if nothing happened."""
        try:
            text, config = await asyncio.to_thread(_load_again, self._path, running_by)
            running = {name: each.runner.instance for name, each in self._running.items()}
            new = _changed(config.instances, running)
            check = partial(check_footing, new)
            await asyncio.get_running_loop().run_in_executor(self._kernel, check)
            await asyncio.to_thread(check_users, config)
            await asyncio.to_thread(warn, text, str(self._path))
        except VrrpError as error:
            _log.error("configuration not reloaded", problem=str(error))
            return
        kept = {each.name for each in config.instances} - {each.name for each in new}
        old = [name for name in self._running if name not in kept]
        await self._stop(old)
        self._reporter.programs(config.groups)
        checks = {each.check.name: each.check for each in self._checkers.values()}
        fresh = [each for each in config.checks if checks.get(each.name) != each]
        wanted = {each.name for each in config.checks} - {each.name for each in fresh}
        await self._stop_checks([name for name in checks if name not in wanted])
        # Of a check that has only changed the old finding holds until it has a new one.
        known = {each.name for each in config.checks}
        self._findings = {n: f for n, f in self._findings.items() if n in known}
        self._start_checks(fresh)
        await self._have_findings(known)
        changed = [each for each in config.instances if running.get(each.name) != each]
        adopted = [each for each in changed if each not in new]
        for each in adopted:
            self._running[each.name].runner.adopt(each)
        self._start(new)
        _log.info(
            "configuration reloaded",
            stopped=old,
            started=[each.name for each in new],
            changed=[each.name for each in adopted],
        )

    async def _have_findings(self, checks: Collection[str]) -> None:
        """Wait a while for first results: until there are, who tracks them has to rest."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_RESULTS):
                while any(name not in self._findings for name in checks):
                    self._found.clear()
                    await self._found.wait()

    def _runners(self) -> dict[str, Runner]:
        return {name: each.runner for name, each in self._running.items()}

    def _look(self) -> None:
        for each in self._running.values():
            each.runner.keeper.look()
        for checker in self._checkers.values():
            checker.look()

    async def _tell(self) -> None:
        """Keep the status file true: at once after an event, soon after counting."""
        told: dict[str, Status] | None = None
        problem = ""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_TELL_EVERY):
                    await self._dirty.wait()
            self._dirty.clear()
            status = {name: each.status for name, each in self._runners().items()}
            states = (f"{name} {each.state}" for name, each in status.items())
            self._manager.status(", ".join(states) or "no instances")
            if status == told:
                continue
            before, problem = problem, ""
            try:
                await asyncio.to_thread(self._status.write, status)
                told = status
            except OSError as error:  # a full disk is no reason to let the addresses go
                problem = str(error)
            if problem and problem != before:
                _log.warning("status not written", problem=problem)


def _load_again(path: Path, running_by: DaemonConfig) -> tuple[str, DaemonConfig]:
    """Return the text of ``path``, and what it says.

    Raise ConfigError, also if that changes what waits for a restart.
    """
    text = read(path)
    config = parse(text, str(path))
    for key in ("status_file", "maintenance_file"):
        if getattr(config, key) != getattr(running_by, key):
            problem = "cannot change while guideway-vrrpd runs: restart it"
            raise mistake(text, str(path), key, problem)
    return text, config


def _changed(wanted: Iterable[Instance], running: Mapping[str, Instance]) -> list[Instance]:
    """Return what has to be started anew: a sync group starts as a whole."""
    every = list(wanted)
    cores = {name: each.core for name, each in running.items()}
    different = {each.name for each in every if cores.get(each.name) != each.core}
    gone = set(running) - {each.name for each in every}
    groups = {each.group for each in every if each.name in different}
    groups |= {running[name].group for name in gone | (different & set(running))}
    return [each for each in every if each.name in different or each.group in groups - {""}]


def _hear_signals() -> asyncio.Queue[int]:
    """Return a queue of the signals that we obey, from now until the process ends.

    The event loop's own handlers go with the loop, and then a second, impatient SIGTERM
    would kill us where there is still something to tidy up.
    """
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[int] = asyncio.Queue()

    def hear(number: int, _: FrameType | None) -> None:
        with suppress(RuntimeError):  # the loop is closed, and we are about to end
            loop.call_soon_threadsafe(heard.put_nowait, number)

    for number in (*_STOP, signal.SIGHUP):
        signal.signal(number, hear)
    return heard
