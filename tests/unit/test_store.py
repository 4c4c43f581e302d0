"""The store: what is wanted, kept."""

import asyncio
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import NoReturn

import pytest

from control.confirmation import Instant
from control.database import MAX_VERSIONS
from control.desired import DesiredState
from control.encoding import encode
from control.errors import ConflictError, HostError, NotFoundError
from control.model import Backend, Mode, Protocol, Service
from control.store import Store
from tests.support.full_disk import full_disk

WEB = Service(
    name="web",
    vip=IPv4Address("192.0.2.10"),
    protocol=Protocol.TCP,
    port=80,
    mode=Mode.DR,
    backends=(Backend("a", IPv4Address("10.0.0.1"), 80),),
)
WANTED = DesiredState((WEB,))
FILE = Path("/etc/guideway/guideway.yaml")
NOON = Instant(wall=1234.5, boottime=100.0, boot="this one")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "desired.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with closing(Store.open(path, clock=lambda: NOON)) as store:
        yield store


def weigh(store: Store, weight: int) -> int:
    """Make a version that differs in a weight."""
    return store.update(
        lambda state: state.with_changed_backend("web", "a", weight=weight),
        source="api",
        author="root",
    )


def add_web(store: Store) -> int:
    return store.update(lambda _: WANTED, source="api", author="root", comment="add web")


def test_a_new_store_wants_nothing_at_version_0(store: Store) -> None:
    assert (store.state, store.version) == (DesiredState(), 0)


def test_a_store_is_for_its_owner_only(store: Store, path: Path) -> None:
    add_web(store)

    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"desired.db": 0o600, "desired.db-wal": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_change_is_a_version_with_author_time_and_reason(
    store: Store, path: Path
) -> None:
    assert add_web(store) == 1
    assert weigh(store, 2) == 2

    store.close()
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute(
            "SELECT version, time, source, author, comment, state FROM version"
        ).fetchall()
    assert rows == [
        (1, 1234.5, "api", "root", "add web", encode(WANTED)),
        (
            2,
            1234.5,
            "api",
            "root",
            "",
            encode(WANTED.with_changed_backend("web", "a", weight=2)),
        ),
    ]


def test_the_state_is_there_after_a_restart(store: Store, path: Path) -> None:
    add_web(store)
    store.close()

    with closing(Store.open(path)) as reopened:
        assert (reopened.state, reopened.version) == (WANTED, 1)


def test_a_change_that_changes_nothing_makes_no_version(store: Store) -> None:
    add_web(store)

    assert weigh(store, 1) == 1
    assert store.version == 1


def test_a_change_that_is_refused_changes_nothing(store: Store) -> None:
    add_web(store)

    with pytest.raises(NotFoundError):
        store.update(
            lambda state: state.without_service("mail"), source="api", author="root"
        )

    assert (store.state, store.version) == (WANTED, 1)


def test_a_state_that_the_node_cannot_serve_is_refused(path: Path) -> None:
    def refuse(_: DesiredState) -> NoReturn:
        raise ConflictError("too many services")

    with closing(Store.open(path, accept=refuse)) as store:
        with pytest.raises(ConflictError, match="too many services"):
            add_web(store)
        with pytest.raises(ConflictError, match="too many services"):
            store.apply_file(WANTED, "digest", FILE)
        assert (store.state, store.version) == (DesiredState(), 0)


def test_a_change_that_finds_the_disk_full_changes_nothing(
    store: Store, path: Path
) -> None:
    add_web(store)

    with (
        full_disk(path.parent),
        pytest.raises(HostError, match=r"desired.db: the change was not stored: disk"),
    ):
        weigh(store, 2)

    assert (store.state, store.version) == (WANTED, 1)
    assert weigh(store, 3) == 2


def test_old_versions_go(store: Store, path: Path) -> None:
    add_web(store)
    for number in range(MAX_VERSIONS + 1):
        weigh(store, number)

    store.close()
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT min(version), max(version), count(*) FROM version")
        newest = MAX_VERSIONS + 2
        assert rows.fetchone() == (newest - MAX_VERSIONS + 1, newest, MAX_VERSIONS)


