"""What probes have found out, kept in a file for the next guidewayd.

It is written behind the probes' backs, by a thread, little by little: a process that is
killed loses the last second of it. A loss is no harm, for probes find everything out again;
so the file never keeps guidewayd from its work, whatever is wrong with it.
"""

import asyncio
import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final, Protocol, Self

import structlog

from control.check_common import Initial
from control.checks import AnyCheck
from control.document import check_document
from control.health.memory import Memory, decode, encode
from control.health.probe import Probe

_log: Final = structlog.get_logger()

FRESH: Final = 600.0  # seconds; what is older counts where `initial` is `before` alone
_PAUSE: Final = 0.25  # seconds from one writing to the next
_RETRY: Final = 10.0  # seconds after one that failed
_MOST: Final = 500  # probes that are written at a time: some ms of the event loop
_ALIVE: Final = 5.0  # seconds from one sign of life to the next
_LAYOUT: Final = 1  # of the tables; kept in SQLite's user_version
_CREATE: Final = """
BEGIN;
CREATE TABLE probe (
    definition BLOB PRIMARY KEY,  -- a digest of it
    memory     BLOB NOT NULL      -- JSON: control/health/memory.py
) STRICT, WITHOUT ROWID;
CREATE TABLE alive (              -- one row
    only INTEGER PRIMARY KEY CHECK (only = 1),
    time REAL NOT NULL            -- Unix time: until then all that was known is here
) STRICT;
PRAGMA user_version = 1;
COMMIT;
"""
_SELECT: Final = "SELECT memory FROM probe WHERE definition = ?"
_UPSERT: Final = "INSERT OR REPLACE INTO probe (definition, memory) VALUES (?, ?)"
_DELETE: Final = "DELETE FROM probe WHERE definition = ?"
_LIVE: Final = "INSERT OR REPLACE INTO alive (only, time) VALUES (1, ?)"

Change = tuple[Probe, Memory | None]  # None: it is not wanted any more


class Source(Protocol):
    """Whoever knows what is to be kept; asked on the event loop."""

    def unsaved(self, most: int) -> Sequence[Change]:
        """Return up to ``most`` changes; they are not returned again."""

    def lose(self, probes: Iterable[Probe]) -> None:
        """Have changes returned again that could not be kept."""

    def lose_all(self) -> None:
        """Have everything returned, whether it has changed or not."""


class Keeper:
    """The file. At most one thread uses it at a time."""

    def __init__(self, path: Path, connection: sqlite3.Connection | None) -> None:
        self._path = path
        self._connection = connection  # None: nothing is kept
        self._live = 0.0  # monotonic time of the last sign of life
        self.problem = ""  # why nothing was kept the last time; "": it was

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the file at ``path`` (mode 0600), or begin another where it is no good."""
        connection: sqlite3.Connection | None = None
        problem = ""
        for attempt in range(2):
            try:
                connection = _connect(path)
                break
            except (OSError, sqlite3.Error) as error:
                problem = f"{path}: {error}"
            if attempt == 0:
                _log.warning("health before is not known", problem=problem)
                _remove(path)
        keeper = cls(path, connection)
        keeper.problem = "" if connection else problem
        return keeper

    def read(self, probes: Iterable[Probe]) -> dict[Probe, Memory]:
        """Return what is known of ``probes``; what is too old for them is left out."""
        if self._connection is None:
            return {}
        known = {}
        try:
            row = self._connection.execute("SELECT time FROM alive").fetchone()
            is_fresh = row is not None and time.time() <= row[0] + FRESH
            for probe in probes:
                if not is_fresh and probe.check.initial is not Initial.BEFORE:
                    continue
                found = self._connection.execute(_SELECT, (definition(probe),)).fetchone()
                if found and (memory := decode(found[0])):
                    known[probe] = memory
        except sqlite3.Error as error:
            self._fail(error)
        return known

    async def run(self, source: Source) -> None:
        """Keep what changes until cancelled."""
        while True:
            await asyncio.sleep(_RETRY if self.problem else _PAUSE)
            changes = source.unsaved(_MOST)
            if not changes and time.monotonic() < self._live + _ALIVE:
                continue
            work = asyncio.ensure_future(asyncio.to_thread(self._write, changes))
            try:
                written = await asyncio.shield(work)
            except asyncio.CancelledError:
                # A thread cannot be stopped, and has the file open.
                await asyncio.wait([work])
                raise
            if not written:
                source.lose(probe for probe, _ in changes)

    def finish(self, source: Source) -> None:
        """Keep everything and let go of the file: the process ends."""
        source.lose_all()
        while changes := source.unsaved(_MOST):
            if not self._write(changes):
                break
        self.close()

    def close(self) -> None:
        """Let go of the file as it is."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _write(self, changes: Iterable[Change]) -> bool:
        """Write ``changes``, all of them or none; tell whether that went well."""
        if self._connection is None:
            return False
        rows = [(definition(probe), memory) for probe, memory in changes]
        known = [(name, encode(memory)) for name, memory in rows if memory is not None]
        gone = [(name,) for name, memory in rows if memory is None]
        try:
            with self._connection:  # a transaction
                self._connection.executemany(_UPSERT, known)
                self._connection.executemany(_DELETE, gone)
                self._connection.execute(_LIVE, (time.time(),))
        except sqlite3.Error as error:
            self._fail(error)
            return False
        self._live = time.monotonic()
        self.problem = ""
        return True

    def _fail(self, error: sqlite3.Error) -> None:
        problem = f"{self._path}: {error}"
        if problem != self.problem:
            _log.error("health is not kept", problem=problem)
        self.problem = problem


def definition(probe: Probe) -> bytes:
    """Return the digest of a definition, the same for ever.

    What has its default is left out of it: a key that comes with a release changes nothing.
    """
    way = "" if probe.vip is None else f" {probe.vip}"
    text = f"{probe.address} {probe.port} {_asked(probe.check)}{way}"
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


@lru_cache(maxsize=1024)
def _asked(check: AnyCheck) -> str:
    return json.dumps(check_document(check), sort_keys=True)


def _connect(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600)
    path.chmod(0o600)
    connection = sqlite3.connect(
        path, timeout=0, isolation_level="IMMEDIATE", check_same_thread=False
    )
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        # Whole after a crash in any case, without a wait for the disk at each writing.
        connection.execute("PRAGMA synchronous = NORMAL")
        layout = connection.execute("PRAGMA user_version").fetchone()[0]
        if layout == 0:
            connection.executescript(_CREATE)
        elif layout != _LAYOUT:
            raise sqlite3.DatabaseError(f"it has layout {layout}")  # noqa: TRY301
        connection.execute("SELECT count(*) FROM alive").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        with suppress(OSError):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
