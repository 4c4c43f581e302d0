"""When the addresses of an instance go: at once, or in a moment."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from ipaddress import IPv4Address

import pytest

from vrrp import keeper as module
from vrrp.instance import Instance
from vrrp.keeper import Keeper, Round
from vrrp.machine import Config

NEVER = 3600.0  # seconds, which no test takes
INSTANCE = Instance("a", "eth0", Config(51, (IPv4Address("10.0.0.100"),)), ())
VIRTUAL = Instance("a", "eth0", INSTANCE.router, (), virtual_mac=True)


class Kept:
    """A keeper at work, of which each round notes if the addresses belong here."""

    def __init__(self, instance: Instance, kernel: Executor) -> None:
        self._round = asyncio.Event()  # one is over
        self.keeper = Keeper(instance, kernel, lambda *_: self._round.set())
        self._held = False

    def note(self, _: Instance, *, held: bool, announcing: int) -> Round:
        """Do what a round does, in the kernel's thread."""
        assert announcing == 0
        self._held = held
        return Round(None, "there is no kernel here")

    async def holds(self) -> bool:
        """Return what a round makes of it that begins from here on."""
        for _ in range(2):  # one may be under way
            self._round.clear()
            self.keeper.look()
            await self._round.wait()
        return self._held


Scene = Callable[[Kept], Awaitable[None]]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[[Instance, Scene], None]:
    """Return what plays a scene with a keeper that has taken its addresses."""

    async def run(instance: Instance, scene: Scene) -> None:
        with ThreadPoolExecutor(1) as kernel:
            kept = Kept(instance, kernel)
            monkeypatch.setattr(module, "_work", kept.note)
            working = asyncio.create_task(kept.keeper.run())
            async with asyncio.timeout(20):
                kept.keeper.take()
                assert await kept.holds()
                await scene(kept)
            working.cancel()
            await asyncio.wait([working])

    return lambda instance, scene: asyncio.run(run(instance, scene))


def test_addresses_that_may_stay_for_a_while_stay_for_that_while(play) -> None:
    async def scene(kept: Kept) -> None:
        kept.keeper.release(NEVER)
        assert await kept.holds()

    play(INSTANCE, scene)


def test_afterwards_they_go(play) -> None:
    async def scene(kept: Kept) -> None:
        kept.keeper.release(0.01)
        while await kept.holds():
            pass

    play(INSTANCE, scene)


def test_who_takes_them_again_meanwhile_keeps_them(play) -> None:
    async def scene(kept: Kept) -> None:
        kept.keeper.release(0.01)
        kept.keeper.take()
        due = asyncio.get_running_loop().time() + 0.02
        while asyncio.get_running_loop().time() < due:
            assert await kept.holds()
        assert await kept.holds()

    play(INSTANCE, scene)


def test_who_has_to_let_go_at_once_meanwhile_does(play) -> None:
    async def scene(kept: Kept) -> None:
        kept.keeper.release(NEVER)
        kept.keeper.release()
        assert not await kept.holds()

    play(INSTANCE, scene)


def test_a_virtual_mac_is_not_on_two_hosts_for_a_while(play) -> None:
    async def scene(kept: Kept) -> None:
        kept.keeper.release(NEVER)
        assert not await kept.holds()

    play(VIRTUAL, scene)
