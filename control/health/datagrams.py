"""Datagrams to one backend and back; what ICMP says of them is an error."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from control.addresses import IpAddress

_LARGEST: Final = 65535  # bytes
# linux/in.h, linux/in6.h: hear of hosts and networks that are unreachable, too.
_IP_RECVERR: Final = 11
_IPV6_RECVERR: Final = 25


@dataclass(frozen=True, slots=True)
class Conversation:
    """A socket that hears nobody but the one it speaks to."""

    _socket: socket.socket

    async def send(self, data: bytes) -> None:
        """Send a datagram; raises OSError."""
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def receive(self) -> bytes:
        """Wait for a datagram; raise the OSError that ICMP or the kernel reports."""
        return await asyncio.get_running_loop().sock_recv(self._socket, _LARGEST)


@contextmanager
def conversation(
    opened: socket.socket, address: IpAddress, port: int
) -> Iterator[Conversation]:
    """Converse by a datagram socket, which is closed in the end; raises OSError."""
    with opened:
        opened.setblocking(False)  # noqa: FBT003
        if address.version == 4:  # noqa: PLR2004
            opened.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        else:
            opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        opened.connect((str(address), port))
        yield Conversation(opened)


def udp(address: IpAddress) -> socket.socket:
    """Open a UDP socket that reaches ``address``; raises OSError."""
    return socket.socket(family(address), socket.SOCK_DGRAM)


def family(address: IpAddress) -> int:
    """Return the family of sockets that reach ``address``."""
    return socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004
