"""All traffic, in a process of its own on the client."""

import asyncio
import multiprocessing
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from types import TracebackType
from typing import Any, Final, Self

from bench.chaos.connections import Connections
from bench.chaos.datagrams import Datagrams
from bench.chaos.ledger import Ledger
from bench.chaos.topology import Way
from vagrant.lab import namespaces
from vagrant.lab.errors import LabError
from vagrant.lab.hosts import Host

_ESTABLISH: Final = 20.0  # seconds
_ANSWER: Final = 30.0  # seconds that the process may take for what it is asked


@dataclass(frozen=True, slots=True)
class Load:
    """How much traffic there is, over all ways together."""

    datagrams: float = 600.0  # per second
    kept: int = 100  # connections
    new: float = 8.0  # connections per second


class Traffic:
    """The process; ``with`` starts it, and returns when all connections are established."""

    def __init__(self, client: Host, ways: Sequence[Way], load: Load, seed: int) -> None:
        context = multiprocessing.get_context("spawn")  # not fork: we may have threads
        self._pipe, child = context.Pipe()
        # A daemon: it does not outlive us.
        self._process = context.Process(
            target=_main, args=(client.namespace, ways, load, seed, child), daemon=True
        )
        self._child_end = child

    def __enter__(self) -> Self:
        self._process.start()
        self._child_end.close()
        self._hear(_ESTABLISH)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def leave(self, way: str, backend: str) -> None:
        """Have the new connections of ``way`` to ``backend`` closed in order."""
        self._pipe.send((way, backend))
        self._hear(_ANSWER)

    def end(self) -> Ledger:
        """Close everything in order and return what became of it, last answers included."""
        self._pipe.send(None)
        answer = self._hear(_ANSWER)
        assert isinstance(answer, Ledger)  # noqa: S101 - the other end is below
        return answer

    def _hear(self, within: float) -> Any:
        if not self._pipe.poll(within):
            raise LabError(f"the traffic's process says nothing for {within:.0f} s")
        try:
            answer = self._pipe.recv()
        except EOFError as error:
            raise LabError("the traffic's process has died") from error
        if isinstance(answer, Exception):
            raise LabError(f"the traffic has failed: {answer}") from answer
        return answer


def _main(namespace: str, ways: Sequence[Way], load: Load, seed: int, pipe: Pipe) -> None:
    with ExitStack() as stack, suppress(KeyboardInterrupt, EOFError):
        # For good: all sockets of this process are the client's.
        stack.enter_context(namespaces.inside(namespace))
        try:
            asyncio.run(_run(ways, load, seed, pipe))
        except Exception as error:  # noqa: BLE001 - who started us has to know
            pipe.send(error)


async def _run(ways: Sequence[Way], load: Load, seed: int, pipe: Pipe) -> None:
    connections = Connections(ways, load.kept, load.new, seed)
    datagrams = Datagrams(ways, load.datagrams)
    await connections.establish()
    tasks = [asyncio.create_task(datagrams.run()), asyncio.create_task(connections.run())]
    pipe.send("established")
    while (left := await _heard(pipe, tasks)) is not None:
        await connections.leave(*left)
        pipe.send("left")
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    ended = await connections.end()
    pipe.send(Ledger(await datagrams.end(), ended, datagrams.wrong))


async def _heard(pipe: Pipe, tasks: Sequence[asyncio.Task[None]]) -> tuple[str, str] | None:
    """Return what we are asked to do, as soon as we are; raise what ended a task."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(pipe.fileno(), readable.set)
    asked = asyncio.create_task(readable.wait())
    try:
        await asyncio.wait([asked, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        asked.cancel()
        loop.remove_reader(pipe.fileno())
    for task in tasks:
        if task.done():
            task.result()
    heard: tuple[str, str] | None = pipe.recv()
    return heard
