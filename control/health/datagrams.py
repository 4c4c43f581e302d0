"""Datagrams to one backend and back; what ICMP says of them is an error."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from control.health.peer import Peer

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
def conversation(opened: socket.socket, peer: Peer) -> Iterator[Conversation]:
    """Converse by a datagram socket, which is closed in the end; raises OSError."""
    with opened:
        if peer.family is socket.AF_INET:
            opened.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        else:
            opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        opened.connect(peer.place)
        yield Conversation(opened)
