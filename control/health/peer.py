"""Whom a probe speaks to, and by which sockets."""

import asyncio
import errno
import os
import socket
from dataclasses import dataclass
from typing import Final

from control.addresses import IpAddress
from control.checks import AnyCheck, NetworkCheck
from control.health.result import NoResultError

# linux/in.h: or else each connection has a port for itself, of which there are 28,000.
_IP_BIND_ADDRESS_NO_PORT: Final = 24


@dataclass(frozen=True, slots=True)
class Peer:
    """A backend as the sockets of a probe reach it."""

    address: IpAddress  # its name to people and to itself
    port: int  # 0: none
    source: str | None = None  # an address of this host; None: as its routes say
    interface: str | None = None  # likewise

    @classmethod
    def of(cls, address: IpAddress, port: int, check: AnyCheck) -> "Peer":
        """Return the backend at ``address`` and ``port`` as ``check`` has it asked."""
        if not isinstance(check, NetworkCheck):
            return cls(address, port)
        return cls(address, port, check.source, check.interface)

    @property
    def is_plain(self) -> bool:
        """Whether any socket reaches it, without being told how."""
        return self.source is None and self.interface is None

    @property
    def family(self) -> socket.AddressFamily:
        """The family of its sockets."""
        return socket.AF_INET if self.address.version == 4 else socket.AF_INET6  # noqa: PLR2004

    def open(self, kind: socket.SocketKind, protocol: int = 0) -> socket.socket:
        """Open a socket that does not block, from where it has to be from.

        Raises OSError, and NoResultError where this host cannot speak from there.
        """
        opened = socket.socket(self.family, kind | socket.SOCK_NONBLOCK, protocol)
        try:
            self._bind(opened)
        except BaseException:
            opened.close()
            raise
        return opened

    async def connect(self) -> socket.socket:
        """Return a TCP connection to it. Raises OSError, NoResultError."""
        opened = self.open(socket.SOCK_STREAM)
        try:
            await asyncio.get_running_loop().sock_connect(opened, self.place)
        except BaseException:
            opened.close()
            raise
        return opened

    @property
    def place(self) -> tuple[str, int]:
        """What a socket connects to."""
        return str(self.address), self.port

    def _bind(self, opened: socket.socket) -> None:
        if self.interface is not None:
            name = self.interface.encode() + b"\0"
            try:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
            except OSError as error:
                why = os.strerror(error.errno or 0)
                if error.errno == errno.ENODEV:
                    why = "there is none of that name here"
                raise NoResultError(f"interface {self.interface}: {why}") from error
        if self.source is not None:
            if opened.type == socket.SOCK_STREAM:  # a port is chosen when it connects
                opened.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            try:
                opened.bind((self.source, 0))
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
                problem = f"source {self.source}: this host has no such address"
                raise NoResultError(problem) from error
