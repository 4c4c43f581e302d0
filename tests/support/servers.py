"""Servers on loopback that behave as a test wants them to, good and bad."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from ssl import SSLContext

from control.check_common import CheckDefaults
from control.checks import AnyCheck
from control.health.kinds import probe
from control.health.peer import Way
from control.health.result import Result

LOOPBACK = IPv4Address("127.0.0.1")
PATIENCE = 20.0  # seconds in which any probe of a test is over


@dataclass
class Line:
    """One connection, seen by the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    sent: int = 0

    async def send(self, data: bytes) -> None:
        """Send, and wait until the kernel has taken it."""
        self.writer.write(data)
        await self.writer.drain()
        self.sent += len(data)

    async def drip(self, data: bytes) -> None:
        """Send a byte now and then, the data again and again, until nobody listens."""
        while True:
            for byte in data:
                await self.send(bytes([byte]))
                await asyncio.sleep(0.02)

    async def pour(self, data: bytes) -> None:
        """Send a gigabyte, or until nobody listens."""
        while self.sent < 1 << 30:
            await self.send(data)

    async def silence(self) -> None:
        """Say nothing, and wait until the other side is gone."""
        while await self.reader.read(65536):
            pass


Serve = Callable[[Line], Awaitable[None]]


@dataclass
class Served:
    """What came of a probe."""

    result: Result
    lines: list[Line] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """Bytes that the server has got rid of."""
        return sum(line.sent for line in self.lines)


def _patient(check: AnyCheck) -> AnyCheck:
    """Return ``check``, whose usual timeout may be over on a busy machine, without it."""
    usual = check.timeout == CheckDefaults().timeout
    return replace(check, timeout=PATIENCE / 2) if usual else check


def probed(
    check: AnyCheck,
    serve: Serve,
    *,
    ssl: SSLContext | None = None,
    name: IPv4Address = LOOPBACK,
    way: Way | None = None,
) -> Served:
    """Probe a TCP server once, called ``name``; where it serves, N stands in the result."""

    async def scenario() -> Served:
        lines: list[Line] = []

        async def accept(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            lines.append(Line(reader, writer))
            with suppress(ConnectionError):
                await serve(lines[-1])
            writer.close()

        server = await asyncio.start_server(accept, str(LOOPBACK), 0, ssl=ssl)
        port = server.sockets[0].getsockname()[1]
        async with asyncio.timeout(PATIENCE):
            result = await probe(name, port, _patient(check), way)
        server.close()
        for line in lines:
            line.writer.transport.abort()
        return Served(_anonymous(result, port), lines)

    return asyncio.run(scenario())


def answered(check: AnyCheck, answers: Callable[[bytes], list[bytes]] | None) -> Result:
    """Probe a UDP server once, which answers a datagram by some; None: nobody serves."""

    async def scenario() -> Result:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind((str(LOOPBACK), 0))
            server.setblocking(False)  # noqa: FBT003
            port = server.getsockname()[1]

            async def serve() -> None:
                if answers is None:
                    return
                while True:
                    asked, client = await loop.sock_recvfrom(server, 65536)
                    for answer in answers(asked):
                        await loop.sock_sendto(server, answer, client)

            if answers is None:
                server.close()
            serving = asyncio.create_task(serve())
            async with asyncio.timeout(PATIENCE):
                result = await probe(LOOPBACK, port, _patient(check))
            serving.cancel()
            return _anonymous(result, port)

    return asyncio.run(scenario())


def _anonymous(result: Result, port: int) -> Result:
    return Result(result.problem.replace(str(port), "N"), result.weight)
