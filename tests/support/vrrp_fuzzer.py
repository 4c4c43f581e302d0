"""Sends damaged advertisements through all that reads them, and keeps what leads anywhere.

Invariant: whatever arrives, it is discarded by a MalformedError, or is an advertisement
that we could have sent ourselves, and the state machine goes on. Each packet that took a
path through the code that none took before is damaged further.

``python -m tests.support.vrrp_fuzzer SECONDS`` goes on for longer (``make fuzz-vrrp``).
"""

import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from types import FrameType

import vrrp
from vrrp.admission import Admission
from vrrp.checksum import internet_checksum
from vrrp.errors import Fault, MalformedError
from vrrp.machine import Config, State, VirtualRouter
from vrrp.packet import Advertisement, Dialect
from vrrp.transport import dissect

ME, PEER, STRANGER = (IPv4Address(f"10.0.0.{end}") for end in (1, 2, 3))
GROUP = IPv4Address("224.0.0.18")
VIP = IPv4Address("10.0.0.100")
IP_BYTES = 20
WORTHY = (0, 1, 2, 3, 33, 49, 51, 100, 127, 128, 254, 255)  # bytes that mean something
CODE = str(Path(next(iter(vrrp.__path__))).resolve())

Steps = frozenset[tuple[str, int, int]]
# Everybody who hears: by multicast in both versions, with a password, and by unicast.
LISTENERS = (
    Admission(Dialect(), 51, 1.0),
    Admission(Dialect(version=2), 51, 1.0),
    Admission(Dialect(version=2, password=b"secret"), 51, 1.0),
    Admission(Dialect(), 51, 1.0, frozenset({PEER}), least_ttl=64),
)


def datagram(message: bytes, source: IPv4Address, destination: IPv4Address) -> bytes:
    header = bytearray(IP_BYTES)
    header[0], header[8], header[9] = 0x45, 255, 112
    header[2:4] = (IP_BYTES + len(message)).to_bytes(2, "big")
    header[12:16], header[16:20] = source.packed, destination.packed
    return bytes(header) + message


def seeds() -> list[bytes]:
    """Return right packets of every dialect."""
    found = []
    for listener in LISTENERS:
        to = ME if listener.peers else GROUP
        for priority in (0, 90, 100, 255):
            said = Advertisement(51, priority, 1.0, (VIP,))
            for source in (PEER, ME, STRANGER):
                message = listener.dialect.pack(said, source, to)
                found.append(datagram(message, source, to))
    return found


class Fuzzer:
    """Draws packets; the same ``seed`` draws the same."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.corpus = seeds()
        self.seen = set[tuple[int, str, int, int]]()
        self.faults = Counter[Fault]()
        self.admitted = 0
        self.packets = 0
        self.now = 0.0
        self.routers = [
            VirtualRouter(Config(51, (VIP,), version=one.dialect.version))
            for one in LISTENERS
        ]
        for router in self.routers:
            router.start(ME, self.now)
        for packet in self.corpus:
            self.try_out(packet)

    def step(self) -> None:
        """Damage a packet, send it, and keep it if it went a new way."""
        packet = self._damaged(bytearray(self.random.choice(self.corpus)))
        if self.try_out(packet):
            self.corpus.append(packet)

    def try_out(self, packet: bytes) -> bool:
        """Let everybody hear ``packet``; True: it went a way that is new."""
        self.packets += 1
        self.now += self.random.choice((0.0, 0.01, 0.5, 4.0))
        before = len(self.seen)
        for number, listener in enumerate(LISTENERS):
            steps = traced(lambda n=number, one=listener: self._hear(packet, n, one))
            self.seen |= {(number, *step) for step in steps}
        return len(self.seen) > before

    def _hear(self, packet: bytes, number: int, listener: Admission) -> None:
        router = self.routers[number]
        try:
            arrived = dissect(packet)
            said = listener.admit(arrived, ME)
        except MalformedError as error:
            assert str(error)  # noqa: PT017 - either is right
            self.faults[error.fault] += 1
        else:
            self.admitted += 1
            assert 0 <= said.priority <= 255
            assert 0.01 <= said.interval <= 255
            again = listener.dialect.pack(said, arrived.source, arrived.destination)
            assert (
                listener.dialect.parse(again, arrived.source, arrived.destination) == said
            )
            router.receive(said, arrived.source, self.now)
        router.tick(self.now)
        assert router.state in (State.BACKUP, State.ACTIVE)
        assert router.deadline is not None
        assert router.deadline >= self.now - 1e-6

    def _damaged(self, packet: bytearray) -> bytes:
        draw = self.random
        for _ in range(draw.choice((1, 1, 2, 4))):
            place = draw.randrange(len(packet)) if packet else 0
            match draw.randrange(6):
                case 0 if packet:
                    packet[place] ^= 1 << draw.randrange(8)
                case 1 if packet:
                    packet[place] = draw.choice(WORTHY)
                case 2:
                    del packet[place:]
                case 3:
                    packet[place:place] = draw.randbytes(draw.choice((1, 4, 8, 1024)))
                case 4:
                    other = draw.choice(self.corpus)
                    packet[place:] = other[place:]
                case _:
                    del packet[place : place + 4]
        # Most have to get past length and checksum, or nothing else is ever reached.
        if len(packet) > IP_BYTES + 8 and draw.random() < 0.8:
            packet[0], packet[9] = 0x45, 112
            packet[2:4] = (len(packet) & 0xFFFF).to_bytes(2, "big")
            packet[26:28] = b"\0\0"
            packet[26:28] = internet_checksum(bytes(packet[20:])).to_bytes(2, "big")
        return bytes(packet)


def traced(work: Callable[[], None]) -> Steps:
    """Return the steps from line to line that ``work`` makes in vrrpd's code."""
    steps = set[tuple[str, int, int]]()

    def enter(frame: FrameType, _: str, __: object):
        if not frame.f_code.co_filename.startswith(CODE):
            return None
        last = frame.f_lineno

        def line(frame: FrameType, _: str, __: object):
            nonlocal last
            steps.add((frame.f_code.co_qualname, last, frame.f_lineno))
            last = frame.f_lineno
            return line

        return line

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        work()
    finally:
        sys.settrace(before)
    return frozenset(steps)


def main() -> None:
    seconds = float(sys.argv[1])
    seed = time.time_ns()
    sys.stdout.write(f"seed {seed}\n")
    fuzzer = Fuzzer(seed)
    end = time.monotonic() + seconds
    with suppress(KeyboardInterrupt):
        while time.monotonic() < end:
            fuzzer.step()
    sys.stdout.write(
        f"{fuzzer.packets} packets, {fuzzer.admitted} heeded, {len(fuzzer.corpus)} ways, "
        f"{len(fuzzer.seen)} steps\n"
    )
    for fault in Fault:
        sys.stdout.write(f"{fault:>16} {fuzzer.faults[fault]}\n")


if __name__ == "__main__":
    main()
