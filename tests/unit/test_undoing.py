"""guidewayd undoes by itself what nobody confirms."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from control import undoing
from control.confirmation import instant
from control.desired import DesiredState
from control.store import Store
from control.undoing import undo_overdue, undo_unconfirmed
from tests.support.full_disk import full_disk
from tests.unit.test_confirmation import weight
from tests.unit.test_store import WANTED, add_web, weigh


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "desired.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with closing(Store.open(path)) as store:
        add_web(store)
        yield store


def weigh_for(seconds: float, store: Store, weight: int) -> int:
    return store.update(
        lambda state: state.with_changed_backend("web", "a", weight=weight),
        source="cli",
        author="alice",
        confirm=seconds,
    )


def while_undoing(store: Store, scene: Callable[[], Coroutine[None, None, None]]) -> None:
    async def play() -> None:
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            undoer = tasks.create_task(undo_unconfirmed(store))
            await scene()
            undoer.cancel()

    asyncio.run(play())


def test_what_nobody_confirms_is_undone_when_its_time_is_over(store: Store) -> None:
    async def scene() -> None:
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(0)  # it waits for a change already
        weigh_for(1, store, 7)
        assert await store.wait_for_change(2) == 3
        assert 0.99 < asyncio.get_running_loop().time() - began < 10

    while_undoing(store, scene)

    assert store.state == WANTED


def test_what_is_confirmed_stays_and_the_next_one_has_its_own_time(store: Store) -> None:
    async def scene() -> None:
        weigh_for(60, store, 7)
        await asyncio.sleep(0)  # it counts the minute
        store.confirm(author="alice")
        weigh_for(1, store, 8)
        assert await store.wait_for_change(3) == 4

    while_undoing(store, scene)

    assert weight(store) == 7


def test_a_disk_that_is_full_then_only_delays_it(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undoing, "_RETRY_INTERVAL", 0.01)

    async def scene() -> None:
        weigh_for(1, store, 7)
        with capture_logs() as logs, full_disk(path.parent):
            while not logs:  # noqa: ASYNC110 - a log wakes nobody
                await asyncio.sleep(0.01)
        assert logs[0]["event"] == "unconfirmed change not undone"
        assert store.version == 2
        await store.wait_for_change(2)

    while_undoing(store, scene)

    assert store.state == WANTED


def test_a_start_undoes_what_was_due_before_it(path: Path) -> None:
    long_ago = replace(instant(), boottime=-3600.0)
    with closing(Store.open(path, clock=lambda: long_ago)) as store:
        store.update(lambda _: WANTED, source="cli", author="alice", confirm=60)

    with closing(Store.open(path)) as store:
        assert undo_overdue(store)
        assert store.state == DesiredState()
        assert not undo_overdue(store)


def test_a_change_is_no_confirmation(store: Store) -> None:
    async def scene() -> None:
        weigh_for(1, store, 7)
        with suppress(Exception):
            weigh(store, 9)
        await store.wait_for_change(2)

    while_undoing(store, scene)

    assert store.state == WANTED
