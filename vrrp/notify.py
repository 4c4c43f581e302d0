"""Telling the operator's programs what became of instances and sync groups.

In order and one at a time, by a thread of its own: whatever they do, no advertisement has
to wait.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from threading import Condition, Event, Thread
from typing import Final

from structlog import get_logger
from structlog.typing import FilteringBoundLogger

from programs import run
from vrrp.machine import State
from vrrp.realtime import start_ordinary_programs

_log: Final[FilteringBoundLogger] = get_logger()
_LONGEST_QUEUE: Final = 1000  # notices; a program that hangs must not fill the memory


class Turn(StrEnum):
    """What somebody became, in the words that keepalived's scripts expect."""

    ACTIVE = "MASTER"
    BACKUP = "BACKUP"
    FAULT = "FAULT"  # it rests, since something is wrong or an operator wants it
    STOP = "STOP"  # guideway-vrrpd ends, or the file has it no more


class Kind(StrEnum):
    """Who became it."""

    INSTANCE = "INSTANCE"
    GROUP = "GROUP"


@dataclass(frozen=True, slots=True)
class Program:
    """Whom to tell."""

    command: tuple[str, ...]
    timeout: float = 30.0  # seconds; whoever takes longer is killed
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """What to tell."""

    program: Program
    kind: Kind
    name: str
    turn: Turn
    priority: int

    @property
    def command(self) -> tuple[str, ...]:
        """The program and its arguments: ``… INSTANCE front MASTER 150``."""
        told = (self.kind, self.name, self.turn, str(self.priority))
        return (*self.program.command, *told)


def turn_of_group(turns: Iterable[Turn]) -> Turn:
    """Return what a sync group is whose members have become that; they move together."""
    every = set(turns)
    for turn in (Turn.STOP, Turn.FAULT, Turn.BACKUP):
        if turn in every:
            return turn
    return Turn.ACTIVE


def turn_of(state: State) -> Turn:
    """Return what an instance in ``state`` is if it is not about to stop."""
    by_state = {State.ACTIVE: Turn.ACTIVE, State.BACKUP: Turn.BACKUP}
    return by_state.get(state, Turn.FAULT)


class Notifier:
    """The thread that runs the programs, one after another."""

    def __init__(self) -> None:
        self._queue: deque[Notice] = deque()
        self._more = Condition()
        self._ending = False
        self._abandon = Event()
        self._thread = Thread(target=self._run, name="notify", daemon=True)
        self._started = False

    def tell(self, notice: Notice) -> None:
        """Have the program run soon; it does not wait."""
        if not self._started:
            self._thread.start()
            self._started = True
        with self._more:
            if len(self._queue) >= _LONGEST_QUEUE:
                lost = self._queue.popleft()
                _log.warning("notice dropped: too many wait", command=lost.command)
            self._queue.append(notice)
            self._more.notify()

    def end(self, within: float) -> None:
        """Let what waits be told, for at most ``within`` s, and run no more. Blocking.

        What was not told is logged, of each instance or group the last.
        """
        if not self._started:
            return
        with self._more:
            self._ending = True
            self._more.notify()
        self._thread.join(within)
        self._abandon.set()
        self._thread.join()
        last = {(each.program, each.kind, each.name): each for each in self._queue}
        for untold in last.values():
            _log.warning("notice not told: guideway-vrrpd ends", command=untold.command)

    def _run(self) -> None:
        # Whatever the process has: a script must not compete with advertisements.
        start_ordinary_programs()
        while notice := self._next():
            program = notice.program
            problem = run(notice.command, program.timeout, program.user, self._abandon)
            if problem:
                _log.warning("notify program failed", problem=problem)

    def _next(self) -> Notice | None:
        with self._more:
            while not self._queue and not self._ending:
                self._more.wait()
            if not self._queue or self._abandon.is_set():
                return None
            return self._queue.popleft()
