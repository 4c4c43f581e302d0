"""A backend's server: ``python -m bench.chaos.backend --name d1 --port 80 --port 8081``.

By UDP it answers each datagram, by TCP each line, with its name, a space and what came.
"""

import argparse
import asyncio
import socket
import threading
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from typing import Final

from vagrant.lab.echo import echo_datagrams

# Linux; `socket` has no name for it: SO_RCVBUF for root, who may exceed rmem_max.
SO_RCVBUFFORCE: Final = 33
BUFFER_BYTES: Final = 8 << 20
_BACKLOG: Final = 1024


async def _echo_lines(name: str, reader: StreamReader, writer: StreamWriter) -> None:
    with suppress(ConnectionError):  # health checks above all
        while line := await reader.readline():
            writer.write(b"%s %s" % (name.encode(), line))
            await writer.drain()
    writer.close()


async def _serve_lines(name: str, ports: list[int]) -> None:
    async def talk(reader: StreamReader, writer: StreamWriter) -> None:
        await _echo_lines(name, reader, writer)

    for port in ports:
        listener = socket.create_server(
            ("", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True
        )
        await asyncio.start_server(talk, sock=listener)
    await asyncio.Event().wait()


def _serve_datagrams(name: str, port: int) -> None:
    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    server.bind(("", port))
    threading.Thread(target=echo_datagrams, args=(name, server), daemon=True).start()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="backend", description=__doc__)
    parser.add_argument("--name", required=True, help="who answers")
    parser.add_argument("--port", type=int, action="append", required=True)
    arguments = parser.parse_args()
    for port in arguments.port:  # first: who can connect is answered by UDP, too
        _serve_datagrams(arguments.name, port)
    asyncio.run(_serve_lines(arguments.name, arguments.port))


if __name__ == "__main__":
    main()
