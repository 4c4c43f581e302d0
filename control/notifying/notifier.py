"""Whoever wants to be told of what happens, told."""

import asyncio
import socket
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Final

import structlog

from control.desired import DesiredState
from control.events import BackendChanged, Event, VersionStored
from control.facts import BackendKey
from control.model import Backend, Service
from control.notifying.changes import Change, Kind, Known
from control.notifying.mailer import Mailer
from control.notifying.memory import load, save
from control.notifying.runner import Runner
from control.notifying.settings import Notifications
from control.status import Health

_log: Final = structlog.get_logger()
_LAST_WORDS: Final = 3.0  # seconds for programs and mails when we end
_SAVE_EVERY: Final = 1.0  # seconds


class Notifier:
    """Hears of all events, and has programs run and mails sent for what is news.

    :meth:`run` is what makes it tell; until then it gathers.
    """

    def __init__(self, wanted: Callable[[], tuple[int, DesiredState]], path: Path) -> None:
        """``wanted`` gives the desired state; at ``path`` is what the last one knew."""
        self._wanted = wanted
        self._path = path
        self._known = Known(load(path))
        self._saved = dict(self._known.states)
        self._unsaved = ""
        node = socket.gethostname()
        self._runner, self._mailer = Runner(node), Mailer(node)
        self._looked_up: tuple[int, dict[tuple[str, str], tuple[Service, Backend | None]]]
        self._looked_up = (-1, {})

    def adopt(self, notifications: Notifications) -> None:
        """Tell these from now on, and nobody else."""
        self._runner.adopt(notifications.programs)
        self._mailer.adopt(notifications.mail)

    def hear(self, event: Event) -> None:
        """Take an event in; cheap, and waits for nobody."""
        if isinstance(event.what, VersionStored):
            _, state = self._wanted()
            self._known.forget({s.name: {b.name for b in s.backends} for s in state})
        if change := self._known.learn(event):
            described = self._described(change)
            self._runner.tell(described)
            self._mailer.tell(described)

    def compare(
        self, verdicts: Iterable[tuple[BackendKey, Health, str]], now: float
    ) -> None:
        """Tell of backends that are not what they were said to be last, and why.

        For what was found out by another guidewayd, or was not told by it any more.
        """
        for (service, backend), health, reason in verdicts:
            self.hear(Event(0, now, BackendChanged(service, backend, health, reason)))

    @property
    def unserved(self) -> dict[str, bool]:
        """The services of which the last thing told is that nobody serves them."""
        kinds = (subject for subject in self._known.states if subject.kind is Kind.SERVICE)
        return {subject.service: False for subject in kinds}

    @property
    def problems(self) -> list[str]:
        """What an operator should know, a sentence each."""
        unsaved = [f"what was told is not saved: {self._unsaved}"] if self._unsaved else []
        return [*self._runner.problems, *self._mailer.problems, *unsaved]

    async def run(self) -> None:
        """Run programs and send mails until cancelled, and then what waits, for a while."""
        async with asyncio.TaskGroup() as tasks:
            self._runner.serve(tasks)
            self._mailer.serve(tasks)
            try:
                while True:
                    await asyncio.sleep(_SAVE_EVERY)
                    await self._save()
            finally:
                untold = await asyncio.gather(
                    self._runner.finish(_LAST_WORDS), self._mailer.finish(_LAST_WORDS)
                )
                # Of what became of one in turn, the last is what the next one tells.
                for change in sorted(chain.from_iterable(untold), key=attrgetter("time")):
                    self._known.untell(change)
                await self._save()

    async def _save(self) -> None:
        if self._known.states == self._saved:
            return
        states = dict(self._known.states)
        before, self._unsaved = self._unsaved, ""
        try:
            await asyncio.to_thread(save, self._path, states)
            self._saved = states
        except OSError as error:
            self._unsaved = str(error)
        if self._unsaved and self._unsaved != before:
            _log.error("what was told is not saved", problem=self._unsaved)

    def _described(self, change: Change) -> Change:
        """Return a change with what is to be said of its service and backend."""
        version, state = self._wanted()
        if self._looked_up[0] != version:
            found = dict[tuple[str, str], tuple[Service, Backend | None]]()
            for service in state:
                found[service.name, ""] = (service, None)
                found.update(
                    {(service.name, b.name): (service, b) for b in service.backends}
                )
            self._looked_up = (version, found)
        subject = change.subject
        key = (subject.service, subject.name)
        its = self._looked_up[1].get(key, (None, None)) if subject.service else (None, None)
        return replace(change, version=version, service=its[0], backend=its[1])
