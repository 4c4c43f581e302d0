"""Keeping the way of probes to VIPs as the network is, and giving it to probes."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from control.addresses import IpAddress
from control.desired import DesiredState
from control.facts import Network
from control.health.peer import Way
from control.health.result import NoResultError
from control.health.vips import Pair, StandIns, pairs
from dataplane.errors import LoadError
from dataplane.probe_path import ProbePath

_log: Final = structlog.get_logger()

_LOOK_INTERVAL: Final = 5.0  # seconds from look to look at what is in the kernel
_DETACHED: Final = "the data plane is detached, and with it the way to VIPs"


@dataclass(frozen=True, slots=True)
class _World:
    """What a look goes by."""

    desired: DesiredState
    network: Network
    detached: bool


@dataclass(frozen=True, slots=True)
class _Look:
    """What came of one."""

    stand_ins: StandIns = field(default_factory=StandIns)
    ways: Mapping[Pair, Way] = field(default_factory=dict)
    # Pairs that an earlier look was for, too: if one has no way, it has no MAC.
    seen: frozenset[Pair] = frozenset()
    problem: str = ""  # why nobody gets a way

    @property
    def is_settled(self) -> bool:
        """Whether another look, at the same world, would come to the same."""
        return len(self.seen) == len(self.stand_ins.numbers)

    @property
    def failed(self) -> bool:
        """Whether the kernel refused, or something is in the way."""
        return self.problem not in ("", _DETACHED)


class VipPath:
    """What knows how sockets reach a backend by a VIP."""

    def __init__(self, path: ProbePath) -> None:
        """Follow nothing yet; ``path`` is nobody else's."""
        self._path = path
        self._world: _World | None = None  # of the last look
        self._look = _Look()
        self._looked = 0.0
        self._changed = asyncio.Event()

    async def follow(
        self, desired: DesiredState, network: Network, *, detached: bool
    ) -> None:
        """Have the kernel do what probes of ``desired`` need. One call at a time."""
        world = _World(desired, network, detached)
        if not self._is_due(world):
            return
        before, self._look = self._look, await asyncio.to_thread(self._see_to, world)
        self._world, self._looked = world, asyncio.get_running_loop().time()
        if self._look.failed and self._look.problem != before.problem:
            _log.error("probes have no way to VIPs", problem=self._look.problem)
        self._changed.set()
        self._changed = asyncio.Event()

    async def way(self, vip: IpAddress, address: IpAddress, patience: float) -> Way:
        """Return the way to a backend by a VIP; raise TimeoutError if it has no MAC.

        ``patience``, in seconds, is tried when the network has been looked at for it.
        Raises NoResultError.
        """
        pair = (vip, address)
        while pair not in self._look.seen and pair not in self._look.ways:
            await self._next()
        async with asyncio.timeout(patience):
            while pair not in self._look.ways:
                await self._next()
        return self._look.ways[pair]

    async def _next(self) -> None:
        if self._look.problem:
            raise NoResultError(self._look.problem)
        await self._changed.wait()

    def _is_due(self, world: _World) -> bool:
        """Tell whether the kernel has to be seen to: for what is new, or as it is time."""
        is_time = asyncio.get_running_loop().time() >= self._looked + _LOOK_INTERVAL
        look = self._look
        if look.failed:
            return is_time
        if self._world != world or not look.is_settled:
            return True
        return bool(look.stand_ins.numbers) and is_time

    def _see_to(self, world: _World) -> _Look:
        """Do it; in a thread: of 10,000 backends this takes a while."""
        wanted = () if world.detached else pairs(world.desired)
        stand_ins = self._look.stand_ins.following(wanted)
        targets = stand_ins.targets(world.network)
        seen = frozenset(self._look.stand_ins.numbers) & stand_ins.numbers.keys()
        try:
            if wanted:
                self._path.follow(targets)
            else:
                self._path.remove()
        except LoadError as error:
            return _Look(stand_ins, {}, seen, str(error))
        if world.detached:
            return _Look(problem=_DETACHED)
        vips = {service.vip for service in world.desired}
        ways = stand_ins.ways(world.network, vips, targets, self._path.prefixes)
        return _Look(stand_ins, ways, seen)
