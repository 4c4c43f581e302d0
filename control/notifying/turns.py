"""Whose turn it is to tell of a subject: who has one half of what happens, in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from control.notifying.changes import Subject
from control.notifying.settings import Program


@dataclass(frozen=True, slots=True, eq=False)
class _Turn:
    program: Program
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Turns:
    """The programs that tell of each subject, in the order in which they came.

    One that is told what another is not, such as that a backend is up, waits for that one:
    what they do may be undone the wrong way round otherwise. Nobody else waits for anybody.
    """

    def __init__(self) -> None:
        self._lines: dict[Subject, list[_Turn]] = {}

    @asynccontextmanager
    async def take(self, subject: Subject, program: Program) -> AsyncIterator[None]:
        """Wait for the turn of ``program``, and have it until the end of the block."""
        line = self._lines.setdefault(subject, [])
        ahead = [one for one in line if one.program.events.isdisjoint(program.events)]
        turn = _Turn(program)
        line.append(turn)
        try:
            for one in ahead:
                await one.over.wait()
            yield
        finally:
            turn.over.set()
            line.remove(turn)
            if not line:
                del self._lines[subject]
