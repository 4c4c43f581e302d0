"""A connection of ours for a library that makes its own: by a socket in between."""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from control.health.peer import Peer

_CREDENTIALS: Final = struct.Struct("iII")  # struct ucred: process, user, group
_PART: Final = 65536  # bytes


@asynccontextmanager
async def relayed(peer: Peer) -> AsyncIterator[str]:
    """Connect to ``peer``; give what gRPC connects to, so that it speaks there.

    Nobody but this process can. Raises OSError, NoResultError.
    """
    name = f"guideway-probe-{os.urandom(16).hex()}"
    with await peer.connect() as outer, socket.socket(socket.AF_UNIX) as door:
        door.setblocking(False)  # noqa: FBT003
        door.bind(f"\0{name}")
        door.listen(1)
        carrying = asyncio.create_task(_carry(door, outer))
        try:
            yield f"unix-abstract:{name}"
        finally:
            carrying.cancel()
            await asyncio.wait([carrying])


async def _carry(door: socket.socket, outer: socket.socket) -> None:
    with await _ours(door) as inner:
        there = asyncio.create_task(_pump(inner, outer))
        back = asyncio.create_task(_pump(outer, inner))
        try:
            await asyncio.gather(there, back)
        finally:
            there.cancel()
            back.cancel()
            await asyncio.wait([there, back])  # the sockets are closed next


async def _ours(door: socket.socket) -> socket.socket:
    """Return the first connection that this process makes."""
    while True:
        inner, _ = await asyncio.get_running_loop().sock_accept(door)
        found = inner.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        if _CREDENTIALS.unpack(found)[0] == os.getpid():
            return inner
        inner.close()


async def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Carry bytes one way until there are no more, or one of the two ends is gone."""
    loop = asyncio.get_running_loop()
    with suppress(OSError):
        while part := await loop.sock_recv(source, _PART):
            await loop.sock_sendall(sink, part)
    with suppress(OSError):  # it may be gone already
        sink.shutdown(socket.SHUT_WR)
