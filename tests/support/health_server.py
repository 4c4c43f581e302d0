"""A backend to check: ``python -m tests.support.health_server --moods DIR``.

It serves each kind of check at a port of its own, see PORTS, as the file of that name in
DIR says: well, wrong, slow, or flapping (well and wrong in turn). It notes there how often
it was asked: ``http.asked``.
"""

import argparse
import asyncio
import socket
import ssl
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import dns.message
import dns.rcode
import dns.rrset
from grpc import aio
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer, add_HealthServicer_to_server

PORTS = {
    "tcp": 9001,
    "tls": 9002,
    "http": 9003,
    "https": 9004,
    "udp": 9005,
    "dns": 9006,
    "grpc": 9007,
    "smtp": 9008,
}
SLOWNESS = 5.0  # seconds
ADDRESS = "192.0.2.77"  # what the DNS knows


@dataclass
class Moods:
    """How to behave now."""

    directory: Path
    asked: Counter[str] = field(default_factory=Counter)

    async def now(self, kind: str) -> bool:
        """Return whether to be well, when it is time to answer."""
        self.asked[kind] += 1
        note = self.directory / f"{kind}.asked"
        note.with_suffix(".new").write_text(str(self.asked[kind]))
        note.with_suffix(".new").rename(note)
        mood = (self.directory / kind).read_text()
        if mood == "slow":
            await asyncio.sleep(SLOWNESS)
        return mood != "wrong" and (mood != "flapping" or self.asked[kind] % 2 == 0)


@dataclass
class Server:
    """All kinds, in one loop."""

    moods: Moods
    context: ssl.SSLContext

    async def run(self) -> None:
        """Serve until killed."""
        for kind in ("tcp", "tls", "http", "https", "smtp"):
            await asyncio.start_server(getattr(self, kind), "", PORTS[kind])
        server = aio.server()
        add_HealthServicer_to_server(Grpc(self.moods), server)
        server.add_insecure_port(f"0.0.0.0:{PORTS['grpc']}")
        await server.start()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.datagrams("udp"))
            tasks.create_task(self.datagrams("dns"))

    async def tcp(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Accept, and note it."""
        await self.moods.now("tcp")
        writer.close()

    async def tls(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Shake hands, or say what is not TLS."""
        if await self.moods.now("tls"):
            await writer.start_tls(self.context)
        else:
            writer.write(b"SSH-2.0-server\r\n")
            await writer.drain()
        writer.close()

    async def http(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer 200, or 503."""
        await reader.readuntil(b"\r\n\r\n")
        await self._answer(writer, well=await self.moods.now("http"))

    async def https(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer 200, or 503, over TLS."""
        await writer.start_tls(self.context)
        await reader.readuntil(b"\r\n\r\n")
        await self._answer(writer, well=await self.moods.now("https"))

    async def _answer(self, writer: asyncio.StreamWriter, *, well: bool) -> None:
        status = "200 OK" if well else "503 Service Unavailable"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nstate".encode())
        await writer.drain()
        writer.close()

    async def smtp(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Greet, or refuse to."""
        if not await self.moods.now("smtp"):
            writer.write(b"554 no service\r\n")
        else:
            for answer in (b"220 mx.example\r\n", b"250 hello\r\n", b"221 bye\r\n"):
                writer.write(answer)
                await writer.drain()
                await reader.readline()
        writer.close()

    async def datagrams(self, kind: str) -> None:
        """Answer datagrams, each in a task of its own."""
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
            opened.bind(("", PORTS[kind]))
            opened.setblocking(False)  # noqa: FBT003
            async with asyncio.TaskGroup() as tasks:
                while True:
                    asked, client = await loop.sock_recvfrom(opened, 65535)
                    tasks.create_task(self._reply(kind, opened, asked, client))

    async def _reply(
        self, kind: str, opened: socket.socket, asked: bytes, client: tuple[str, int]
    ) -> None:
        well = await self.moods.now(kind)
        answer = (b"pong" if well else b"nope") if kind == "udp" else _dns(asked, well=well)
        await asyncio.get_running_loop().sock_sendto(opened, answer, client)


class Grpc(HealthServicer):
    """The health service."""

    def __init__(self, moods: Moods) -> None:
        self._moods = moods

    async def Check(self, request, context) -> HealthCheckResponse:  # noqa: N802
        """Say SERVING, or NOT_SERVING."""
        well = await self._moods.now("grpc")
        states = HealthCheckResponse.NOT_SERVING, HealthCheckResponse.SERVING
        return HealthCheckResponse(status=states[well])


def _dns(asked: bytes, *, well: bool) -> bytes:
    answer = dns.message.make_response(dns.message.from_wire(asked))
    name = answer.question[0].name
    if well:
        answer.answer = [dns.rrset.from_text(name, 9, "IN", "A", ADDRESS)]
    else:
        answer.set_rcode(dns.rcode.SERVFAIL)
    return answer.to_wire()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="health_server", description=__doc__)
    parser.add_argument("--moods", type=Path, required=True)
    directory = parser.parse_args().moods
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem")
    asyncio.run(Server(Moods(directory), context).run())


if __name__ == "__main__":
    main()
