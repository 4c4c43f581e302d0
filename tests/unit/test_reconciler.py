"""Making maps equal to what is wanted; the maps are in memory, the rest is real."""

import asyncio
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address

import pytest
from structlog.testing import capture_logs

from control.desired import DesiredState
from control.facts import Facts, Interface, Network, NextHop
from control.model import Backend, Mode, Protocol, Service
from control.reconciler import Reconciler, Repairs
from control.rounds import Settings
from dataplane.errors import KernelError
from dataplane.image import FILL_ORDER, Image
from dataplane.plan import Delete, Put, Reset
from dataplane.source import Limits

BACKEND = Backend("b1", IPv4Address("10.0.0.11"), 80)
WEB = Service(
    "web",
    IPv4Address("192.0.2.1"),
    Protocol.TCP,
    80,
    Mode.DR,
    (BACKEND,),
    checks=(),
)
DESIRED = DesiredState((WEB,))
MAC = b"\2\0\0\0\0\1"
FACTS = Facts(
    Network(
        (Interface("eth0", 3, MAC),),
        next_hops={BACKEND.address: NextHop("eth0", 3, MAC, MAC)},
    )
)


@dataclass
class MemoryMaps:
    """Maps as dictionaries; the kernel may refuse at some write."""

    image: Image = field(default_factory=Image)
    refuse_at: int | None = None
    writes: list = field(default_factory=list)
    reads: int = 0
    strays: int = 0
    has_stray: bool = False  # the maps remove it while they are read

    def read(self) -> Image:
        self.reads += 1
        self.strays += self.has_stray
        self.has_stray = False
        return self.image

    def are_intact(self, image) -> bool:
        return self.image == image and not self.has_stray

    def apply(self, writes) -> int:
        for number, write in enumerate(writes):
            if number == self.refuse_at:
                raise KernelError("bpf_map_update_elem", 12)
            self._write(write)
            self.writes.append(write)
        return len(writes)

    def _write(self, write) -> None:
        tables = {name: dict(getattr(self.image, name)) for name in FILL_ORDER}
        match write:
            case Put(table, key, value):
                tables[table][key] = value
            case Delete(table, key):
                del tables[table][key]
        self.image = Image(**tables)


def reconciler(maps: MemoryMaps, desired: DesiredState = DESIRED) -> Reconciler:
    settings = Settings(Limits(services=8, backends=16, slots=16384), 0, ())
    return Reconciler(maps, settings, lambda: (1, desired), lambda: FACTS)


def test_a_round_makes_the_maps_equal_to_what_is_wanted() -> None:
    maps = MemoryMaps()
    one = reconciler(maps)

    asyncio.run(one.round())

    assert one.compiled is not None
    assert maps.image == one.compiled.image
    assert len(maps.image.services) == 1
    assert one.applied_version == 1


@pytest.mark.parametrize("refuse_at", range(8))
def test_a_round_that_the_kernel_stops_half_way_is_made_good_by_the_next(refuse_at) -> None:
    maps = MemoryMaps(refuse_at=refuse_at)
    one = reconciler(maps)

    with pytest.raises(KernelError):
        asyncio.run(one.round())
    maps.refuse_at = None
    asyncio.run(one.round())

    assert one.compiled is not None
    assert maps.image == one.compiled.image


def test_a_restart_finds_the_numbers_in_the_maps_and_writes_nothing() -> None:
    maps = MemoryMaps()
    asyncio.run(reconciler(maps).round())
    before = maps.image
    maps.refuse_at = 0

    asyncio.run(reconciler(maps).round())

    assert maps.image == before


def test_a_foreign_write_is_found_and_mended_when_the_maps_are_read_back() -> None:
    maps = MemoryMaps()
    asyncio.run(reconciler(maps).round())
    wanted = maps.image
    maps.image = Image(**{**{n: getattr(wanted, n) for n in FILL_ORDER}, "backends": {}})

    asyncio.run(reconciler(maps).round())

    assert maps.image == wanted


def test_a_foreign_write_is_mended_and_told_of_when_nothing_else_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("control.reconciler.READ_BACK_INTERVAL", 0.01)
    maps = MemoryMaps()
    one = reconciler(maps)

    async def scenario() -> None:
        await one.round()
        wanted = maps.image
        maps.image = Image(**{**{n: getattr(wanted, n) for n in FILL_ORDER}, "vips": {}})
        task = asyncio.create_task(one.run())
        async with asyncio.timeout(10):
            while maps.image != wanted:  # noqa: ASYNC110 - a thread is at work
                await asyncio.sleep(0.001)
        task.cancel()

    with capture_logs() as logs:
        asyncio.run(scenario())

    assert "maps were changed by somebody else; mending them" in [e["event"] for e in logs]
    assert one.repairs.count == 1
    assert one.repairs.last is not None


def test_a_start_finds_no_foreign_writes_in_maps_of_another_daemon() -> None:
    maps = MemoryMaps()
    asyncio.run(reconciler(maps).round())
    two = reconciler(maps, DesiredState((WEB_2, WEB)))

    asyncio.run(two.round())

    assert two.repairs == Repairs()


