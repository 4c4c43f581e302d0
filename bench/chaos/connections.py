"""TCP connections that say a little now and then, and are answered by who always did."""

import asyncio
import itertools
import random
import socket
import struct
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.chaos.ledger import KEPT, NEW, Connection
from bench.chaos.topology import Way

_PERIOD: Final = 0.5  # seconds from one message of a connection to the next
_PATIENCE: Final = 5.0  # seconds; TCP has sent a lost segment four times by then
_LONGEST: Final = 15.0  # seconds that a new connection lives
# linux/tcp.h: where struct tcp_info has tcpi_total_retrans.
_TOTAL_RETRANS: Final = struct.Struct("=100xI")


class BrokenError(Exception):
    """A connection does not do what it should."""


@dataclass(slots=True, eq=False)
class _Open:
    """A connection, open or about to be."""

    way: Way
    kind: str
    until: float  # loop time; infinity: to the end
    began_ns: int = field(default_factory=time.monotonic_ns)
    asked_ns: int = 0
    backend: str | None = None
    messages: int = 0


class Connections:
    """Holds connections on the running loop, and makes new ones at a steady rate."""

    def __init__(
        self, ways: Sequence[Way], kept: int, new_per_second: float, seed: int
    ) -> None:
        """Keep ``kept`` connections over all ways together, and add so many new ones."""
        self._ways = ways
        self._kept = kept
        self._pause = 1 / new_per_second
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._open: set[_Open] = set()
        self._ended: list[Connection] = []
        self._leaving: set[tuple[str, str]] = set()  # ways and backends to be left alone
        self._stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def establish(self) -> None:
        """Make all connections that are to be kept, and wait until each has an answer."""
        ways = itertools.cycle(self._ways)
        kept = [self._start(next(ways), KEPT, float("inf")) for _ in range(self._kept)]
        while not all(each.messages for each in kept):
            if self._ended:
                raise BrokenError(f"before anything was done: {self._ended[0]}")
            await asyncio.sleep(0.02)

    async def run(self) -> None:
        """Make new connections until cancelled: half of them for one message only."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        for way in itertools.cycle(self._ways):
            longer = self._random.random() < 0.5  # noqa: PLR2004
            lives = self._random.uniform(0, _LONGEST) if longer else 0.0
            self._start(way, NEW, loop.time() + lives)
            due += self._pause
            await asyncio.sleep(due - loop.time())

    async def leave(self, way: str, backend: str) -> None:
        """Close the new connections of ``way`` to ``backend`` in order; wait for that.

        Call it when the backend gets no new ones any more.
        """
        self._leaving.add((way, backend))
        before = {e for e in self._open if e.kind == NEW and str(e.way) == way}
        served = (backend, None)  # who has no answer yet may be served by it
        while any(e.backend in served for e in before & self._open):  # noqa: ASYNC110
            await asyncio.sleep(_PERIOD / 10)
        self._leaving.discard((way, backend))

    async def end(self) -> list[Connection]:
        """Close all connections in order, and return what became of each ever."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)
        return self._ended

    def _start(self, way: Way, kind: str, until: float) -> _Open:
        connection = _Open(way, kind, until)
        self._open.add(connection)
        task = asyncio.create_task(self._live(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return connection

    async def _live(self, connection: _Open) -> None:
        problem, resent, writer = "", 0, None
        connection.asked_ns = connection.began_ns
        try:
            async with asyncio.timeout(_PATIENCE):
                reader, writer = await asyncio.open_connection(
                    str(connection.way.vip), connection.way.port
                )
            await self._converse(connection, reader, writer)
        except (OSError, BrokenError) as error:  # TimeoutError is an OSError
            problem = str(error) or type(error).__name__
        if writer is not None:
            resent = _resent(writer)
            writer.close()
        self._open.discard(connection)
        self._ended.append(
            Connection(
                str(connection.way),
                connection.kind,
                connection.began_ns,
                connection.asked_ns if problem else time.monotonic_ns(),
                connection.backend,
                connection.messages,
                problem,
                resent,
            )
        )

    async def _converse(
        self, connection: _Open, reader: StreamReader, writer: StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection.asked_ns = time.monotonic_ns()
            said = b"%d\n" % connection.messages
            writer.write(said)
            async with asyncio.timeout(_PATIENCE):
                answer = await reader.readline()
            name, _, echoed = answer.partition(b" ")
            if not answer:
                raise BrokenError("the other end has closed it")
            if echoed != said or connection.backend not in (name.decode(), None):
                raise BrokenError(f"answered {answer!r} to {said!r}")
            connection.backend = name.decode()
            connection.messages += 1
            if loop.time() >= connection.until or self._stopping.is_set():
                return
            place = (str(connection.way), connection.backend)
            if connection.kind == NEW and place in self._leaving:
                return
            await asyncio.sleep(_PERIOD)


def _resent(writer: StreamWriter) -> int:
    """Return how many segments the kernel had to send again."""
    opened: socket.socket = writer.get_extra_info("socket")
    try:
        info = opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TOTAL_RETRANS.size)
    except OSError:  # a transport that broke has closed it
        return 0
    return int(_TOTAL_RETRANS.unpack(info)[0])
