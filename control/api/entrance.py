"""The door between the API's unix socket and gRPC.

gRPC in Python tells nothing of who is at the other end of a unix socket, and takes in as
many connections as there are descriptors. So it listens on a socket of its own that only
we can open; here connections are counted, the kernel is asked who each of them is, and the
bytes are carried between the two. The connection to gRPC is made from an address that says
whose it is (an abstract one, see unix(7)), which gRPC gives back as its peer; a secret in
it keeps others from making one up.
"""

import asyncio
import errno
import os
import pwd
import secrets
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from control.access import Role

MAX_CONNECTIONS: Final = 128
MAX_OF_A_USER: Final = 32  # of anybody but root and ourselves
_CHUNK: Final = 1 << 16  # bytes
_STUCK: Final = 60.0  # seconds in which an end has to take a chunk
_FLUSHING: Final = 1.0  # seconds for what is left to be said at the end
_NAMING: Final = 2.0  # seconds to find out what a user is called
_SO_PEERGROUPS: Final = 59  # asm-generic/socket.h; the socket module does not name it
_MOST_GROUPS_BYTES: Final = 1024  # what getsockopt() of Python has room for
_MAX_NAME: Final = 60  # bytes of a user's name in an address, of which 107 can be had
_PAUSE: Final = 0.1  # seconds, where the host is short of something
# What accept(2) may say though nothing is wrong with the socket.
_PASSING: Final = frozenset(
    {errno.ECONNABORTED, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
)
_PREFIX: Final = "guidewayd"


@dataclass(frozen=True, slots=True)
class User:
    """Who opened a connection, and what that may do."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Members:
    """Who of those that may open the socket may change something."""

    change_gid: int | None = None  # root and this group; None: everybody

    def role(self, uid: int, gids: frozenset[int]) -> Role:
        """Return the role of a user who is in the groups ``gids``."""
        if is_ours(uid) or self.change_gid is None or self.change_gid in gids:
            return Role.CHANGE
        return Role.VIEW


class Entrance:
    """Carries between a listening socket and gRPC's; owns neither."""

    def __init__(self, listener: socket.socket, inner: Path, members: Members) -> None:
        """Let in who connects to ``listener``; gRPC is to listen at ``inner``."""
        self.secret: Final = secrets.token_hex(8)
        self._listener = listener
        self._inner = inner
        self._members = members
        self._connections = Counter[int]()  # by user id
        self._made = count()
        # Its own: where names come from a network, a lookup may hang for long.
        self._names = ThreadPoolExecutor(max_workers=1, thread_name_prefix="names")

    async def run(self) -> None:
        """Let connections in until cancelled."""
        loop = asyncio.get_running_loop()
        self._listener.settimeout(0)
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    try:
                        connection, _ = await loop.sock_accept(self._listener)
                    except OSError as error:
                        if error.errno not in _PASSING:
                            raise
                        await asyncio.sleep(_PAUSE)
                    else:
                        tasks.create_task(self._let_in(connection))
        finally:
            self._names.shutdown(wait=False, cancel_futures=True)

    async def _let_in(self, connection: socket.socket) -> None:
        # An OSError says that either end went away, and the other one is closed then.
        with suppress(OSError), connection:
            uid, gids = _credentials(connection)
            crowded = self._connections.total() >= MAX_CONNECTIONS
            if crowded or (self._connections[uid] >= MAX_OF_A_USER and not is_ours(uid)):
                return
            self._connections[uid] += 1
            try:
                name = await self._name(uid)
                await self._carry(connection, User(name, self._members.role(uid, gids)))
            finally:
                self._connections[uid] -= 1
                self._connections += Counter()  # forgets the zeros

    async def _name(self, uid: int) -> str:
        """Return what the user ``uid`` is called, if that fits into an address."""
        asking = asyncio.get_running_loop().run_in_executor(self._names, _user_name, uid)
        try:
            async with asyncio.timeout(_NAMING):
                name = await asking
        except TimeoutError:
            name = ""
        fits = name.isprintable() and len(name.encode()) <= _MAX_NAME
        return name if name and fits else f"uid {uid}"

    async def _carry(self, connection: socket.socket, user: User) -> None:
        with socket.socket(socket.AF_UNIX) as to_grpc:
            to_grpc.settimeout(0)
            to_grpc.bind(f"\0{_write_name(self.secret, next(self._made), user)}".encode())
            await asyncio.get_running_loop().sock_connect(to_grpc, str(self._inner))
            async with (
                _streams(connection) as outer,
                _streams(to_grpc) as inner,
                asyncio.TaskGroup() as tasks,
            ):
                tasks.create_task(_pump(outer[0], inner[1]))
                tasks.create_task(_pump(inner[0], outer[1]))


@asynccontextmanager
async def _streams(
    connection: socket.socket,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Read and write ``connection``; nobody does any more when the body has ended."""
    reader, writer = await asyncio.open_connection(sock=connection)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):  # TimeoutError is one
            try:
                async with asyncio.timeout(_FLUSHING):
                    await writer.wait_closed()
            finally:
                writer.transport.abort()  # or the event loop would go on with its number


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry one way until its end, and then close the other way, too."""
    with suppress(OSError):  # TimeoutError is one
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            async with asyncio.timeout(_STUCK):
                await writer.drain()
        writer.close()
        return
    writer.transport.abort()


def is_ours(uid: int) -> bool:
    """Tell whether ``uid`` is root or who the daemon runs as."""
    return uid in (0, os.geteuid())


def read_name(name: str, secret: str) -> User | None:
    """Return whose connection has ``name``; None if no entrance with ``secret`` made it."""
    match name.split("/", 4):
        case [prefix, found, _, role, user] if prefix == _PREFIX:
            ours = secrets.compare_digest(found.encode(), secret.encode())
            return User(user, Role[role]) if ours else None
        case _:
            return None


def _write_name(secret: str, number: int, user: User) -> str:
    return f"{_PREFIX}/{secret}/{number:x}/{user.role.name}/{user.name}"


def _credentials(connection: socket.socket) -> tuple[int, frozenset[int]]:
    """Return user and groups of who connected, as they were then."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    _, uid, gid = struct.unpack("iII", found)
    try:
        more = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MOST_GROUPS_BYTES)
    except OSError:  # there are more of them: the first one has to do
        more = b""
    return uid, frozenset({gid, *(group for (group,) in struct.iter_unpack("I", more))})


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""