def test_an_entry_that_nobody_could_have_written_is_a_foreign_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("control.reconciler.READ_BACK_INTERVAL", 0.0)
    maps = MemoryMaps()
    one = reconciler(maps)

    async def scenario() -> None:
        await one.round()
        maps.has_stray = True
        await one.round()

    asyncio.run(scenario())

    assert one.repairs.count == 1


def test_other_maps_get_the_same_numbers_and_counters_go_on() -> None:
    old, new = MemoryMaps(), MemoryMaps()
    one = reconciler(old, DesiredState((WEB_2, WEB)))

    async def scenario() -> None:
        await one.round()
        await one.move(new, seed=old.image)
        await one.round()

    asyncio.run(scenario())

    assert new.image == old.image
    assert not any(isinstance(write, Reset) for write in new.writes)


def test_without_maps_it_rests() -> None:
    maps = MemoryMaps()
    one = reconciler(maps)

    async def scenario() -> None:
        await one.round()
        await one.move(None)
        await one.round()

    asyncio.run(scenario())

    assert maps.reads == 1


def test_a_problem_is_remembered_and_tried_again_until_it_is_gone() -> None:
    maps = MemoryMaps(refuse_at=0)
    one = reconciler(maps)

    async def scenario() -> None:
        task = asyncio.create_task(one.run())
        async with asyncio.timeout(10):
            one.wake()
            while not one.problem:  # noqa: ASYNC110 - a thread is at work
                await asyncio.sleep(0.001)
            maps.refuse_at = None
            while one.applied_version != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        task.cancel()

    asyncio.run(scenario())

    assert one.problem == ""
    assert len(maps.image.services) == 1


def test_numbers_are_taken_over_from_the_maps_of_the_program_before() -> None:
    old = MemoryMaps()
    asyncio.run(reconciler(old, DesiredState((WEB_2, WEB))).round())
    new = MemoryMaps()
    settings = Settings(Limits(services=8, backends=16, slots=16384), 0, ())
    successor = Reconciler(
        new, settings, lambda: (1, DESIRED), lambda: FACTS, seed=old.image
    )

    asyncio.run(successor.round())

    assert new.image.services.items() <= old.image.services.items()
    assert new.image.backends.items() <= old.image.backends.items()


def test_what_has_no_room_beside_what_goes_follows_in_the_next_rounds_by_itself() -> None:
    maps, wanted = MemoryMaps(), [(1, FULL)]
    one = Reconciler(maps, TIGHT, lambda: wanted[0], lambda: FACTS)

    async def scenario() -> None:
        task = asyncio.create_task(one.run())
        async with asyncio.timeout(10):
            one.wake()
            while one.applied_version != 1:  # noqa: ASYNC110 - a thread is at work
                await asyncio.sleep(0.001)
            wanted[0] = (2, OTHERS)
            one.wake()
            while one.applied_version != 2:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        task.cancel()

    with capture_logs() as logs:
        asyncio.run(scenario())

    assert {str(each.address) for each in maps.image.services} == {"192.0.3.2", "192.0.3.3"}
    (step,) = (e for e in logs if e["event"] == "kernel updated as far as there is room")
    assert (step["version"], step["waiting"]) == (2, 1)


def test_a_version_is_applied_when_nothing_waits_for_room_any_more() -> None:
    maps = MemoryMaps()
    asyncio.run(Reconciler(maps, TIGHT, lambda: (1, FULL), lambda: FACTS).round())
    one = Reconciler(maps, TIGHT, lambda: (2, OTHERS), lambda: FACTS)

    asyncio.run(one.round())
    assert (one.waiting, one.applied_version) == ({"other3"}, 0)

    asyncio.run(one.round())
    assert (one.waiting, one.applied_version) == (frozenset(), 2)


def test_maps_that_are_taken_away_leave_nobody_waiting() -> None:
    maps = MemoryMaps()
    asyncio.run(Reconciler(maps, TIGHT, lambda: (1, FULL), lambda: FACTS).round())
    one = Reconciler(maps, TIGHT, lambda: (2, OTHERS), lambda: FACTS)

    async def scenario() -> None:
        await one.round()
        await one.move(None)
        await one.settle()

    asyncio.run(scenario())

    assert one.waiting == frozenset()


WEB_2 = Service(
    "web2",
    IPv4Address("192.0.2.2"),
    Protocol.TCP,
    80,
    Mode.DR,
    (BACKEND,),
    checks=(),
)
# Room for two services, one of which may be new beside what goes.
TIGHT = Settings(Limits(services=3, backends=16, slots=16384), 0, ())
FULL = DesiredState((WEB, WEB_2))
OTHERS = DesiredState(
    tuple(
        replace(WEB, name=f"other{number}", vip=IPv4Address(f"192.0.3.{number}"))
        for number in (2, 3)
    )
)


def test_maps_that_nobody_else_has_written_are_not_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("control.reconciler.READ_BACK_INTERVAL", 0.0)
    maps = MemoryMaps()
    one = reconciler(maps)

    async def scenario() -> None:
        await one.round()
        await one.round()
        assert maps.reads == 1
        await one.round(thorough=True)

    asyncio.run(scenario())

    assert maps.reads == 2
    assert one.repairs == Repairs()
