"""Making the kernel equal to what is wanted, level by level: never by events.

Each round compiles what is wanted from the desired state and the facts as they are now,
plans the difference to what the maps hold, and writes it. A round that was missed or fails
half-way is made good by the next one. Every so often, and after each failure, the maps are
read back instead of remembered, so that foreign writes are found and mended.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from control.compile import Compiled, Settings, compile_image
from control.errors import HostError
from control.facts import Facts, Moment
from control.model import DesiredState
from control.tables import Tables
from control.transition import is_in_transition
from dataplane.errors import DataplaneError
from dataplane.image import Image
from dataplane.maps import Maps
from dataplane.plan import Write, plan

_log: Final = structlog.get_logger()

READ_BACK_INTERVAL: Final = 30.0  # seconds
_RETRY_INTERVAL: Final = 1.0  # seconds after a failure


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
        self._maps = maps
        self._settings = settings
        self._wanted = wanted
        self._facts = facts
        self._seed = seed
        self._actual: Image | None = None  # None: has to be read back
        self._read_at = 0.0
        self._swept_ns = 0
        self._wake = asyncio.Event()
        self._tables = Tables()
        self.compiled: Compiled | None = None
        self.applied_version = 0
        self.problem = ""  # why the last round failed; "" if it did not

    def wake(self) -> None:
        """Have a round made soon; cheap, and may be called for every event."""
        self._wake.set()

    async def run(self) -> None:
        """Make a round whenever woken, and one now and then anyway, until cancelled."""
        pause = READ_BACK_INTERVAL
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            pause = READ_BACK_INTERVAL
            try:
                await self.round()
            except (DataplaneError, HostError) as error:
                self.problem = str(error)
                _log.error("kernel not updated", problem=self.problem)
                pause = _RETRY_INTERVAL

    async def round(self) -> None:
        """Make the kernel equal to what is wanted now.

        Raises DataplaneError or HostError; the kernel then serves by what was written.
        """
        self._wake.clear()
        version, desired = self._wanted()
        facts = self._facts()
        work = asyncio.ensure_future(asyncio.to_thread(self._reconcile, desired, facts))
        try:
            compiled, writes = await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])  # a thread cannot be stopped, and has the maps open
            raise
        self.compiled, self.applied_version, self.problem = compiled, version, ""
        if writes:
            _log.info("kernel updated", version=version, writes=writes)

    def _look(self, actual: Image) -> Moment:
        """Look at the clock and, now and then, at the records of flows in transition."""
        now_ns = time.monotonic_ns()
        if now_ns < self._swept_ns + int(READ_BACK_INTERVAL * 1e9):
            return Moment(now_ns)
        if not any(map(is_in_transition, actual.rings.values())):
            return Moment(now_ns)
        self._swept_ns = now_ns
        idle = {service.id: service.idle_seconds for service in actual.services.values()}
        return Moment(now_ns, self._maps.sweep(now_ns, idle))

    def _reconcile(self, desired: DesiredState, facts: Facts) -> tuple[Compiled, int]:
        """Read, compile, plan and apply; in a thread, for it takes its time."""
        remembered = self._actual
        if remembered is None or time.monotonic() >= self._read_at + READ_BACK_INTERVAL:
            actual = self._maps.read()
            self._read_at = time.monotonic()
            if remembered is not None and actual != remembered:
                _log.warning("maps were changed by somebody else; mending them")
        else:
            actual = remembered
        known = actual if self._seed is None else self._seed
        moment = self._look(actual)
        compiled = compile_image(
            desired, facts, self._settings, known, self._tables, moment
        )
        writes: list[Write] = list(plan(actual, compiled.image))
        self._actual = None  # unknown until all is written
        self._maps.apply(writes)
        self._actual, self._seed = compiled.image, None
        return compiled, len(writes)
