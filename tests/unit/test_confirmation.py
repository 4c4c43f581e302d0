"""A change that nobody confirms is undone, also across restarts, whatever clocks do."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from control.confirmation import Instant, Pending, instant
from control.desired import DesiredState
from control.encoding import encode
from control.errors import ConfigError, ConfirmationError, HostError
from control.store import Store
from tests.support.full_disk import full_disk
from tests.unit.test_store import NOON, WANTED, add_web, weigh


@dataclass
class Clock:
    """A clock that the test sets."""

    now: Instant = NOON

    def __call__(self) -> Instant:
        return self.now

    def pass_by(self, seconds: float) -> None:
        wall, boottime = self.now.wall + seconds, self.now.boottime + seconds
        self.now = replace(self.now, wall=wall, boottime=boottime)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "desired.db"


@pytest.fixture
def store(path: Path, clock: Clock) -> Iterator[Store]:
    """Return a store with a version 1."""
    with closing(Store.open(path, clock=clock)) as store:
        add_web(store)
        yield store


def weigh_for_a_minute(store: Store, weight: int) -> int:
    return store.update(
        lambda state: state.with_changed_backend("web", "a", weight=weight),
        source="cli",
        author="alice",
        confirm=60,
    )


def weight(store: Store) -> int:
    return store.state.service("web").backend("a").weight


def test_an_unconfirmed_change_is_undone_in_time_and_not_before(
    store: Store, clock: Clock
) -> None:
    assert weigh_for_a_minute(store, 7) == 2

    clock.pass_by(59.5)
    assert not store.expire()
    assert (weight(store), store.version) == (7, 2)
    clock.pass_by(0.5)
    assert store.expire()

    assert (store.state, store.version, store.pending) == (WANTED, 3, None)
    [newest] = store.versions(1)
    assert (newest.source, newest.author, newest.comment) == (
        "daemon",
        "guidewayd",
        "version 2 was not confirmed within 60 s: back to version 1",
    )
    assert not store.expire()


def test_a_confirmed_change_stays(store: Store, clock: Clock) -> None:
    weigh_for_a_minute(store, 7)
    clock.pass_by(30)
    assert store.pending == (Pending(2, 1, 60, NOON), 30)

    assert store.confirm(author="alice") == 2

    clock.pass_by(60)
    assert not store.expire()
    assert (weight(store), store.version, store.pending) == (7, 2, None)


def test_the_history_says_who_confirmed_and_when(
    store: Store, clock: Clock, path: Path
) -> None:
    told = []
    store.confirmed = told.append
    weigh_for_a_minute(store, 7)
    clock.pass_by(30)
    store.confirm(author="bob")

    newest, first = store.versions(2)
    assert (newest.confirmed, newest.confirmed_by) == (NOON.wall + 30, "bob")
    assert (first.confirmed, first.confirmed_by) == (None, "")
    assert told == [store.newest] == [newest]
    store.close()
    with closing(Store.open(path, clock=clock)) as reopened:
        assert reopened.newest == newest


def test_a_confirmation_that_cannot_be_stored_is_none(store: Store) -> None:
    weigh_for_a_minute(store, 7)
    store.close()

    with pytest.raises(HostError, match="the change was not stored"):
        store.confirm(author="bob")

    assert store.newest is not None
    assert store.newest.confirmed is None
    assert store.pending is not None


def test_what_does_not_wait_cannot_be_confirmed(store: Store) -> None:
    with pytest.raises(ConfirmationError, match="no version waits to be confirmed; the"):
        store.confirm(author="alice")
    weigh_for_a_minute(store, 7)
    with pytest.raises(ConfirmationError, match="version 2 waits to be confirmed, not 1"):
        store.confirm(1, author="alice")

    assert store.confirm(2, author="alice") == 2


def test_a_second_change_is_refused_meanwhile(store: Store, clock: Clock) -> None:
    weigh_for_a_minute(store, 7)
    clock.pass_by(17)

    for change in (weigh, weigh_for_a_minute):
        with pytest.raises(ConfirmationError) as refused:
            change(store, 8)

    assert str(refused.value) == (
        "version 2 waits to be confirmed, for 43 s more: keep it by `guideway confirm`, or "
        "undo it by `guideway rollback 1`, and then make this change"
    )
    assert (weight(store), store.version) == (7, 2)


def test_what_changes_nothing_is_not_refused(store: Store) -> None:
    weigh_for_a_minute(store, 7)

    assert weigh_for_a_minute(store, 7) == weigh(store, 7) == 2
    assert store.pending is not None


def test_it_may_be_undone_at_once(store: Store, clock: Clock) -> None:
    weigh_for_a_minute(store, 7)

    with pytest.raises(ConfirmationError, match="what undoes it cannot wait itself"):
        weigh_for_a_minute(store, 1)
    assert weigh(store, 1) == 3

    clock.pass_by(60)
    assert store.pending is None
    assert not store.expire()


def test_a_file_wins_over_what_waits(store: Store, clock: Clock) -> None:
    weigh_for_a_minute(store, 7)
    edited = WANTED.with_changed_backend("web", "a", weight=9)

    assert store.apply_file(edited, "digest", Path("guideway.yaml")) == 3

    clock.pass_by(60)
    assert not store.expire()
    assert weight(store) == 9


def test_a_file_that_wants_what_waits_confirms_it(store: Store, clock: Clock) -> None:
    weigh_for_a_minute(store, 7)

    assert store.apply_file(store.state, "digest", Path("guideway.yaml")) == 2

    clock.pass_by(60)
    assert not store.expire()


def test_the_first_version_is_undone_to_nothing(path: Path, clock: Clock) -> None:
    with closing(Store.open(path, clock=clock)) as store:
        store.update(lambda _: WANTED, source="cli", author="alice", confirm=60)
    with closing(Store.open(path, clock=clock)) as store:
        clock.pass_by(60)

        assert store.expire()

        assert (store.state, store.version) == (DesiredState(), 2)


@pytest.mark.parametrize(
    ("now", "left"),
    [
        pytest.param(replace(NOON, boottime=120.0), 40, id="it only took a while"),
        pytest.param(
            Instant(wall=NOON.wall + 1e9, boottime=120.0, boot=NOON.boot),
            40,
            id="somebody set the clock forward",
        ),
        pytest.param(
            Instant(wall=0.0, boottime=120.0, boot=NOON.boot),
            40,
            id="somebody set the clock back",
        ),
        pytest.param(
            Instant(wall=NOON.wall + 20, boottime=3.0, boot="the next one"),
            40,
            id="the host was booted",
        ),
        pytest.param(
            Instant(wall=0.0, boottime=3.0, boot="the next one"),
            60,
            id="the host was booted and has forgotten the time",
        ),
        pytest.param(
            Instant(wall=NOON.wall + 86400, boottime=3.0, boot="the next one"),
            0,
            id="the host was down for a day",
        ),
    ],
)
def test_the_deadline_outlives_a_restart(
    store: Store, path: Path, now: Instant, left: float
) -> None:
    weigh_for_a_minute(store, 7)
    store.close()

    with closing(Store.open(path, clock=lambda: now)) as reopened:
        assert reopened.pending == (Pending(2, 1, 60, NOON), left)
        assert reopened.expire() == (left == 0)
        assert weight(reopened) == (7 if left else 1)


def test_a_full_disk_undoes_nothing_and_confirms_nothing(
    store: Store, path: Path, clock: Clock
) -> None:
    weigh_for_a_minute(store, 7)
    with full_disk(path.parent):
        with pytest.raises(HostError, match="the change was not stored: disk"):
            store.confirm(author="alice")
        clock.pass_by(60)
        with pytest.raises(HostError, match="the change was not stored: disk"):
            store.expire()
    assert (weight(store), store.version) == (7, 2)

    assert store.expire()
    assert weight(store) == 1


@pytest.mark.parametrize("seconds", [0.5, 0, -1, 86401, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(store: Store, seconds: float) -> None:
    with pytest.raises(ConfigError, match=r"confirm_timeout: .* s is not in 1…86400 s"):
        store.update(lambda _: DesiredState(), source="api", author="", confirm=seconds)

    assert store.version == 1


def test_what_may_have_to_come_back_is_kept_however_large(
    path: Path, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control.database.MAX_HISTORY_BYTES", 1)
    weigh_for_a_minute(store, 7)
    store.close()
    clock.pass_by(60)

    with closing(Store.open(path, clock=clock)) as reopened:
        assert reopened.expire()
        assert weight(reopened) == 1


# What layout 2 has more than layout 1.
LAYOUT_2 = """
    CREATE TABLE confirmation (
        only INTEGER PRIMARY KEY CHECK (only = 1), version INTEGER NOT NULL,
        base INTEGER NOT NULL, timeout REAL NOT NULL, wall REAL NOT NULL,
        boottime REAL NOT NULL, boot TEXT NOT NULL
    ) STRICT;
    PRAGMA user_version = 2;
