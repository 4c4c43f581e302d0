"""Looking at the network around the backends that are wanted, now and again."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from control.facts import Network
from control.health.monitor import Monitor
from control.network import Destinations, Surveyor
from control.store import Store

_PAUSE: Final = 0.02  # seconds that a backend has to answer who has just been asked for


class Lookout:
    """Knows the network as it was when somebody looked last."""

    def __init__(
        self,
        interfaces: Iterable[str],
        store: Store,
        monitor: Monitor,
        seen: Callable[[Network], Awaitable[None]],
    ) -> None:
        """Look around ``interfaces``, at the backends that ``store`` has.

        ``seen`` is called after each look, whether or not anything is different.
        """
        self.network = Network()
        self._store = store
        self._monitor = monitor
        self._seen = seen
        self._surveyor = Surveyor(interfaces)
        self._destinations = Destinations()
        self._looking = asyncio.Lock()

    def close(self) -> None:
        """Look no more."""
        self._surveyor.close()

    async def survey(self) -> bool:
        """Look at the network; tell whether anything is different."""
        async with self._looking:  # an older look must not overwrite a newer one
            before = self.network
            self.network = await asyncio.to_thread(
                self._surveyor.survey,
                self._destinations.of(self._store.state),
                self._monitor.suspects(),
                before,
            )
            await self._seen(self.network)
            return self.network is not before

    async def find_new(self) -> None:
        """Look where new backends are; give them a moment to say so, if nobody knows."""
        known = self.network.next_hops
        await self.survey()
        hops = self.network.next_hops
        if any(not hop.mac for at, hop in hops.items() if at not in known):
            await asyncio.sleep(_PAUSE)
            await self.survey()
