"""Numbered datagrams at a steady rate, and whether each is answered."""

import asyncio
import itertools
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from bench.chaos.backend import BUFFER_BYTES, SO_RCVBUFFORCE
from bench.chaos.ledger import Datagram
from bench.chaos.topology import Way

_FLOWS: Final = 8  # of each way, so that all backends get some
_LARGEST_ANSWER: Final = 64
_LATE: Final = 0.05  # seconds
_QUIET: Final = 3.0  # seconds: what was not answered by then is lost


@dataclass(slots=True)
class _Sent:
    flow: "Flow"
    sent_ns: int
    flows_backend: str | None
    backend: str | None = None
    copies: int = 0


class Flow:
    """A socket that asks a VIP, and takes answers of that VIP's only."""

    def __init__(self, way: Way) -> None:
        family = socket.AF_INET if way.version == 4 else socket.AF_INET6  # noqa: PLR2004
        self.way = way
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        self.socket.settimeout(0)  # reads what is there, never waits
        self.socket.connect((str(way.vip), way.port))
        self.backend: str | None = None  # who answered last

    def send(self, data: bytes) -> None:
        """Send, also if the one before was refused, which the kernel tells only now."""
        try:
            self.socket.send(data)
        except ConnectionRefusedError:
            self.socket.send(data)


class Datagrams:
    """Sends on the running loop from :meth:`start` on; knows what came back."""

    def __init__(self, ways: Sequence[Way], per_second: float) -> None:
        """Send ``per_second`` datagrams over all ways together."""
        self._flows = [Flow(way) for _ in range(_FLOWS) for way in ways]
        self._pause = 1 / per_second
        self._sent: list[_Sent] = []
        self._wrong = 0

    async def run(self) -> None:
        """Send until cancelled."""
        loop = asyncio.get_running_loop()
        for flow in self._flows:
            loop.add_reader(flow.socket, self._receive, flow)
        due = loop.time()
        for flow in itertools.cycle(self._flows):
            self._sent.append(_Sent(flow, time.monotonic_ns(), flow.backend))
            flow.send(b"%d" % (len(self._sent) - 1))
            # Not all at once what a slow moment has kept from being sent.
            due = max(due + self._pause, loop.time() - _LATE)
            await asyncio.sleep(due - loop.time())

    async def end(self) -> list[Datagram]:
        """Wait for the last answers, and return what became of each datagram."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _QUIET
        while loop.time() < deadline and self._unanswered():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        for flow in self._flows:
            loop.remove_reader(flow.socket)
            flow.socket.close()
        return list(self._datagrams())

    @property
    def wrong(self) -> int:
        """Answers that nobody can have meant: of another flow, or of no datagram."""
        return self._wrong

    def _unanswered(self) -> bool:
        return any(not each.copies for each in self._sent)

    def _receive(self, flow: Flow) -> None:
        with suppress(BlockingIOError, ConnectionRefusedError):
            while True:
                name, _, number = flow.socket.recv(_LARGEST_ANSWER).decode().partition(" ")
                sent = self._sent[int(number)]
                if sent.flow is not flow:
                    self._wrong += 1
                    continue
                sent.backend = flow.backend = name
                sent.copies += 1

    def _datagrams(self) -> Iterator[Datagram]:
        for each in self._sent:
            way = str(each.flow.way)
            yield Datagram(way, each.sent_ns, each.flows_backend, each.backend, each.copies)
