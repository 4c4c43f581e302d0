"""Connections that live as long as a test wants them to."""

import sys
from collections.abc import Iterable
from fcntl import ioctl
from ipaddress import IPv4Address
from itertools import cycle
from termios import TIOCOUTQ
from typing import Protocol, Self

from vagrant.lab.hosts import Host
from vagrant.lab.topology import VIP

# Two NAT services may share a backend, which cannot tell apart what came from one port of a
# client to both. The kernel may take a port once for each of them; these are taken once.
_CLIENT_PORTS = cycle(range(10_000, 32_768))


class Place(Protocol):
    """Where connections come from: a lab, or less."""

    @property
    def client(self) -> Host: ...


class Connection:
    """A long-lived HTTP connection of the client, through the VIP if not told otherwise.

    Raises OSError if nobody answers within ``patience`` seconds.
    """

    def __init__(
        self,
        place: Place,
        address: IPv4Address = VIP,
        port: int = 80,
        *,
        patience: float = 10.0,
    ) -> None:
        self._socket = place.client.socket()
        try:
            self._socket.settimeout(patience)
            self._socket.bind(("", next(_CLIENT_PORTS)))
            self._socket.connect((str(address), port))
            self.backend = self.ask()
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self) -> str:
        """Send a request and return who answered; OSError if the connection is broken."""
        self.send()
        return self.answer()

    def send(self) -> None:
        """Send a request, and do not wait for the answer."""
        self._socket.sendall(b"GET / HTTP/1.1\r\nHost: vip\r\n\r\n")

    @property
    def unacknowledged(self) -> int:
        """How many bytes the other end has not said yet that it has."""
        size = ioctl(self._socket, TIOCOUTQ, bytes(4))
        return int.from_bytes(size, sys.byteorder)

    def answer(self) -> str:
        """Wait for an answer and return whose it is; OSError likewise."""
        answer = b""
        while b"\r\n\r\n" not in answer or not answer.endswith(b"\n"):
            received = self._socket.recv(4096)
            if not received:
                raise ConnectionResetError("the other end has closed it")
            answer += received
        (name,) = (
            line.split(b": ")[1]
            for line in answer.split(b"\r\n")
            if line.startswith(b"X-Backend")
        )
        return name.decode()

    def close(self) -> None:
        """Close it, whatever it is."""
        self._socket.close()


def moved(connections: Iterable[Connection]) -> list[str]:
    """Return whose connections were broken, or have another backend now."""
    broken = []
    for connection in connections:
        try:
            if connection.ask() != connection.backend:
                broken.append(connection.backend)
        except OSError:
            broken.append(connection.backend)
    return broken
