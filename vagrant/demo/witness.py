"""Who was given which request, seen on the backends' own wires.

A request that failed names no backend. But its first packet had a source port, and the
backend that this packet reached is the one that the balancer chose.
"""

import asyncio
import socket
import struct
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Final, Self

from vagrant.lab.hosts import Host
from vagrant.lab.topology import CLIENT

_ETH_P_IP: Final = 0x0800
_ENOUGH_BYTES: Final = 128  # for an IPv4 header with options, and TCP's ports and flags
_SYN: Final = 0x02
_ACK: Final = 0x10
_TCP_START: Final = struct.Struct("!HHIIBB")  # ports, numbers, length, flags


class Witness:
    """Listens on each backend from entering to leaving the block, on the running loop."""

    def __init__(self, backends: Mapping[str, Host]) -> None:
        self._backends = backends
        self._seen: dict[int, str] = {}  # backend by the client's port, used once each
        self._cleanup = ExitStack()

    def backend_of(self, port: int) -> str | None:
        """Return who got the connection from the client's ``port``."""
        return self._seen.get(port)

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        with ExitStack() as undo:
            for name, host in self._backends.items():
                kind = socket.htons(_ETH_P_IP)
                # DGRAM: without the Ethernet header. Sees what comes in, not what goes out.
                wire = undo.enter_context(
                    host.socket(socket.AF_PACKET, socket.SOCK_DGRAM, kind)
                )
                wire.settimeout(0)  # reads what is there, never waits
                loop.add_reader(wire, self._read, name, wire)
                undo.callback(loop.remove_reader, wire)
            self._cleanup = undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._cleanup.close()

    def _read(self, backend: str, wire: socket.socket) -> None:
        with suppress(BlockingIOError):
            while True:
                port = connecting_port(wire.recv(_ENOUGH_BYTES))
                if port is not None:
                    self._seen[port] = backend


def connecting_port(packet: bytes) -> int | None:
    """Return the source port if ``packet`` (IPv4) is a SYN of the lab's client."""
    header_bytes = (packet[0] & 0x0F) * 4
    if packet[9] != socket.IPPROTO_TCP or packet[12:16] != CLIENT.packed:
        return None
    port, _, _, _, _, flags = _TCP_START.unpack_from(packet, header_bytes)
    return int(port) if flags & (_SYN | _ACK) == _SYN else None
