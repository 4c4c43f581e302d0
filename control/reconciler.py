"""Making the kernel equal to what is wanted, level by level: never by events.

Each round compiles what is wanted from the desired state and the facts as they are now,
plans the difference to what the maps hold, and writes it. A round that was missed or fails
half-way is made good by the next one. Where the maps have no room for what is new beside
what goes, it takes several: the first one settles what stays, the next ones have the room
that it has left. Every so often, and after each failure, the maps are read back instead of
remembered, so that foreign writes are found and mended. A round does the work for what has
changed; seldom, and when nobody waits for it, one does all of it.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

from control.basis import Now
from control.compile import Compiled, compile_image, compile_next
from control.desired import DesiredState
from control.errors import HostError
from control.facts import Facts, Moment
from control.memory import give_back
from control.rounds import Settings
from control.tables import Tables
from control.transition import is_in_transition
from dataplane.errors import DataplaneError
from dataplane.image import Image
from dataplane.maps import Maps
from dataplane.plan import Write, plan

_log: Final = structlog.get_logger()

READ_BACK_INTERVAL: Final = 30.0  # seconds
_THOROUGH_INTERVAL: Final = 600.0  # seconds; everything is read and compiled anew
_RETRY_INTERVAL: Final = 1.0  # seconds after a failure


@dataclass(frozen=True, slots=True)
class Repairs:
    """Foreign writes to the maps that were found and mended."""

    count: int = 0
    last: float | None = None  # Unix time


class Reconciler:
    """Writes one data plane's maps; nobody else does."""

    def __init__(
        self,
        maps: Maps,
        settings: Settings,
        wanted: Callable[[], tuple[int, DesiredState]],
        facts: Callable[[], Facts],
        seed: Image | None = None,
    ) -> None:
        """Reconcile ``maps``; numbers and rings are taken over from ``seed``, if given.

        That is what packets go by until these maps are filled. What the maps hold then is
        left from somebody who did not get to the end of filling them.
        """
        self._maps: Maps | None = maps
        self._settings = settings
        self._wanted = wanted
        self._facts = facts
        self._seed = seed
        self._actual: Image | None = None  # None: has to be read back
        self._read_at = 0.0
        self._thorough_at = 0.0
        self._swept_ns = 0
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()  # a round at a time
        self._tables = Tables()
        self._last: Compiled | None = None  # what the maps hold was compiled so
        self.compiled: Compiled | None = None
        self.applied_version = 0
        self.problem = ""  # why the last round failed; "" if it did not
        self.reconciled: float | None = None  # Unix time of the last round that went well
        self.failures = 0  # rounds that failed, so far
        self.waiting = frozenset[str]()  # services that need another round, by name
        self.repairs = Repairs()

    def wake(self) -> None:
        """Have a round made soon; cheap, and may be called for every event."""
        self._wake.set()

    async def move(self, maps: Maps | None, seed: Image | None = None) -> None:
        """Go on with other maps, or rest without any; ``seed`` as at the beginning.

        Nobody writes the maps before when this returns.
        """
        async with self._turn:
            self._maps, self._seed, self._actual = maps, seed, None
            self.waiting = frozenset()

    def forget(self) -> None:
        """Let go of what was written: the maps are gone."""
        self.compiled, self.applied_version, self.problem = None, 0, ""
        self.waiting = frozenset()

    async def run(self) -> None:
        """Make a round whenever woken, and one now and then anyway, until cancelled."""
        pause = READ_BACK_INTERVAL
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            pause = READ_BACK_INTERVAL
            overdue = time.monotonic() - self._thorough_at >= _THOROUGH_INTERVAL
            try:
                await self.round(thorough=overdue and not self._wake.is_set())
            except (DataplaneError, HostError) as error:
                self.problem = str(error)
                self.failures += 1
                _log.error("kernel not updated", problem=self.problem)
                pause = _RETRY_INTERVAL

    async def settle(self) -> None:
        """Make rounds until none is due at once; raises as :meth:`round` does."""
        await self.round()
        while self.waiting:
            await self.round()

    async def round(self, *, thorough: bool = False) -> None:
        """Make the kernel equal to what is wanted now, as far as there is room for it.

        If some services are ``waiting`` for room, another round is due at once. One that is
        ``thorough`` relies on nothing that is remembered. Raises DataplaneError or
        HostError; the kernel then serves by what was written.
        """
        async with self._turn:
            self._wake.clear()
            if self._maps is None:
                return
            version, desired = self._wanted()
            if thorough:
                self._read_at, self._last = 0.0, None
            work = asyncio.ensure_future(
                asyncio.to_thread(self._reconcile, self._maps, desired, self._facts())
            )
            try:
                compiled, writes = await asyncio.shield(work)
            except asyncio.CancelledError:
                # A thread cannot be stopped, and has the maps open.
                await asyncio.wait([work])
                raise
            self.compiled, self.waiting, self.problem = compiled, compiled.waiting, ""
            self.reconciled = time.time()
            if not self.waiting:
                self.applied_version = version
            if self.waiting or (writes and not compiled.is_settled):
                self.wake()
        if self.waiting:
            facts = {"writes": writes, "waiting": len(self.waiting)}
            _log.info("kernel updated as far as there is room", version=version, **facts)
        elif writes:
            _log.info("kernel updated", version=version, writes=writes)

    def _look(self, maps: Maps, actual: Image) -> Moment:
        """Look at the clock and, now and then, at the records of flows in transition."""
        now_ns = time.monotonic_ns()
        if now_ns < self._swept_ns + int(READ_BACK_INTERVAL * 1e9):
            return Moment(now_ns)
        if not self._is_moving(actual):
            return Moment(now_ns)
        self._swept_ns = now_ns
        idle = {service.id: service.idle_seconds for service in actual.services.values()}
        return Moment(now_ns, maps.sweep(now_ns, idle))

    def _is_moving(self, actual: Image) -> bool:
        """Tell whether a ring is in transition."""
        last = self._last
        if last is not None and last.image is actual and last.basis is not None:
            return bool(last.basis.moving)
        return any(map(is_in_transition, actual.rings.values()))

    def _reconcile(
        self, maps: Maps, desired: DesiredState, facts: Facts
    ) -> tuple[Compiled, int]:
        """Read, compile, plan and apply; in a thread, for it takes its time."""
        remembered = self._actual
        if remembered is None or time.monotonic() >= self._read_at + READ_BACK_INTERVAL:
            actual = self._read_back(maps, remembered)
            give_back()
        else:
            actual = remembered
        known = actual if self._seed is None else self._seed
        moment = self._look(maps, actual)
        last, self._last = self._last, None
        if last is not None and last.image is known:
            now = Now(desired, facts, self._tables, moment)
            compiled = compile_next(last, self._settings, now)
        else:
            compiled = compile_image(
                desired, facts, self._settings, known, self._tables, moment
            )
            self._thorough_at = time.monotonic()
        writes: list[Write] = list(plan(actual, compiled.image, known))
        self._actual = None  # unknown until all is written
        maps.apply(writes)
        self._actual, self._seed, self._last = compiled.image, None, compiled
        return compiled, len(writes)

    def _read_back(self, maps: Maps, remembered: Image | None) -> Image:
        """Read the maps, and note whether anybody else has written to them."""
        if (
            remembered is not None
            and self._last is not None
            and maps.are_intact(remembered)
        ):
            self._read_at = time.monotonic()
            return remembered
        strays = maps.strays
        actual = maps.read()
        self._read_at = time.monotonic()
        if remembered is not None and (actual != remembered or maps.strays != strays):
            self.repairs = Repairs(self.repairs.count + 1, time.time())
            _log.warning("maps were changed by somebody else; mending them")
        return actual
