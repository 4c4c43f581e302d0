"""Long-lived connections through the balancer."""

from collections.abc import Iterable

from vagrant.lab.lab import Lab
from vagrant.lab.topology import VIP


class Connection:
    """A long-lived HTTP connection through the VIP."""

    def __init__(self, lab: Lab) -> None:
        self._socket = lab.client.socket()
        self._socket.settimeout(10)
        self._socket.connect((str(VIP), 80))
        self.backend = self.ask()

    def ask(self) -> str:
        """Send a request and return who answered; OSError if the connection is broken."""
        self._socket.sendall(b"GET / HTTP/1.1\r\nHost: vip\r\n\r\n")
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
