"""The store's tables in SQLite, and the sentences that read and write them.

One row per version, the whole state in each: a version can be read without its history.
The daemon is the only one at the file; a lock of SQLite's sees to that until the connection
is closed, and goes with the process, however it ends.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from control.confirmation import Instant, Pending
from control.errors import HostError

Source = Literal["file", "api", "cli", "daemon"]

MAX_VERSIONS: Final = 1000
MAX_HISTORY_BYTES: Final = 1 << 28  # a full node's state has megabytes

_LAYOUT: Final = 3  # of the tables; kept in SQLite's user_version
_CREATE_VERSIONS: Final = """
CREATE TABLE version (
    version INTEGER PRIMARY KEY,
    time    REAL NOT NULL,  -- Unix time
    source  TEXT NOT NULL,  -- file, api, cli or daemon
    author  TEXT NOT NULL,
    comment TEXT NOT NULL,
    state   BLOB NOT NULL   -- JSON: control/encoding.py
) STRICT;
CREATE TABLE file (         -- one row: the configuration file that was applied last
    only    INTEGER PRIMARY KEY CHECK (only = 1),
    digest  TEXT NOT NULL
) STRICT;
"""
# What layout 2 has more than layout 1.
_CREATE_CONFIRMATION: Final = """
CREATE TABLE confirmation ( -- one row or none: the newest version waits to be confirmed
    only     INTEGER PRIMARY KEY CHECK (only = 1),
    version  INTEGER NOT NULL,
    base     INTEGER NOT NULL,  -- the version that comes back, or 0
    timeout  REAL NOT NULL,     -- seconds
    wall     REAL NOT NULL,     -- when it was made: Unix time
    boottime REAL NOT NULL,     -- and seconds since the boot
    boot     TEXT NOT NULL      -- whose id this is
) STRICT;
"""
# What layout 3 has more than layout 2: when a version that waited for it was confirmed
# (Unix time), and by whom.
_ADD_CONFIRMED: Final = """
ALTER TABLE version ADD COLUMN confirmed    REAL;
ALTER TABLE version ADD COLUMN confirmed_by TEXT NOT NULL DEFAULT '';
"""
_STEPS: Final = (_CREATE_VERSIONS, _CREATE_CONFIRMATION, _ADD_CONFIRMED)  # of the layouts
_SELECT: Final = """
SELECT version, time, source, author, comment, confirmed, confirmed_by, state FROM version
"""
_SELECT_NEWEST: Final = f"{_SELECT} ORDER BY version DESC LIMIT 1"
_SELECT_ONE: Final = f"{_SELECT} WHERE version = ?"
_SELECT_SOME: Final = """
SELECT version, time, source, author, comment, confirmed, confirmed_by FROM version
WHERE version < ? ORDER BY version DESC LIMIT ?
"""
_SELECT_PENDING: Final = """
SELECT version, base, timeout, wall, boottime, boot FROM confirmation
"""
_INSERT_DIGEST: Final = "INSERT OR REPLACE INTO file (only, digest) VALUES (1, ?)"
_INSERT: Final = """
INSERT INTO version (version, time, source, author, comment, state)
VALUES (?, ?, ?, ?, ?, ?)
"""
_CONFIRM: Final = "UPDATE version SET confirmed = ?, confirmed_by = ? WHERE version = ?"
_INSERT_PENDING: Final = """
INSERT INTO confirmation (only, version, base, timeout, wall, boottime, boot)
VALUES (1, ?, ?, ?, ?, ?, ?)
"""
# The newest is never old: the total before it is nothing. Nor is what may come back. The
# innermost SELECT has lengths only: a window keeps what it is given, states of megabytes.
_DELETE_OLD: Final = """
DELETE FROM version WHERE version <= (
    SELECT max(version) FROM (
        SELECT version,
            row_number() OVER newest_first AS row,
            sum(bytes) OVER newest_first - bytes AS bytes_before
        FROM (SELECT version, length(state) AS bytes FROM version)
        WINDOW newest_first AS (ORDER BY version DESC)
    ) WHERE row > ? OR bytes_before > ?
) AND version NOT IN (SELECT base FROM confirmation)
"""


@dataclass(frozen=True, slots=True)
class Version:
    """A change that was accepted."""

    number: int  # 1 or more
    time: float  # Unix time
    source: str  # file, api, cli or daemon
    author: str
    comment: str
    confirmed: float | None = None  # Unix time; None: it never waited, or was not yet
    confirmed_by: str = ""


Stored = tuple[Version, bytes]  # with the state, as control/encoding.py has it


class Database:
    """The file. Methods may raise sqlite3.Error; one that writes has done nothing then."""

    def __init__(self, path: Path) -> None:
        """Open the file at ``path``; raise HostError if it cannot be used.

        That is so if another process has it, it is damaged or a later release wrote it.
        """
        try:
            self._connection = sqlite3.connect(path, timeout=0, isolation_level="IMMEDIATE")
        except sqlite3.Error as error:
            raise HostError(f"{path}: cannot be opened: {error}") from error
        try:
            _prepare(path, self._connection)
        except sqlite3.Error as error:
            self.close()
            raise HostError(_refusal(path, error)) from error
        except HostError:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def newest(self) -> Stored | None:
        """Return the newest version; None if there is none."""
        return _stored(self._connection.execute(_SELECT_NEWEST).fetchone())

    def version(self, number: int) -> Stored | None:
        """Return the version ``number``; None if it is not there."""
        return _stored(self._connection.execute(_SELECT_ONE, (number,)).fetchone())

    def versions(self, before: int, limit: int) -> Iterator[Version]:
        """Return up to ``limit`` versions older than ``before``, the newest first."""
        rows = self._connection.execute(_SELECT_SOME, (before, limit))
        return (Version(*row) for row in rows)

    def digest(self) -> str | None:
        """Return what stands for the file that was applied last."""
        row = self._connection.execute("SELECT digest FROM file").fetchone()
        return None if row is None else row[0]

    def pending(self) -> Pending | None:
        """Return the version that waits for its confirmation."""
        row = self._connection.execute(_SELECT_PENDING).fetchone()
        if row is None:
            return None
        version, base, timeout, *since = row
        return Pending(version, base, timeout, Instant(*since))

    def put(self, new: Stored | None, digest: str | None, pending: Pending | None) -> None:
        """Store who waits, a version and a file's digest, if there are; all or nothing."""
        with self._connection as database:
            database.execute("DELETE FROM confirmation")
            if pending is not None:
                since = pending.since
                facts = (pending.version, pending.base, pending.timeout)
                clocks = (since.wall, since.boottime, since.boot)
                database.execute(_INSERT_PENDING, (*facts, *clocks))
            if digest is not None:
                database.execute(_INSERT_DIGEST, (digest,))
            if new is not None:
                version, state = new
                about = (version.source, version.author, version.comment)
                database.execute(_INSERT, (version.number, version.time, *about, state))
                database.execute(_DELETE_OLD, (MAX_VERSIONS, MAX_HISTORY_BYTES))

    def confirm(self, number: int, time: float, author: str) -> None:
        """Store that nobody waits any more, since ``author`` confirmed ``number``."""
        with self._connection as database:
            database.execute("DELETE FROM confirmation")
            database.execute(_CONFIRM, (time, author, number))


def _prepare(path: Path, database: sqlite3.Connection) -> None:
    """Take the lock, set how durable a commit is (wholly), and see to the tables."""
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    layout = database.execute("PRAGMA user_version").fetchone()[0]
    if 0 <= layout < _LAYOUT:
        missing = "".join(_STEPS[layout:])
        database.executescript(f"BEGIN; {missing} PRAGMA user_version = {_LAYOUT}; COMMIT;")
    elif layout != _LAYOUT:
        raise HostError(
            f"{path} has layout {layout}, and this release knows layouts up to {_LAYOUT} "
            "only: run the release that wrote it, or move the file away to start from the "
            "configuration file"
        )


def _stored(row: tuple[Any, ...] | None) -> Stored | None:
    return row and (Version(*row[:-1]), row[-1])


def _refusal(path: Path, error: sqlite3.Error) -> str:
    if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
        return f"{path} is in use by another guidewayd"
    return f"{path} cannot be used as the store: {error}"
