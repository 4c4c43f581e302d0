"""The desired state, kept in SQLite: a change is a version with author, time and reason.

One row per version, the whole state in each: a version can be read without its history.
The daemon is the only one at the file; a lock of SQLite's, held until :meth:`Store.close`,
sees to that and goes with the process, however it ends.

A store belongs to one event loop: :meth:`Store.update` wakes those who wait, and must be
called from the loop's thread. It waits for the disk (one fsync, some milliseconds).
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, Self

import structlog

from control.encoding import decode, encode
from control.errors import ConfigError, HostError
from control.model import DesiredState

Change = Callable[[DesiredState], DesiredState]
Source = Literal["file", "api"]

MAX_VERSIONS: Final = 1000
MAX_HISTORY_BYTES: Final = 1 << 28  # a full node's state has megabytes

_log: Final = structlog.get_logger()
_LAYOUT: Final = 1  # of the tables; kept in SQLite's user_version
_CREATE: Final = f"""
BEGIN;
CREATE TABLE version (
    version INTEGER PRIMARY KEY,
    time    REAL NOT NULL,  -- Unix time
    source  TEXT NOT NULL,  -- file or api
    author  TEXT NOT NULL,
    comment TEXT NOT NULL,
    state   BLOB NOT NULL   -- JSON: control/encoding.py
) STRICT;
CREATE TABLE file (         -- one row: the configuration file that was applied last
    only    INTEGER PRIMARY KEY CHECK (only = 1),
    digest  TEXT NOT NULL
) STRICT;
PRAGMA user_version = {_LAYOUT};
COMMIT;
"""
_SELECT_NEWEST: Final = "SELECT version, state FROM version ORDER BY version DESC LIMIT 1"
_INSERT_DIGEST: Final = "INSERT OR REPLACE INTO file (only, digest) VALUES (1, ?)"
_INSERT: Final = """
INSERT INTO version (version, time, source, author, comment, state)
VALUES (?, ?, ?, ?, ?, ?)
"""
# The newest is never old: the total before it is nothing.
_DELETE_OLD: Final = """
DELETE FROM version WHERE version <= (
    SELECT max(version) FROM (
        SELECT version,
            row_number() OVER newest_first AS row,
            sum(length(state)) OVER newest_first - length(state) AS bytes_before
        FROM version WINDOW newest_first AS (ORDER BY version DESC)
    ) WHERE row > ? OR bytes_before > ?
)
"""


class Store:
    """The desired state, and the only way to change it."""

    def __init__(
        self,
        path: Path,
        database: sqlite3.Connection,
        accept: Callable[[DesiredState], None],
        clock: Callable[[], float],
    ) -> None:
        self._path = path
        self._database = database
        self._accept = accept
        self._clock = clock
        self._version, self._state = _newest(path, database)
        self._digest = _digest(database)
        self._changed = asyncio.Event()

    @classmethod
    def open(
        cls,
        path: Path,
        accept: Callable[[DesiredState], None] = lambda _: None,
        *,
        clock: Callable[[], float] = time.time,
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
        try:
            database = sqlite3.connect(path, timeout=0, isolation_level="IMMEDIATE")
        except sqlite3.Error as error:
            raise HostError(f"{path}: cannot be opened: {error}") from error
        try:
            _prepare(path, database)
            return cls(path, database, accept, clock)
        except sqlite3.Error as error:
            database.close()
            raise HostError(_refusal(path, error)) from error
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
        return self._version

    def update(
        self, change: Change, *, source: Source, author: str, comment: str = ""
    ) -> int:
        """Make ``change(state)`` the state and return its version.

        A change that changes nothing makes no version. What ``change`` and ``accept`` raise
        goes to the caller; HostError says that the new state could not be stored. Either
        way nothing has changed then.
        """
        wanted = change(self._state)
        if wanted != self._state:
            self._put(wanted, source=source, author=author, comment=comment)
        return self._version

    def apply_file(self, state: DesiredState, digest: str) -> int:
        """Make ``state`` the state if the file it comes from is not the one applied last.

        ``digest`` stands for the file's contents. So an edited file wins when it is loaded,
        and what the API has changed since outlives a restart with the same file. Return the
        version that counts now; raise HostError as :meth:`update` does.
        """
        if not self.has_applied(digest):
            comment = f"file {digest[:12]}"
            self._put(
                state, source="file", author="guidewayd", comment=comment, digest=digest
            )
        return self._version

    def has_applied(self, digest: str) -> bool:
        """Tell whether :meth:`apply_file` would change nothing."""
        return digest == self._digest

    async def wait_for_change(self, since: int) -> int:
        """Wait until there is a version later than ``since``; return the version then."""
        while self._version <= since:
            await self._changed.wait()
        return self._version

    def close(self) -> None:
        """Let go of the file; the store is of no use afterwards."""
        self._database.close()

    def _put(
        self,
        wanted: DesiredState,
        *,
        source: Source,
        author: str,
        comment: str,
        digest: str | None = None,  # of the file that it comes from
    ) -> None:
        """Store ``wanted`` as a version if it is one, and ``digest``; then swap states."""
        new = wanted != self._state
        if new:
            self._accept(wanted)
        version = self._version + 1
        try:
            with self._database:
                if digest is not None:
                    self._database.execute(_INSERT_DIGEST, (digest,))
                if new:
                    row = (version, self._clock(), source, author, comment, encode(wanted))
                    self._database.execute(_INSERT, row)
                    self._database.execute(_DELETE_OLD, (MAX_VERSIONS, MAX_HISTORY_BYTES))
        except sqlite3.Error as error:
            raise HostError(f"{self._path}: the change was not stored: {error}") from error
        self._digest = self._digest if digest is None else digest
        if new:
            self._state, self._version = wanted, version
            # An event for each version: who waits from now on waits for the next one.
            self._changed.set()
            self._changed = asyncio.Event()
            facts = {"source": source, "author": author, "comment": comment}
            _log.info("desired state changed", version=version, **facts)


def _prepare(path: Path, database: sqlite3.Connection) -> None:
    """Take the lock, set how durable a commit is (wholly), and see to the tables."""
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    layout = database.execute("PRAGMA user_version").fetchone()[0]
    if layout == 0:
        database.executescript(_CREATE)
    elif layout != _LAYOUT:
        raise HostError(
            f"{path} has layout {layout}, and this release knows layout {_LAYOUT} only: "
            "run the release that wrote it, or move the file away to start from the "
            "configuration file"
        )


def _newest(path: Path, database: sqlite3.Connection) -> tuple[int, DesiredState]:
    row = database.execute(_SELECT_NEWEST).fetchone()
    if row is None:
        return 0, DesiredState()
    version, stored = row
    try:
        return version, decode(stored)
    except ConfigError as error:
        raise HostError(f"{path}: version {version} cannot be read: {error}") from error


def _digest(database: sqlite3.Connection) -> str | None:
    row = database.execute("SELECT digest FROM file").fetchone()
    return None if row is None else row[0]


def _refusal(path: Path, error: sqlite3.Error) -> str:
    if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
        return f"{path} is in use by another guidewayd"
    return f"{path} cannot be used as the store: {error}"