def test_large_versions_go_earlier_but_the_newest_stays(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control.database.MAX_HISTORY_BYTES", 1)
    add_web(store)
    weigh(store, 2)

    store.close()
    with closing(Store.open(path)) as reopened:
        assert reopened.version == 2


def test_a_file_is_applied_once(store: Store) -> None:
    assert store.apply_file(WANTED, "digest 1", FILE) == 1
    weigh(store, 2)

    assert store.apply_file(WANTED, "digest 1", FILE) == 2
    assert store.state.service("web").backend("a").weight == 2


def test_changes_by_the_api_outlive_a_restart_with_the_same_file(
    store: Store, path: Path
) -> None:
    store.apply_file(WANTED, "digest 1", FILE)
    weigh(store, 2)
    store.close()

    with closing(Store.open(path)) as reopened:
        assert reopened.apply_file(WANTED, "digest 1", FILE) == 2
        assert reopened.state.service("web").backend("a").weight == 2


def test_an_edited_file_wins(store: Store) -> None:
    store.apply_file(DesiredState(), "digest 1", FILE)
    add_web(store)
    edited = DesiredState((replace(WEB, name="mail", port=25, backends=()),))

    assert store.apply_file(edited, "digest 2", FILE) == 2
    assert store.state == edited
    assert store.newest
    assert (store.newest.source, store.newest.comment) == ("file", f"read {FILE}")


def test_a_file_edited_without_effect_is_remembered(store: Store, path: Path) -> None:
    store.apply_file(WANTED, "digest 1", FILE)
    assert store.apply_file(WANTED, "digest 2, a comment", FILE) == 1
    weigh(store, 2)
    store.close()

    with closing(Store.open(path)) as reopened:
        assert reopened.apply_file(WANTED, "digest 2, a comment", FILE) == 2


def test_who_waits_is_woken_by_the_next_version(store: Store) -> None:
    async def wait_twice() -> list[int]:
        async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
            first = tasks.create_task(store.wait_for_change(0))
            second = tasks.create_task(store.wait_for_change(1))
            await asyncio.sleep(0)  # both wait now
            assert not first.done()
            add_web(store)
            await first
            assert not second.done()
            weigh(store, 2)
        return [first.result(), second.result()]

    assert asyncio.run(wait_twice()) == [1, 2]


def test_who_comes_late_does_not_wait(store: Store) -> None:
    add_web(store)

    assert asyncio.run(store.wait_for_change(0)) == 1


@pytest.mark.usefixtures("store")
def test_another_process_is_refused(path: Path) -> None:
    script = f"""
        from pathlib import Path
        from control.errors import HostError
        from control.store import Store
        try:
            Store.open(Path({str(path)!r}))
        except HostError as error:
            print(error)
    """

    other = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        check=True,
        capture_output=True,
        text=True,
        timeout=20,
    )

    assert other.stdout == f"{path} is in use by another guidewayd\n"


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("services: are not kept here\n" * 100)

    with pytest.raises(HostError, match=r"desired.db cannot be used as the store: file is"):
        Store.open(path)


def test_a_store_of_a_later_release_is_refused(store: Store, path: Path) -> None:
    store.close()
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 4")

    with pytest.raises(
        HostError, match=r"has layout 4, and this release knows layouts up to 3"
    ):
        Store.open(path)


def test_a_version_that_cannot_be_read_is_refused(store: Store, path: Path) -> None:
    add_web(store)
    store.close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE version SET state = x'7b'")

    with pytest.raises(HostError, match=r"desired.db: version 1 cannot be read: stored"):
        Store.open(path)


def test_an_old_version_that_cannot_be_read_is_refused_alone(
    store: Store, path: Path
) -> None:
    add_web(store)
    weigh(store, 2)
    store.close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE version SET state = x'7b' WHERE version = 1")

    with closing(Store.open(path)) as reopened:
        assert [version.number for version in reopened.versions(9)] == [2, 1]
        with pytest.raises(HostError, match=r"desired.db: version 1 cannot be read: stor"):
            reopened.decode(reopened.find(1))
        assert weigh(reopened, 3) == 3


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(HostError, match="cannot be created: Not a directory"):
        Store.open(tmp_path / "file" / "state" / "desired.db")


def test_what_was_answered_survives_kill_9(path: Path) -> None:
    script = f"""
        import os, sys
        from ipaddress import IPv4Address
        from pathlib import Path
        import structlog
        structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
        from control.store import Store
        from tests.unit.test_store import WANTED, weigh, add_web
        store = Store.open(Path({str(path)!r}))
        if store.version == 0:
            add_web(store)
        while True:
            print(weigh(store, store.version % 60000 + 2), flush=True)
    """
    answered = 0
    for number in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        for _ in range(3 + 7 * number):  # end at another place each time
            answered = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().split("\n")[:-1]  # whole lines: answered before it died
        answered = int(rest[-1]) if rest else answered
        writer.stdout.close()
        writer.wait()

        with closing(Store.open(path)) as store:
            assert store.version in (answered, answered + 1)  # stored, but not yet printed
            assert (
                store.state.service("web").backend("a").weight == store.version % 60000 + 1
            )
