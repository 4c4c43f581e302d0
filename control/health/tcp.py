"""A probe by TCP: the backend accepts a connection.

There may be thousands a second of them. So it is written to the event loop directly: by
``loop.sock_connect`` and ``asyncio.timeout``, a probe costs half as much again.
"""

import asyncio
import errno
import os
import socket
import struct
from typing import Final

from control.health.peer import Peer
from control.health.result import PASSED, Result, no_answer

# Nothing was sent, so there is nothing to wait for: one packet, and no TIME_WAIT.
_NO_LINGER: Final = struct.pack("ii", 1, 0)


async def probe(peer: Peer, timeout: float) -> Result:  # noqa: ASYNC109
    """Connect within ``timeout`` seconds; raises OSError, NoResultError."""
    with peer.open(socket.SOCK_STREAM) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        error = opened.connect_ex(peer.place)
        if error == errno.EINPROGRESS:
            if not await _writable(opened.fileno(), timeout):
                return no_answer(peer.port, timeout)
            error = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))
    return PASSED


async def _writable(descriptor: int, within: float) -> bool:
    """Wait until a socket is connected, or refused; tell whether it is, within seconds."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[bool] = loop.create_future()
    timer = loop.call_later(within, _settle, ready, False)  # noqa: FBT003
    loop.add_writer(descriptor, _settle, ready, True)  # noqa: FBT003
    try:
        return await ready
    finally:
        timer.cancel()
        loop.remove_writer(descriptor)


def _settle(ready: asyncio.Future[bool], found: bool) -> None:
    if not ready.done():
        ready.set_result(found)
