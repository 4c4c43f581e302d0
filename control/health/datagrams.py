"""Datagrams to one backend and back; what ICMP says of them is an error."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from control.addresses import IpAddress

_MAX_WAITING: Final = 16  # datagrams that nobody has looked at yet; more are dropped
# linux/in.h, linux/in6.h: hear of hosts and networks that are unreachable, too.
_IP_RECVERR: Final = 11
_IPV6_RECVERR: Final = 25


class _Inbox(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.arrived: asyncio.Queue[bytes | OSError] = asyncio.Queue(_MAX_WAITING)

    def datagram_received(self, data: bytes, _: object) -> None:
        self._put(data)

    def error_received(self, exc: Exception) -> None:
        assert isinstance(exc, OSError)  # noqa: S101 - asyncio promises
        self._put(exc)

    def _put(self, arrived: bytes | OSError) -> None:
        if not self.arrived.full():
            self.arrived.put_nowait(arrived)


@dataclass(frozen=True, slots=True)
class Conversation:
    """A socket that hears nobody but the one it speaks to."""

    _transport: asyncio.DatagramTransport
    _inbox: _Inbox

    def send(self, data: bytes) -> None:
        """Send a datagram."""
        self._transport.sendto(data)

    async def receive(self) -> bytes:
        """Wait for a datagram; raise the OSError that ICMP or the kernel reports."""
        arrived = await self._inbox.arrived.get()
        if isinstance(arrived, OSError):
            raise arrived
        return arrived


@asynccontextmanager
async def conversation(address: IpAddress, port: int) -> AsyncIterator[Conversation]:
    """Open a conversation; raises OSError."""
    with socket.socket(family(address), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as made:
        hear_errors(made, address)
        made.connect((str(address), port))
        loop = asyncio.get_running_loop()
        transport, inbox = await loop.create_datagram_endpoint(_Inbox, sock=made)
        try:
            yield Conversation(transport, inbox)
        finally:
            transport.abort()


def family(address: IpAddress) -> int:
    """Return the family of sockets that reach ``address``."""
    return socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004


def hear_errors(made: socket.socket, address: IpAddress) -> None:
    """Let a datagram socket report each ICMP error about what it sent to ``address``."""
    if address.version == 4:  # noqa: PLR2004
        made.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
    else:
        made.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
