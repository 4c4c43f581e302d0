"""Sending packets through the balancer, and counting what comes out."""

import struct
import time
from dataclasses import dataclass
from typing import Final

import numpy as np
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from bench.forwarding import live_frames
from bench.forwarding.network import CLIENT, CLIENT_MAC, ENTRANCE_MAC, PORT, VIP
from bench.xdp_programs import Programs
from dataplane import libbpf
from vagrant.lab.hosts import Host, link_index
from vagrant.lab.wait import eventually

_FRAME_BYTES: Final = 60
_HEADER_BYTES: Final = 42
_CLIENT_PORT: Final = 1024
_STREAM: Final = struct.Struct(f"=2I{_HEADER_BYTES}s2x")  # struct stream


@dataclass(frozen=True, slots=True)
class Run:
    """Packets that were sent at once."""

    sent: int
    received: int
    seconds: float

    @property
    def rate(self) -> float:
        """Packets per second that arrived."""
        return self.received / self.seconds

    @property
    def loss(self) -> float:
        """The share that did not arrive, 0 … 1."""
        return 1 - self.received / self.sent


class Traffic:
    """The generator in the client, and the counter of the servers."""

    def __init__(self, programs: Programs, client: Host) -> None:
        self._programs, self._client = programs, client
        self._generator = programs.load("generate")
        with client.netlink() as ip:
            self._ifindex = link_index(ip, "eth0")
        self._frame = _frame()

    def send(self, packets: int, flows: int) -> Run:
        """Send ``packets`` of so many flows in turn, and wait until they are through."""
        headers = self._frame[:_HEADER_BYTES]
        self._programs.put("streams", {0: _STREAM.pack(0, flows, headers)})
        before = self._received()
        with self._client.inside():
            start_ns = time.perf_counter_ns()
            live_frames.send(self._generator, self._ifindex, self._frame, packets)
            seconds = (time.perf_counter_ns() - start_ns) / 1e9
        return Run(packets, self._settled() - before, seconds)

    def _settled(self) -> int:
        """Return how many packets have arrived, when no more do."""
        last = -1

        def settled() -> bool:
            nonlocal last
            before, last = last, self._received()
            return before == last

        eventually(settled, within=5, what="the last packet arrives", every=0.01)
        return last

    def _received(self) -> int:
        data = libbpf.array_read(self._programs.map("received"), per_cpu=True)
        return int(np.frombuffer(data, np.uint64).sum())


def _frame() -> bytes:
    """Return the frame of flow 0, checksums included."""
    headers = (
        Ether(src=CLIENT_MAC.hex(":"), dst=ENTRANCE_MAC.hex(":"))
        / IP(src=str(CLIENT), dst=str(VIP))
        / UDP(sport=_CLIENT_PORT, dport=PORT)
    )
    return bytes(headers / bytes(_FRAME_BYTES - _HEADER_BYTES))
