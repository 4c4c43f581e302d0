"""The desired state, kept: a change is a version with author, time and reason.

A store belongs to one event loop: what changes it wakes those who wait, and must be called
from the loop's thread. It waits for the disk (one fsync, some milliseconds).
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

import structlog

from control.confirmation import Instant, Pending, check_timeout, instant
from control.database import Database, Source, Stored, Version
from control.desired import DesiredState
from control.encoding import Encoder, decode
from control.errors import (
    ConfigError,
    ConfirmationError,
    HostError,
    NotFoundError,
    StaleError,
)

Change = Callable[[DesiredState], DesiredState]

_log: Final = structlog.get_logger()
_EMPTY: Final = DesiredState()
_NOT_STORED: Final = "the change was not stored"


class Store:
    """The desired state, and the only way to change it."""

    def __init__(
        self,
        path: Path,
        database: Database,
        accept: Callable[[DesiredState], None],
        clock: Callable[[], Instant],
    ) -> None:
        self._path = path
        self._database = database
        self._accept = accept
        self._clock = clock
        newest = database.newest()
        self._newest = newest[0] if newest else None
        self._state = self.decode(newest)
        self._digest = database.digest()
        self._pending = database.pending()
        self._base = self._state  # what comes back if `_pending` is not confirmed
        if self._pending is not None:
            self._base = self.decode(database.version(self._pending.base))
        self._changed = asyncio.Event()
        self._encoder = Encoder()
        self.confirmed: Callable[[Version], None] = lambda _: None  # is told of each

    @classmethod
    def open(
        cls,
        path: Path,
        accept: Callable[[DesiredState], None] = lambda _: None,
        *,
        clock: Callable[[], Instant] = instant,
    ) -> Self:
        """Open the store at ``path``, creating file (mode 0600) and directory if need be.

        ``accept`` raises a GuidewayError against a new state that this node cannot serve.
        Raise HostError if the file cannot be used: another process has it, it is damaged or
        a later release wrote it.
        """
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.chmod(0o600)
        except OSError as error:
            raise HostError(f"{path}: cannot be created: {error.strerror}") from error
        database = Database(path)
        try:
            return cls(path, database, accept, clock)
        except sqlite3.Error as error:
            database.close()
            raise HostError(f"{path} cannot be used as the store: {error}") from error
        except HostError:
            database.close()
            raise

    @property
    def state(self) -> DesiredState:
        """The state that is wanted now."""
        return self._state

    @property
    def version(self) -> int:
        """The version of :attr:`state`, 1 or more; 0: nothing was ever wanted."""
        return self._newest.number if self._newest else 0

    @property
    def newest(self) -> Version | None:
        """What is known of :attr:`version`; None if that is 0."""
        return self._newest

    @property
    def pending(self) -> tuple[Pending, float] | None:
        """The version that waits for its confirmation, and for how many seconds more."""
        if self._pending is None:
            return None
        return self._pending, self._pending.left(self._clock())

    def prepare(self, wanted: DesiredState) -> DesiredState:
        """Return what is the same as ``wanted``, and can be made the state at once.

        What is equal in the state now is the same object. From any thread.
        """
        state = wanted.sharing(self._state)
        self._encoder.prepare(state)
        return state

    def preview(
        self, change: Change, *, expected: int | None = None, confirm: float | None = None
    ) -> DesiredState:
        """Return what :meth:`update` would make the state; raise what it would raise."""
        if confirm is not None:
            check_timeout(confirm)
        if expected is not None and expected != self.version:
            raise StaleError(expected, self.version)
        wanted = change(self._state)
        if wanted != self._state:
            self._refuse_while_pending(wanted, confirm)
            self._accept(wanted)
        return wanted

    def update(
        self,
        change: Change,
        *,
        source: Source,
        author: str,
        comment: str = "",
        expected: int | None = None,
        confirm: float | None = None,
    ) -> int:
        """Make ``change(state)`` the state and return its version.

        A change that changes nothing makes no version. With ``confirm``, the version before
        comes back after so many seconds unless :meth:`confirm` is called. If ``expected``
        is not the version now, StaleError says so. While a version waits for its
        confirmation, ConfirmationError meets any change but the one that undoes it.
        What ``change`` and ``accept`` raise goes to the caller; HostError says that the new
        state could not be stored. Whatever is raised, nothing has changed then.
        """
        wanted = self.preview(change, expected=expected, confirm=confirm)
        if wanted != self._state:
            self._put(
                wanted, source=source, author=author, comment=comment, confirm=confirm
            )
        return self.version

    def apply_file(self, state: DesiredState, digest: str, path: Path) -> int:
        """Make ``state`` the state if the file it comes from is not the one applied last.

        ``digest`` stands for the contents of the file at ``path``. So an edited file wins
        when it is loaded, over a version that waits for its confirmation too, and what the
        API has changed since outlives a restart with the same file. Return the version that
        counts now; raise HostError as :meth:`update` does.
        """
        if not self.has_applied(digest):
            if state != self._state:
                self._accept(state)
            comment = f"read {path}"
            self._put(
                state, source="file", author="guidewayd", comment=comment, digest=digest
            )
        return self.version

    def has_applied(self, digest: str) -> bool:
        """Tell whether :meth:`apply_file` would change nothing."""
        return digest == self._digest

    def confirm(self, version: int | None = None, *, author: str) -> int:
        """Keep the version that waits for it, ``version`` if that is given; return it.

        The history says that ``author`` confirmed it, and when.

        Raise ConfirmationError if no version waits, or another one; HostError if that
        could not be stored.
        """
        if self._pending is None:
            raise ConfirmationError(
                f"no version waits to be confirmed; the desired state is version "
                f"{self.version}, and `guideway history` says how it came about"
            )
        if version not in (None, self._pending.version):
            raise ConfirmationError(
                f"version {self._pending.version} waits to be confirmed, not {version}"
            )
        assert self._newest is not None  # noqa: S101 - it is the one that waits
        now = self._clock().wall
        confirmed = replace(self._newest, confirmed=now, confirmed_by=author)
        with self._using(_NOT_STORED):
            self._database.confirm(confirmed.number, now, author)
        _log.info("change confirmed", version=confirmed.number, author=author)
        self._pending, self._newest = None, confirmed
        self.confirmed(confirmed)
        return confirmed.number

    def expire(self) -> bool:
        """Bring the version before back if the time to confirm is over; tell whether so.

        Raise HostError if that could not be stored.
        """
        pending = self._pending
        if pending is None or pending.left(self._clock()) > 0:
            return False
        comment = (
            f"version {pending.version} was not confirmed within {pending.timeout:g} s: "
            f"back to version {pending.base}"
        )
        self._put(self._base, source="daemon", author="guidewayd", comment=comment)
        return True

    def versions(self, limit: int, before: int | None = None) -> list[Version]:
        """Return up to ``limit`` versions, older than ``before`` if given, newest first."""
        with self._using("cannot be read"):
            end = self.version + 1  # SQLite knows no number of more than 63 bits
            end = end if before is None else min(before, end)
            return list(self._database.versions(end, limit))

    def find(self, number: int) -> Stored:
        """Return a version and its state, encoded; raise NotFoundError."""
        with self._using("cannot be read"):
            is_possible = 0 < number <= self.version
            found = self._database.version(number) if is_possible else None
        if found is None:
            raise NotFoundError("version", str(number))
        return found

    def decode(self, stored: Stored | None) -> DesiredState:
        """Return the state of what :meth:`find` returned; None: nothing is wanted.

        Takes its time, and may be called from any thread. Raise HostError if it is damaged.
        """
        if stored is None:
            return _EMPTY
        version, state = stored
        try:
            return decode(state)
        except ConfigError as error:
            problem = f"{self._path}: version {version.number} cannot be read: {error}"
            raise HostError(problem) from error

    async def wait_for_change(self, since: int) -> int:
        """Wait until there is a version later than ``since``; return the version then."""
        while self.version <= since:
            await self._changed.wait()
        return self.version

    def close(self) -> None:
        """Let go of the file; the store is of no use afterwards."""
        self._database.close()

    def _refuse_while_pending(self, wanted: DesiredState, confirm: float | None) -> None:
        if self.pending is None:
            return
        pending, left = self.pending
        if wanted == self._base:
            if confirm is None:
                return
            raise ConfirmationError(
                f"version {pending.version} waits to be confirmed: what undoes it cannot "
                "wait itself"
            )
        raise ConfirmationError(
            f"version {pending.version} waits to be confirmed, for {left:.0f} s more: keep "
            f"it by `guideway confirm`, or undo it by `guideway rollback {pending.base}`, "
            "and then make this change"
        )

    def _put(
        self,
        wanted: DesiredState,
        *,
        source: Source,
        author: str,
        comment: str,
        digest: str | None = None,  # of the file that it comes from
        confirm: float | None = None,  # seconds
    ) -> None:
        """Store ``wanted`` as a version if it is one, and ``digest``; then swap states."""
        is_new = wanted != self._state
        now = self._clock()
        version = Version(self.version + 1, now.wall, source, author, comment)
        pending = None
        if confirm is not None:
            pending = Pending(version.number, self.version, confirm, now)
        with self._using(_NOT_STORED):
            new = (version, self._encoder.encode(wanted)) if is_new else None
            self._database.put(new, digest, pending)
        self._digest = self._digest if digest is None else digest
        self._pending, self._base = pending, self._state
        if is_new:
            self._state, self._newest = wanted, version
            # An event for each version: who waits from now on waits for the next one.
            self._changed.set()
            self._changed = asyncio.Event()
            facts = {"source": source, "author": author, "comment": comment}
            _log.info("desired state changed", version=self.version, **facts)

    @contextmanager
    def _using(self, failure: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise HostError(f"{self._path}: {failure}: {error}") from error
