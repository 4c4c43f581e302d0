"""A client that pings the VIP every millisecond, and knows which pings were lost."""

import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from threading import Event, Thread
from typing import Final

from vagrant.lab.hosts import Host

_EVERY: Final = 0.001  # seconds
_ECHO: Final = struct.Struct("!BBHHHI")  # type, code, checksum, id, sequence (16), ours
_REQUEST, _REPLY = 8, 0
_IP_HEADER: Final = 20  # bytes: nobody here sends options
_LARGEST: Final = 256
_LAST_REPLIES: Final = 0.3  # seconds
# All that may be under way while nobody answers: replies must not be dropped by the socket.
_BUFFER: Final = 1 << 20


@dataclass
class Probe:
    """When each ping was sent, and which were answered."""

    sent: list[float] = field(default_factory=list)  # monotonic seconds, by number
    answered: set[int] = field(default_factory=set)

    def first_answer_after(self, moment: float) -> float | None:
        """Return when the first ping was sent after ``moment`` from which on all goes well.

        That is the first one answered behind the last unanswered one; None: there is none.
        """
        late = [i for i, at in enumerate(self.sent) if at >= moment]
        lost = [i for i in late if i not in self.answered]
        begin = lost[-1] + 1 if lost else (late[0] if late else len(self.sent))
        return self.sent[begin] if begin < len(self.sent) else None

    def longest_silence(self) -> float:
        """Return the longest time, in seconds, in which no ping was answered in the end."""
        longest, last = 0.0, self.sent[0]
        for number, at in enumerate(self.sent):
            if number in self.answered:
                longest, last = max(longest, at - last), at
        return max(longest, self.sent[-1] - last)


@contextmanager
def pinging(client: Host, target: IPv4Address) -> Iterator[Probe]:
    """Ping ``target`` from ``client`` while the block runs; the probe is whole after it."""
    probe, done = Probe(), Event()
    with client.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        raw.settimeout(0)
        thread = Thread(target=_ping, args=(raw, str(target), probe, done))
        thread.start()
        try:
            yield probe
        finally:
            done.set()
            thread.join()


def _ping(raw: socket.socket, target: str, probe: Probe, done: Event) -> None:
    begun, ours = time.monotonic(), os.getpid() & 0xFFFF
    while not done.is_set():
        with suppress(OSError):  # the VIP has no MAC for now
            raw.sendto(_request(ours, len(probe.sent)), (target, 0))
        probe.sent.append(time.monotonic())
        _hear(raw, ours, probe)
        following = begun + len(probe.sent) * _EVERY
        time.sleep(max(0.0, following - time.monotonic()))
    time.sleep(_LAST_REPLIES)
    _hear(raw, ours, probe)


def _request(ours: int, number: int) -> bytes:
    message = _ECHO.pack(_REQUEST, 0, 0, ours, number & 0xFFFF, number)
    total = sum(struct.unpack(f"!{len(message) // 2}H", message))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return _ECHO.pack(_REQUEST, 0, checksum, ours, number & 0xFFFF, number)


def _hear(raw: socket.socket, ours: int, probe: Probe) -> None:
    with suppress(BlockingIOError):
        while True:
            message = raw.recv(_LARGEST)[_IP_HEADER:]
            if len(message) == _ECHO.size:
                kind, _, _, whose, _, number = _ECHO.unpack(message)
                if (kind, whose) == (_REPLY, ours):
                    probe.answered.add(number)
