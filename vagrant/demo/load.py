"""Requests from the lab's client through the VIP, each on a connection of its own."""

import asyncio
import socket
import time
from collections.abc import Callable
from itertools import count
from random import randrange
from typing import Final

import aiohttp
from aiohttp import ClientSession, ClientTimeout, TCPConnector

from vagrant.demo.request import Request
from vagrant.lab.hosts import Host
from vagrant.lab.topology import CLIENT
from vagrant.lab.wait import PATIENCE
from vagrant.lab.webserver import HEADER

TIMEOUT: Final = 1.0 * PATIENCE  # seconds that a request may take, connecting included


class Load:
    """Asks, and keeps a record of every request; ``ended`` is told of each, too."""

    def __init__(self, host: Host, url: str, ended: Callable[[Request], None]) -> None:
        self.requests: list[Request] = []
        self._host = host
        self._url = url
        self._ended = ended
        # Each is used once, so that it names its request; below the ephemeral ones.
        self._ports = count(randrange(10_000, 20_000))  # noqa: S311 (no secret)
        self._pending: set[asyncio.Task[None]] = set()

    async def many(self, number: int, at_once: int) -> None:
        """Send ``number`` requests, ``at_once`` at any time."""
        places = asyncio.Semaphore(at_once)

        async def ask_in_turn() -> None:
            async with places:
                await self._ask()

        async with asyncio.TaskGroup() as tasks:
            for _ in range(number):
                tasks.create_task(ask_in_turn())

    async def steadily(self, per_second: float, stop: asyncio.Event) -> None:
        """Send requests at an even rate, answered or not, until ``stop`` is set."""
        async with asyncio.TaskGroup() as tasks:
            due = time.monotonic()
            while not stop.is_set():
                task = tasks.create_task(self._ask())
                self._pending.add(task)
                task.add_done_callback(self._pending.discard)
                due += 1 / per_second
                await asyncio.sleep(max(0, due - time.monotonic()))

    async def settled(self, begin: float, end: float) -> list[Request]:
        """Return the requests started from ``begin`` to ``end``, when they have ended."""
        if self._pending:
            await asyncio.wait(tuple(self._pending))
        return [request for request in self.requests if begin <= request.started < end]

    async def _ask(self) -> None:
        """Send one request and record what becomes of it; raise nothing."""
        started = time.monotonic()
        port, backend, error = await self._get()
        request = Request(started, time.monotonic(), port, backend, error)
        self.requests.append(request)
        self._ended(request)

    async def _get(self) -> tuple[int, str | None, str]:
        """Return the client's port, who answered, and what went wrong."""
        port = next(self._ports)

        def open_socket(_: aiohttp.AddrInfoType) -> socket.socket:
            opened = self._host.socket()
            opened.bind((str(CLIENT), port))
            return opened

        # A session for each request: the point is to connect anew every time.
        connector = TCPConnector(socket_factory=open_socket, force_close=True)
        timeout = ClientTimeout(total=TIMEOUT)
        async with ClientSession(connector=connector, timeout=timeout) as session:
            try:
                async with session.get(self._url) as answer:
                    await answer.read()
                    return port, answer.headers[HEADER], ""
            except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
                return port, None, str(error) or type(error).__name__
