"""What an operator may do with the data plane, one thing at a time.

Keeps the program attached, loads it anew, takes it away. Nothing here stops packets but
:meth:`Plane.detach`, and after that nothing brings them back but a reload or a restart.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from typing import Any, Final, TypeVar

import structlog

from control.config import NodeConfig
from control.errors import ConflictError, HostError
from control.reconciler import Reconciler
from dataplane.errors import DataplaneError
from dataplane.instance import Instance

_log: Final = structlog.get_logger()

T = TypeVar("T")


class Plane:
    """The data plane of a running daemon."""

    def __init__(
        self,
        config: NodeConfig,
        instance: Instance,
        reconciler: Reconciler,
        present: Callable[[], Iterable[str]],
        look: Callable[[Collection[str]], Mapping[str, str]],
    ) -> None:
        """Look after ``instance``; ``present`` gives the interfaces that are there.

        ``look`` says how XDP runs on interfaces; it may take its time.
        """
        self._config = config
        self._instance = instance
        self._reconciler = reconciler
        self._present = present
        self._look = look
        self.modes: Mapping[str, str] = {}  # how XDP runs, by interface
        self._turn = asyncio.Lock()
        self._work = set[asyncio.Task[Any]]()
        self.problem = ""  # why packets of an interface do not come through us
        self.reloads = 0  # that went well
        self.detached = instance.detached  # as the last operation left it

    async def attach(self) -> None:
        """Let packets of all interfaces that are there through the filled maps."""
        interfaces = list(self._present())
        instance, native = self._instance, self._config.native
        await asyncio.to_thread(instance.attach, interfaces, native=native)
        await self._see_modes()
        _log.info("attached", interfaces=interfaces, adopted=instance.adopted)

    async def mend(self) -> None:
        """Attach again where an interface came back, or somebody took our program away."""
        async with self._turn:
            problem = ""
            if not self._instance.detached and await self._is_torn():
                try:
                    await self.attach()
                except DataplaneError as error:
                    problem = str(error)
            if problem and problem != self.problem:
                _log.error("not attached", problem=problem)
            self.problem = problem
            await self._see_modes()

    async def reload(self) -> str:
        """Load the program anew, over new maps that are filled first, and swap it in.

        What was recorded and counted stays, packets never stop. Return the digest. Raises
        HostError, and then what served before goes on; whoever stops waiting for it does
        not stop it.
        """
        return await self._whole(self._reload())

    async def detach(self) -> None:
        """Take program, links and maps out of the kernel: nothing is balanced any more.

        Raises HostError or ConflictError; whoever stops waiting for it does not stop it.
        """
        await self._whole(self._detach())

    async def finish(self) -> None:
        """Wait for what is under way: it has the maps open."""
        if self._work:
            await asyncio.wait(self._work)

    async def _reload(self) -> str:
        async with self._turn:
            instance, interfaces = self._instance, list(self._present())
            try:
                await asyncio.to_thread(instance.renew, self._config.limits)
            except DataplaneError as error:
                raise HostError(f"not reloaded: {error}") from error
            try:
                native = self._config.native
                await asyncio.to_thread(instance.claim, interfaces, native=native)
                await self._reconciler.move(None)
                seed = await asyncio.to_thread(instance.seed)
                await self._reconciler.move(instance.maps, seed)
                await self._reconciler.settle()
                await self.attach()
            except (DataplaneError, HostError) as error:
                await self._reconciler.move(None)
                await asyncio.to_thread(instance.revert)
                await self._reconciler.move(None if instance.detached else instance.maps)
                self._reconciler.wake()
                raise HostError(f"not reloaded: {error}") from error
            self.problem = ""
            self.reloads, self.detached = self.reloads + 1, False
            _log.info("data plane reloaded", digest=instance.digest)
            return instance.digest

    async def _detach(self) -> None:
        async with self._turn:
            if self._instance.detached:
                raise ConflictError("the data plane is detached already")
            await self._reconciler.move(None)
            try:
                await asyncio.to_thread(self._instance.detach)
            except DataplaneError as error:
                self.detached = self._instance.detached
                if not self.detached:
                    await self._reconciler.move(self._instance.maps)
                    self._reconciler.wake()
                raise HostError(f"not detached: {error}") from error
            self._reconciler.forget()
            await self._see_modes()
            self.problem, self.detached = "", True
            _log.warning("data plane detached: nothing is balanced until it is reloaded")

    async def _see_modes(self) -> None:
        """See it now: whoever asks after an operation is told what became of it."""
        self.modes = await asyncio.to_thread(self._look, self._config.interfaces)

    async def _is_torn(self) -> bool:
        return bool(await asyncio.to_thread(self._instance.unattached, self._present()))

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        """Finish what was begun, also if the client that asked for it goes away."""
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return await asyncio.shield(task)
