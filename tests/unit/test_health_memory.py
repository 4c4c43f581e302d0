"""What probes have found out survives the process that made them."""

import asyncio
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.check_common import Initial
from control.checks import CHECKS, AnyCheck, HttpCheck, TcpCheck
from control.desired import DesiredState
from control.health import keeper as module
from control.health.keeper import FRESH, Keeper, definition
from control.health.memory import KEPT, Memory, decode, encode
from control.health.monitor import Monitor
from control.health.probe import Probe, probes_of
from control.health.result import PASSED, Result
from control.health.tracker import Tracker
from control.model import Backend, Mode, Protocol, Service
from control.status import Health, Outcome, ProbeResult
from tests.support.full_disk import full_disk

NOW = 1_700_000_000.0
times = st.floats(min_value=0, max_value=1e11)
results = st.builds(
    ProbeResult, times, times, st.sampled_from(Outcome), st.text(max_size=200)
)
trackers = st.builds(
    Tracker,
    health=st.sampled_from([Health.UP, Health.DOWN, Health.UNKNOWN]),
    against=st.integers(0, 1000),
    rose=st.none() | times,
    flaps=st.integers(0, 5),
    held=times,
)
memories = st.builds(
    Memory,
    tracker=trackers,
    since=st.none() | times,
    weight=st.none() | st.integers(0, 65535),
    results=st.lists(results, max_size=KEPT).map(tuple),
)


@given(memories)
def test_a_memory_that_is_stored_is_the_same_again(memory: Memory) -> None:
    assert decode(encode(memory)) == memory


@given(
    st.binary(max_size=100)
    | st.builds(lambda m, n: encode(m)[:n], memories, st.integers(0, 300))
)
def test_bytes_that_are_damaged_are_no_memory_and_no_error(stored: bytes) -> None:
    assert decode(stored) is None or encode(decode(stored))


FAST = TcpCheck(interval=0.01, rise=2, fall=3)
B1 = IPv4Address("10.0.0.1")
PROBE = Probe(B1, 80, FAST)
DOWN = Memory(
    Tracker(Health.DOWN, 1, NOW - 70, 2, NOW + 20),
    NOW - 5,
    7,
    (ProbeResult(NOW - 1, 0.002, Outcome.FAILED, "port 80: Connection refused"),),
)


@pytest.mark.parametrize(
    "other",
    [
        replace(PROBE, address=IPv6Address("::1")),
        replace(PROBE, port=81),
        replace(PROBE, check=replace(FAST, fall=4)),
        replace(PROBE, check=HttpCheck(interval=0.01, rise=2, fall=3)),
    ],
)
def test_another_definition_is_something_else(other: Probe) -> None:
    assert definition(other) != definition(PROBE)


@pytest.mark.parametrize("kind", CHECKS)
def test_a_definition_is_the_same_when_defaults_are_written_out(kind: str) -> None:
    # A key that a later release adds, with a default, must not let all start afresh.
    check = CHECKS[kind]()

    assert definition(Probe(B1, 80, check)) == definition(
        Probe(B1, 80, replace(check, rise=2, damping=0.0))
    )


def test_the_digest_of_a_definition_is_the_same_for_ever() -> None:
    assert definition(PROBE).hex() == "e442a45db483145bd319f8efd190fe67"


class Changes:
    """What a monitor would say has changed."""

    def __init__(self, *changes: tuple[Probe, Memory | None]) -> None:
        self.changes = list(changes)
        self.lost: list[Probe] = []

    def unsaved(self, most: int) -> list[tuple[Probe, Memory | None]]:
        taken, self.changes = self.changes[:most], self.changes[most:]
        return taken

    def lose(self, probes) -> None:
        self.lost.extend(probes)

    def lose_all(self) -> None:
        pass


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "health.db"


def keep(path: Path, *changes: tuple[Probe, Memory | None]) -> None:
    Keeper.open(path).finish(Changes(*changes))


def known(path: Path, *probes: Probe) -> dict[Probe, Memory]:
    with closing(Keeper.open(path)) as keeper:
        assert keeper.problem == ""
        return keeper.read(probes)


def test_what_is_kept_is_known_and_nothing_else(path: Path) -> None:
    other = replace(PROBE, port=81)
    keep(path, (PROBE, DOWN))

    assert known(path, PROBE, other) == {PROBE: DOWN}
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_is_forgotten_is_not_known_any_more(path: Path) -> None:
    keep(path, (PROBE, DOWN))
    keep(path, (PROBE, None))

    assert known(path, PROBE) == {}


def test_more_than_are_written_at_a_time_are_kept(path: Path) -> None:
    probes = [replace(PROBE, address=B1 + n) for n in range(2500)]
    keep(path, *((probe, DOWN) for probe in probes))

    assert known(path, *probes) == dict.fromkeys(probes, DOWN)


def test_what_is_old_is_known_to_those_alone_that_ask_for_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = replace(PROBE, check=replace(FAST, initial=Initial.BEFORE))
    keep(path, (PROBE, DOWN), (before, DOWN))
    later = time.time() + FRESH + 1
    monkeypatch.setattr(module.time, "time", lambda: later)

    assert known(path, PROBE, before) == {before: DOWN}


@pytest.mark.parametrize("damage", [b"not a database" * 100, b""])
def test_a_damaged_file_is_begun_anew(path: Path, damage: bytes) -> None:
    keep(path, (PROBE, DOWN))
    path.write_bytes(damage)

    assert known(path, PROBE) == {}
    keep(path, (PROBE, DOWN))
    assert known(path, PROBE) == {PROBE: DOWN}