"""


@pytest.mark.parametrize("more", [LAYOUT_2, ""], ids=["layout 2", "layout 1"])
def test_a_store_of_a_release_before_is_taken_over(tmp_path: Path, more: str) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            """
            CREATE TABLE version (
                version INTEGER PRIMARY KEY, time REAL NOT NULL, source TEXT NOT NULL,
                author TEXT NOT NULL, comment TEXT NOT NULL, state BLOB NOT NULL
            ) STRICT;
            CREATE TABLE file (
                only INTEGER PRIMARY KEY CHECK (only = 1), digest TEXT NOT NULL
            ) STRICT;
            INSERT INTO file VALUES (1, 'digest');
            PRAGMA user_version = 1;
            """
        )
        row = (4, 1234.5, "api", "root", "", encode(WANTED))
        database.execute("INSERT INTO version VALUES (?, ?, ?, ?, ?, ?)", row)
        database.executescript(more)
        database.commit()

    with closing(Store.open(path)) as store:
        assert (store.state, store.version, store.pending) == (WANTED, 4, None)
        assert store.has_applied("digest")
        assert weigh_for_a_minute(store, 7) == 5
        assert store.confirm(author="alice") == 5


def test_the_clocks_are_read() -> None:
    before, after = instant(), instant()

    assert before.boot == after.boot != ""
    assert before.boottime <= after.boottime
    assert Pending(1, 0, 60, before).left(after) == pytest.approx(60, abs=5)


def test_kill_9_leaves_who_waits_and_what_comes_back_together(path: Path) -> None:
    script = f"""
        from pathlib import Path
        import structlog
        structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
        from control.store import Store
        from tests.unit.test_confirmation import weigh_for_a_minute
        from tests.unit.test_store import add_web
        store = Store.open(Path({str(path)!r}))
        if store.pending:
            store.confirm(author="alice")
        elif store.version == 0:
            add_web(store)
        while True:
            print(weigh_for_a_minute(store, store.version % 60000 + 2), flush=True)
            store.confirm(author="alice")
            print(0, flush=True)
    """
    dice = random.Random(6)
    waiting = set()
    for number in range(40):
        if number >= 6 and waiting == {True, False}:  # it was killed in both states
            break
        writer = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        said = [int(writer.stdout.readline()) for _ in range(dice.randint(1, 30))]
        os.kill(writer.pid, signal.SIGKILL)
        said += map(int, writer.stdout.read().split("\n")[:-1])
        writer.stdout.close()
        writer.wait()

        answered = max(said)
        with closing(Store.open(path)) as store:
            assert store.version in (answered, answered + 1)
            assert weight(store) == store.version % 60000 + 1
            waiting.add(store.pending is not None)
            if store.pending is not None:
                pending, left = store.pending
                assert (pending.version, pending.base) == (store.version, store.version - 1)
                assert 0 < left <= 60
            elif said[-1]:  # it was about to be confirmed, and so it was
                assert store.version == answered
    assert waiting == {True, False}
