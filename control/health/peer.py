"""Whom a probe speaks to, and by which sockets."""

import asyncio
import errno
import os
import socket
from dataclasses import dataclass
from typing import Final, Self

from control.addresses import IpAddress
from control.check_common import NetworkCheck
from control.checks import AnyCheck
from control.health.result import NoResultError

# linux/in.h: or else each connection has a port for itself, of which there are 28,000.
_IP_BIND_ADDRESS_NO_PORT: Final = 24
_FROM_A_VIP: Final = (
    "this host would ask from a VIP: give the check a `source`, or the interface an address"
)
_UNBOUND: Final = {
    errno.EADDRNOTAVAIL: "this host has no such address",
    errno.EADDRINUSE: "no port of it is left",
}


@dataclass(frozen=True, slots=True)
class Way:
    """How sockets reach a backend other than at its own address."""

    to: IpAddress  # what they connect to
    source: IpAddress | None  # where they come from; None: the check has to say


@dataclass(frozen=True, slots=True)
class Peer:
    """A backend as the sockets of a probe reach it."""

    address: IpAddress  # its name to people and to itself
    port: int  # 0: none
    source: str | None = None  # an address of this host; None: as its routes say
    interface: str | None = None  # likewise
    way: Way | None = None  # None: it is reached at its address

    @classmethod
    def of(
        cls, address: IpAddress, port: int, check: AnyCheck, way: Way | None = None
    ) -> Self:
        """Return the backend at ``address`` and ``port`` as ``check`` has it asked.

        Raises NoResultError.
        """
        if not isinstance(check, NetworkCheck):
            return cls(address, port)
        source = check.source
        if source is None and way is not None:
            if way.source is None:
                raise NoResultError(_FROM_A_VIP)
            source = str(way.source)
        return cls(address, port, source, check.interface, way)

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
        return str(self.way.to if self.way else self.address), self.port

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
            # A port is chosen when it connects. But a way to a VIP tells answers by it.
            if opened.type == socket.SOCK_STREAM and self.way is None:
                opened.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            try:
                opened.bind((self.source, 0))
            except OSError as error:
                problem = _UNBOUND.get(error.errno or 0, os.strerror(error.errno or 0))
                raise NoResultError(f"source {self.source}: {problem}") from error