def test_the_file_of_a_later_release_is_begun_anew(path: Path) -> None:
    keep(path, (PROBE, DOWN))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")

    assert known(path, PROBE) == {}


def test_a_place_where_nothing_can_be_kept_is_said_and_harms_nobody(tmp_path: Path) -> None:
    keeper = Keeper.open(tmp_path / "missing" / "health.db")

    assert "No such file or directory" in keeper.problem
    assert keeper.read([PROBE]) == {}
    keeper.finish(Changes((PROBE, DOWN)))


def test_what_could_not_be_written_is_written_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0.01)
    large = replace(DOWN, results=DOWN.results * KEPT)
    changes = Changes(*((replace(PROBE, port=n), large) for n in range(1, 501)))
    keeper = Keeper.open(path)

    async def scenario() -> None:
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(keeper.run(changes))
            while not changes.lost:  # noqa: ASYNC110 - the keeper does not tell
                await asyncio.sleep(0.01)
            running.cancel()

    with full_disk(path.parent):
        asyncio.run(scenario())
    problem = keeper.problem
    keeper.finish(Changes(*((probe, large) for probe in changes.lost)))

    assert "health.db: " in problem
    assert known(path, *changes.lost) == dict.fromkeys(changes.lost, large)
    assert len(changes.lost) == 500


def desired(check: AnyCheck) -> DesiredState:
    backend = Backend("b", B1, 80)
    vip = IPv4Address("192.0.2.1")
    return DesiredState(
        (Service("web", vip, Protocol.TCP, 80, Mode.DR, (backend,), (check,)),)
    )


KEY = ("web", "b")


class Group(asyncio.TaskGroup):
    """Whose tasks can be cancelled, all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[asyncio.Task[None]] = []

    def create_task(self, *arguments, **settings) -> asyncio.Task[None]:
        self.made.append(super().create_task(*arguments, **settings))
        return self.made[-1]

    def cancel(self) -> None:
        for task in self.made:
            task.cancel()


def after_a_restart(check: AnyCheck, memory: Memory, answers: list[Result]) -> Monitor:
    """Return a monitor that knows ``memory``, when the ``answers`` have come."""

    async def run() -> Monitor:
        left = list(answers)
        done = asyncio.Event()

        async def answer(*_: object) -> Result:
            if not left:
                done.set()
                await asyncio.Event().wait()
            return left.pop(0)

        async with Group() as tasks:
            monitor = Monitor(tasks, changed=lambda: None, probe_by=answer)
            (probe,) = (
                p for _, probes in probes_of(desired(check)).values() for p in probes
            )
            monitor.watch(desired(check), memories={probe: memory})
            async with asyncio.timeout(10):
                await done.wait()
            tasks.cancel()
        return monitor

    return asyncio.run(run())


REFUSED = Result("port 80: Connection refused")


@pytest.mark.parametrize(
    ("memory", "answers", "health"),
    [
        # One failure more would have taken it down, and does.
        (Tracker(Health.UP, 2), [REFUSED], Health.DOWN),
        (Tracker(Health.UP, 1), [REFUSED], Health.UP),
        (Tracker(Health.UP, 1), [PASSED], Health.UP),
        (Tracker(Health.DOWN, 1), [PASSED], Health.UP),
        (Tracker(Health.DOWN, 0), [PASSED], Health.DOWN),
    ],
)
@pytest.mark.parametrize("initial", Initial)
def test_after_a_restart_probes_go_on_counting(
    initial: Initial, memory: Tracker, answers: list[Result], health: Health
) -> None:
    check = replace(FAST, initial=initial)

    monitor = after_a_restart(check, Memory(memory, since=NOW), answers)

    assert monitor.health() == {KEY: health}
    if health is memory.health:
        assert monitor.since(KEY) == NOW


def test_after_a_restart_it_is_known_why_a_backend_is_down_and_what_it_weighs() -> None:
    monitor = after_a_restart(FAST, replace(DOWN, tracker=Tracker(Health.DOWN)), [])

    assert monitor.problem(KEY) == "port 80: Connection refused"
    assert (monitor.weights(), monitor.since(KEY)) == ({KEY: 7}, NOW - 5)
    assert monitor.probes(KEY)[0].results == DOWN.results


def test_a_result_like_those_before_is_not_worth_writing() -> None:
    up = Memory(Tracker(Health.UP))

    assert after_a_restart(FAST, up, [PASSED] * 5).unsaved(10) == []
    changed = after_a_restart(FAST, up, [PASSED, REFUSED]).unsaved(10)

    ((_, memory),) = changed
    assert memory is not None
    assert memory.tracker == Tracker(Health.UP, 1)
    assert [one.problem for one in memory.results] == ["", REFUSED.problem]


def test_a_probe_that_is_not_wanted_any_more_is_forgotten() -> None:
    monitor = after_a_restart(FAST, DOWN, [])

    asyncio.run(unwatch(monitor))

    assert monitor.unsaved(10) == [(PROBE, None)]


async def unwatch(monitor: Monitor) -> None:
    monitor.watch(DesiredState())


def test_the_last_results_are_kept_and_no_more() -> None:
    monitor = after_a_restart(FAST, Memory(Tracker(Health.UP)), [PASSED] * 20)

    (probe,) = monitor.probes(KEY)
    assert [one.outcome for one in probe.results] == [Outcome.PASSED] * KEPT
