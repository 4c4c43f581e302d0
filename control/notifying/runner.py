"""Running the operator's programs beside the event loop, which waits for none of them."""

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import Final

import structlog

from control.health.result import one_line
from control.notifying.backlog import Backlog
from control.notifying.changes import Change, concerns
from control.notifying.settings import MAX_PROGRAMS, Program
from control.notifying.turns import Turns
from control.notifying.words import command, environment
from programs import Manner, run

_log: Final = structlog.get_logger()
_GRACE: Final = 1.0  # seconds from SIGTERM to SIGKILL
_SHOWN: Final = 4  # programs that fail and are named


@dataclass(slots=True, eq=False)
class _Told:
    """A program, and what it has yet to be told."""

    program: Program
    backlog: Backlog = field(default_factory=Backlog)
    works: bool = False  # a task tells it what waits
    problem: str = ""  # of the last run
    failures: int = 0  # in a row


class Runner:
    """Tells programs of changes: each one by one, and none is held up by another's.

    See :class:`Turns` for the exception.
    """

    def __init__(self, node: str) -> None:
        """``node`` is the name of this host."""
        self._node = node
        self._told: dict[Program, _Told] = {}
        self._turns = Turns()
        # Each program runs once at a time, so that none waits for a thread.
        self._threads = ThreadPoolExecutor(MAX_PROGRAMS, "notify")
        self._stopping = Event()
        self._tasks: asyncio.TaskGroup | None = None
        self._running = set[asyncio.Task[None]]()

    def adopt(self, programs: Iterable[Program]) -> None:
        """Tell these from now on; the others are still told what waits for them."""
        self._told = {one: self._told.get(one) or _Told(one) for one in programs}

    def tell(self, change: Change) -> None:
        """Have those who want to know told soon; it does not wait."""
        for told in self._told.values():
            if not concerns(told.program, change.subject):
                continue
            if change.occasion not in told.program.events:
                told.backlog.forget(change.subject)  # it is over
                continue
            told.backlog.add(change)
            self._start(told)

    @property
    def problems(self) -> list[str]:
        """What is to be said of programs, a sentence each."""
        said = []
        for told in self._told.values():
            if told.problem:
                times = f"{told.failures} times in a row" if told.failures > 1 else "once"
                said.append(f"a notify program failed, {times}: {told.problem}")
            if dropped := told.backlog.dropped:
                said.append(
                    f"{told.program.command[0]} was not told {dropped} changes: too many "
                    "waited for it"
                )
        left = len(said) - _SHOWN
        more = [f"{left} more notify programs failed"] if left > 0 else []
        return [*said[:_SHOWN], *more]

    def serve(self, tasks: asyncio.TaskGroup) -> None:
        """Run programs, in ``tasks``, from now on."""
        self._tasks = tasks
        for told in self._told.values():
            self._start(told)

    async def finish(self, within: float) -> list[Change]:
        """Let what waits be told, for at most ``within`` s, and run no more.

        Returns what was not told.
        """
        self._tasks = None
        if self._running:
            await asyncio.wait(self._running, timeout=within)
        self._stopping.set()
        if self._running:
            await asyncio.wait(self._running)
        self._threads.shutdown()
        untold = []
        for told in self._told.values():
            while change := told.backlog.pop():
                untold.append(change)
        return untold

    def _start(self, told: _Told) -> None:
        if self._tasks and not told.works and told.backlog:
            told.works = True
            task = self._tasks.create_task(self._work(told), name="notify")
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _work(self, told: _Told) -> None:
        """Tell a program all that waits."""
        while not self._stopping.is_set() and (change := told.backlog.pop()):
            async with self._turns.take(change.subject, told.program):
                if self._stopping.is_set():  # our end came while it waited for its turn
                    told.backlog.put_back(change)
                else:
                    await self._run(told, change)
        if told.backlog:
            _log.warning(
                "changes not told",
                program=told.program.command[0],
                subjects=len(told.backlog),
            )
        told.works = False

    async def _run(self, told: _Told, change: Change) -> None:
        program, words = told.program, command(told.program, change)
        said: list[bytes] = []
        work = partial(
            run,
            words,
            program.timeout,
            program.user,
            self._stopping,
            Manner(environment(change, self._node), _GRACE, said.append),
        )
        loop = asyncio.get_running_loop()
        problem = one_line(await loop.run_in_executor(self._threads, work))
        output = one_line(b"".join(said).decode(errors="replace"))
        log = _log.warning if problem else _log.info
        facts = {"problem": problem} if problem else {}
        log(
            "notify program run",
            program=program.command[0],
            subject=change.subject.title,
            state=change.after,
            output=output,
            **facts,
        )
        told.problem = problem
        told.failures = told.failures + 1 if problem else 0
