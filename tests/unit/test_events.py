"""Events: who follows gets them in order, or learns that some were missed."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from control.addresses import parse_address
from control.database import Version
from control.desired import DesiredState
from control.errors import BusyError
from control.events import (
    MAX_FOLLOWERS,
    MAX_QUEUED,
    BackendChanged,
    DataPlaneChanged,
    Event,
    Hub,
    PlaneChange,
    PlaneFacts,
    PoolChanged,
    ServingChanged,
    Subscription,
    VersionApplied,
    VersionStored,
    VrrpChanged,
    What,
    differences,
    pool_changes,
    stored,
)
from control.following import (
    Instance,
    follow_plane,
    follow_serving,
    follow_vrrp,
    moved,
    read_states,
)
from control.model import Backend, Mode, Protocol, Service
from control.pool import Pool
from control.status import Health

DOWN = BackendChanged("web", "a", Health.DOWN, "connection refused")
UP = BackendChanged("web", "a", Health.UP, "")
FINE = PlaneFacts(applied_version=3, detached=False, reloads=0, trouble="")
DETACHED = replace(FINE, detached=True, applied_version=0, trouble="it is detached")


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 20))


def service(name: str, last: int, weight: int = 1) -> Service:
    return Service(
        name=name,
        vip=parse_address(f"192.0.2.{last}"),
        protocol=Protocol.TCP,
        port=80,
        mode=Mode.DR,
        backends=(Backend("a", parse_address("10.0.0.1"), 80, weight),),
    )


async def told(subscription: Subscription, count: int) -> list[What]:
    found = []
    for _ in range(count):
        event = await subscription.next()
        assert event is not None
        found.append(event.what)
    return found


def test_all_who_follow_are_told_in_order_from_when_they_began() -> None:
    hub = Hub(clock=lambda: 1000.5)

    async def work() -> None:
        with hub.subscribe() as first:
            hub.publish(DOWN)
            with hub.subscribe() as second:
                hub.publish(UP)
                assert await first.next() == Event(1, 1000.5, DOWN)
                assert await first.next() == Event(2, 1000.5, UP)
                assert await second.next() == Event(2, 1000.5, UP)

    run(work)


def test_who_follows_too_slowly_is_told_how_much_was_missed() -> None:
    hub = Hub()

    async def work() -> None:
        with hub.subscribe() as slow:
            for _ in range(MAX_QUEUED + 10):
                hub.publish(DOWN)
            assert await slow.next() is None
            assert slow.restart() == MAX_QUEUED + 10
            hub.publish(UP)
            assert await told(slow, 1) == [UP]
            assert slow.restart() == 0

    run(work)


def test_a_full_queue_is_not_too_much() -> None:
    hub = Hub()

    async def work() -> None:
        with hub.subscribe() as slow:
            for _ in range(MAX_QUEUED):
                hub.publish(DOWN)
            assert await told(slow, MAX_QUEUED) == [DOWN] * MAX_QUEUED

    run(work)


def test_what_is_queued_is_told_before_the_end() -> None:
    hub = Hub()

    async def work() -> None:
        with hub.subscribe() as subscription:
            hub.publish(DOWN)
            hub.close()
            assert await told(subscription, 1) == [DOWN]
            assert await subscription.next() is None
            assert subscription.over
        with hub.subscribe() as late:
            assert late.restart() == 0
            assert await late.next() is None
            assert late.over

    run(work)


def test_there_are_as_many_places_as_there_are() -> None:
    hub = Hub()

    async def work() -> None:
        places = [hub.subscribe() for _ in range(MAX_FOLLOWERS)]
        for place in places:
            place.__enter__()
        with pytest.raises(BusyError, match="32 clients watch already"), hub.subscribe():
            pass
        places[0].__exit__(None, None, None)
        with hub.subscribe():
            pass

    run(work)


def test_a_version_tells_what_it_changed() -> None:
    before = DesiredState((service("web", 1), service("mail", 2), service("dns", 3)))
    now = DesiredState((service("dns", 3), service("web", 1, weight=2), service("ftp", 4)))

    version = Version(8, 1234.5, "cli", "alice", "why")

    assert stored(version, before, now) == VersionStored(
        8, ("ftp",), ("web",), ("mail",), source="cli", author="alice", comment="why"
    )


@pytest.mark.parametrize(
    ("before", "now", "happened"),
    [
        (FINE, FINE, []),
        (FINE, replace(FINE, applied_version=4), [VersionApplied(4)]),
        (
            FINE,
            replace(FINE, trouble="eth0 is taken"),
            [DataPlaneChanged(PlaneChange.FAILING, "eth0 is taken")],
        ),
        (replace(FINE, trouble="x"), FINE, [DataPlaneChanged(PlaneChange.MENDED)]),
        (FINE, replace(FINE, reloads=1), [DataPlaneChanged(PlaneChange.RELOADED)]),
        (FINE, DETACHED, [DataPlaneChanged(PlaneChange.DETACHED)]),
        (
            DETACHED,
            replace(FINE, reloads=1),
            [DataPlaneChanged(PlaneChange.ATTACHED), VersionApplied(3)],
        ),
        (DETACHED, replace(DETACHED, reloads=1), [DataPlaneChanged(PlaneChange.DETACHED)]),
        (DETACHED, DETACHED, []),
    ],
)
def test_two_looks_at_the_data_plane_tell_what_happened(
    before: PlaneFacts, now: PlaneFacts, happened: list[What]
) -> None:
    assert list(differences(before, now)) == happened


def test_the_data_plane_is_followed() -> None:
    hub, facts = Hub(), [FINE]

    async def work() -> None:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(follow_plane(hub, lambda: facts[0]))
            with hub.subscribe() as subscription:
                await asyncio.sleep(0)
                facts[0] = DETACHED
                detached = DataPlaneChanged(PlaneChange.DETACHED)
                assert await told(subscription, 1) == [detached]
            task.cancel()

    run(work)


def test_the_states_of_vrrp_are_followed(tmp_path: Path) -> None:
    hub, path = Hub(), tmp_path / "vrrp.json"

    def write(**states: str) -> None:
        more = {"since": 1.5, "priority": 90, "reason": "the Active fell silent"}
        new = path.with_suffix(".new")
        new.write_text(json.dumps({n: {"state": s, **more} for n, s in states.items()}))
        new.replace(path)

    async def work() -> None:
        write(inside="backup")
        async with asyncio.TaskGroup() as tasks:
            with hub.subscribe() as subscription:
                task = tasks.create_task(follow_vrrp(hub, path))
                first = await told(subscription, 1)
                assert hub.vrrp == {"inside": "backup"}
                write(inside="active", outside="backup")
                second = await told(subscription, 2)
                path.unlink()
                third = await told(subscription, 2)
                task.cancel()
        told_with = ("the Active fell silent", 1.5, 90)
        assert first == [VrrpChanged("inside", "backup", "", *told_with)]
        assert second == [
            VrrpChanged("inside", "active", "backup", *told_with),
            VrrpChanged("outside", "backup", "", *told_with),
        ]
        assert set(third) == {
            VrrpChanged("inside", "", "active"),
            VrrpChanged("outside", "", "backup"),
        }
        assert hub.vrrp == {}

    run(work)


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"a": {"state": 1}}', "\xff{"])
def test_a_file_of_somebody_else_has_no_states(tmp_path: Path, text: str) -> None:
    (tmp_path / "vrrp.json").write_text(text, encoding="latin-1")

    assert read_states(tmp_path / "vrrp.json") == {}
    assert read_states(tmp_path) == {}


def test_states_that_stay_are_not_told() -> None:
    before, now = Instance("active"), Instance("active", priority=7)

    assert list(moved({"a": before}, {"a": now})) == []


def test_a_pool_is_told_of_when_other_backends_serve_by_it() -> None:
    well, few = Pool(3), Pool(1, quorum=False, sorry=True, has_sorry=True)
    kept = Pool(1, kept={"b": "max_ejected", "a": "max_ejected"})

    assert list(pool_changes({}, {"web": well})) == []
    assert list(pool_changes({"web": well}, {"web": Pool(2)})) == []
    assert list(pool_changes({"web": well}, {"web": few})) == [
        PoolChanged("web", 1, quorum=False, sorry=True)
    ]
    assert list(pool_changes({"web": few}, {"web": kept, "dns": well})) == [
        PoolChanged("web", 1, quorum=True, sorry=False, kept=("a", "b"))
    ]


def test_an_instance_that_rests_says_why() -> None:
    rests = Instance("initialize", problem="down: eth0")

    assert list(moved({"a": Instance("active")}, {"a": rests})) == [
        VrrpChanged("a", "initialize", "active", "down: eth0")
    ]


def test_what_a_service_does_is_told_once_it_does_so_for_two_looks() -> None:
    hub = Hub()
    looks = [
        {"web": "", "mail": "none"},  # mail did not serve when it was told last
        {"web": "none", "mail": ""},
        {"web": "", "mail": ""},
        {"web": "none"},
        {"web": "none", "dns": ""},
        {"dns": ""},  # its check is new: nothing is known of web
        {"dns": "", "web": ""},
        {"dns": "", "web": ""},
    ]

    def look() -> dict[str, str]:
        return looks.pop(0) if len(looks) > 1 else looks[0]

    async def work() -> None:
        async with asyncio.TaskGroup() as tasks:
            with hub.subscribe() as subscription:
                following = follow_serving(hub, look, {"mail": False}, interval=0.01)
                task = tasks.create_task(following)
                assert await told(subscription, 3) == [
                    ServingChanged("mail", serves=True, reason=""),
                    ServingChanged("web", serves=False, reason="none"),
                    ServingChanged("web", serves=True, reason=""),
                ]
                task.cancel()

    run(work)


def test_who_is_informed_hears_everything_in_order() -> None:
    hub, heard = Hub(clock=lambda: 7.0), list[Event]()
    hub.inform(heard.append)

    for what in [DOWN, UP] * MAX_QUEUED:
        hub.publish(what)

    assert [event.what for event in heard] == [DOWN, UP] * MAX_QUEUED
