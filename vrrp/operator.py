"""The socket at which a running guideway-vrrpd is asked and told things; root's only."""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
from structlog import get_logger
from structlog.typing import FilteringBoundLogger

from vrrp.errors import HostError
from vrrp.requests import MAX_REQUEST, Answer, AnyRequest, ShowStatus

_log: Final[FilteringBoundLogger] = get_logger()
_PATIENCE: Final = 5.0  # seconds for a request to arrive, and for an answer to be taken
_AT_ONCE: Final = 16  # connections
_MODE: Final = 0o600
_UCRED: Final = struct.Struct("iII")  # pid, uid, gid; linux/socket.h

Handler = Callable[[AnyRequest], Awaitable[Answer]]


@asynccontextmanager
async def listen(path: Path, handle: Handler) -> AsyncIterator[None]:
    """Answer requests at ``path`` by ``handle``; HostError if the place is no good.

    Whatever has that name goes: only the holder of the status file's lock gets here.
    """
    desk = _Desk(handle)
    bound = _bind(path)
    server = await asyncio.start_unix_server(desk.serve, sock=bound, limit=MAX_REQUEST)
    try:
        yield
    finally:
        server.close()
        _remove(path)


def _bind(path: Path) -> socket.socket:
    bound = socket.socket(socket.AF_UNIX)
    try:
        path.unlink(missing_ok=True)
        os.fchmod(bound.fileno(), _MODE)  # before it has a name that others could open
        bound.bind(str(path))
    except OSError as error:
        bound.close()
        raise HostError(f"cannot listen at {path}: {error.strerror or error}") from error
    return bound


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


class _Desk:
    def __init__(self, handle: Handler) -> None:
        self._handle = handle
        self._busy = 0

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one connection, whatever comes over it."""
        if self._busy >= _AT_ONCE:
            writer.close()
            return
        self._busy += 1
        try:
            # Who is gone or says nothing gets nothing.
            with suppress(OSError, TimeoutError):
                await self._answer(reader, writer)
        finally:
            self._busy -= 1
            writer.close()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                line = await reader.readuntil(b"\n")
            request = msgspec.json.decode(line, type=AnyRequest)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            answer = Answer(problem=f"a request is one line of at most {MAX_REQUEST} bytes")
        except (msgspec.MsgspecError, UnicodeError) as error:
            answer = Answer(problem=f"not a request: {error}")
        else:
            answer = await self._handle(request)
            _audit(request, answer, _user(writer))
        writer.write(msgspec.json.encode(answer) + b"\n")
        async with asyncio.timeout(_PATIENCE):
            await writer.drain()


def _audit(request: AnyRequest, answer: Answer, user: int) -> None:
    if not isinstance(request, ShowStatus):
        asked = msgspec.to_builtins(request)
        _log.info("operator's request", uid=user, **asked, problem=answer.problem)


def _user(writer: asyncio.StreamWriter) -> int:
    """Return the user id at the other end, as the kernel knows it."""
    peer = writer.get_extra_info("socket")
    packed = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    uid: int = _UCRED.unpack(packed)[1]
    return uid
