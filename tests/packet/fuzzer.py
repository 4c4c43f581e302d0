"""The program and the model, side by side on generated sequences of packets.

A run goes in rounds. In each, Hypothesis draws sequences from nothing and from those that
are known: of each path that a packet was seen to go, the shortest that led there. So rare
paths are tried as often as common ones, and what is known does not change within a round,
as shrinking demands.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product
from socket import ntohs
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity, given, settings

from dataplane import abi, libbpf
from dataplane.abi import ffi
from dataplane.records import Index
from tests.packet.balancer import Balancer, Verdict, age
from tests.packet.generate import Steps, read_steps, tapes
from tests.packet.model import HANDSHAKES, Model, Outcome

# A test run leaves room for every tag, and the maps do not change.
_UNREACHED = {"no_headroom", "port_gone"}
ROUND = 250  # examples
Counts = dict[int, tuple[int, int]]  # packets and bytes by number
REASONS = [reason.name for reason in abi.REASONS]


class DisagreementError(AssertionError):
    """The program did not do what the model says."""

    def __init__(self, steps: Steps, model: object, program: object) -> None:
        super().__init__(steps, model, program)

    def __str__(self) -> str:
        steps, model, program = self.args
        *before, last = (
            step.hex() if isinstance(step, bytes) else f"{step} seconds pass"
            for step in steps
        )
        lines = ["the program and the model disagree"]
        lines += [f"  after    {step}" for step in before]
        lines += [f"  on       {last}", f"  model    {model}", f"  program  {program}"]
        return "\n".join(lines)


@dataclass
class Fuzzer:
    balancer: Balancer
    model: Model
    records: int  # the maps that the program fills
    fragments: int
    replies: int
    handshakes: int
    packets: int = 0
    reached: Counter[tuple[str, int | None]] = field(default_factory=Counter)
    known: dict[tuple[object, ...], Steps] = field(default_factory=dict)
    # Handshakes of all packets that were compared: begun, repeated, completed.
    shaken: np.ndarray = field(default_factory=lambda: np.zeros(3, np.int64))

    def __post_init__(self) -> None:
        self.forget_handshakes(range(HANDSHAKES))

    def run(self, rounds: int) -> None:
        """Draw and compare; the smallest disagreement that was found is raised."""
        for _ in range(rounds):
            self.run_round()

    def run_round(self) -> None:
        known = sorted(self.known.values(), key=size)

        @settings(
            max_examples=ROUND,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            verbosity=Verbosity.quiet,
        )
        @given(tapes)
        def compare(tape: bytes) -> None:
            self.compare(read_steps(tape, known))

        compare()

    def compare(self, steps: Steps) -> None:
        """Do the steps from the beginning; DisagreementError where the two differ."""
        self.forget()
        before = [self.counted(name) for name in ("service_counters", "backend_counters")]
        opened = self.counted("handshake_counters", "gw_handshakes")
        wanted: tuple[Counts, Counts] = ({}, {})
        for number, step in enumerate(steps, 1):
            if isinstance(step, int):
                self.wait(step)
                continue
            outcome = self.model.receive(step)
            self.compare_packet(step, outcome, steps[:number])
            self.note(outcome, steps[:number])
            for counts, whose in zip(
                wanted, (outcome.service_id, outcome.backend_id), strict=True
            ):
                if whose is not None:
                    packets, size = counts.get(whose, (0, 0))
                    counts[whose] = packets + 1, size + len(step)
        counted = (
            gained(self.counted("service_counters"), before[0]),
            gained(self.counted("backend_counters"), before[1]),
        )
        check(steps, wanted, counted)
        check(steps, self.model.recorded(), recorded(self.records))
        check(steps, self.model.remembered(), remembered(self.fragments))
        check(steps, self.model.tracked(), tracked(self.replies))
        counts = {one: tuple(each) for one, each in self.model.handshakes.counts.items()}
        shaken = gained(self.counted("handshake_counters", "gw_handshakes"), opened)
        check(steps, counts, shaken)
        self.shaken += np.sum([*shaken.values(), (0, 0, 0)], axis=0)

    def compare_packet(self, packet: bytes, outcome: Outcome, steps: Steps) -> None:
        before = self.counted("reason_counters")
        verdict, sent = self.balancer.send_bytes(packet)
        counts = gained(self.counted("reason_counters"), before)
        did = {REASONS[number]: each for number, each in counts.items()}, verdict, sent
        should = {outcome.reason: (1, len(packet))}, outcome.verdict, outcome.packet
        if did != should:
            raise DisagreementError(steps, told(*should), told(*did))

    def note(self, outcome: Outcome, steps: Steps) -> None:
        """Remember how to get here."""
        self.packets += 1
        self.reached[outcome.reason, outcome.version] += 1
        other = self.known.get(outcome.path)
        if other is None or size(steps) < size(other):
            self.known[outcome.path] = steps

    def seldom(self, at_least: int) -> dict[tuple[str, int], int]:
        """Return the reasons that fewer packets of a family met; none, if all is well."""
        every = product((name for name in REASONS if name not in _UNREACHED), (4, 6))
        return {each: self.reached[each] for each in every if self.reached[each] < at_least}

    def forget(self) -> None:
        self.forget_handshakes(self.model.handshakes.openings)
        self.model.forget()
        for fd in (self.fragments, self.records, self.replies):
            for key, _ in list(libbpf.map_items(fd)):
                libbpf.map_delete(fd, key)

    def wait(self, seconds: int) -> None:
        self.model.now += seconds
        for fd in (self.fragments, self.records, self.replies):
            age(fd, seconds)

    def forget_handshakes(self, places: Iterable[int]) -> None:
        nobody = bytes(abi.sizeof("gw_handshake"))
        for place in places:
            libbpf.map_update(self.handshakes, Index(place).pack(), nobody)

    def counted(self, name: str, of: str = "gw_counter") -> np.ndarray:
        """Return counts by number; much faster than by `counters`."""
        words = np.frombuffer(self.balancer.instance.maps.values(name), np.int64)
        by_cpu = words.reshape(-1, libbpf.possible_cpus(), abi.sizeof(of) // 8)
        counts = by_cpu.sum(axis=1)
        return counts[:, :2] if of == "gw_counter" else counts  # no flows


def gained(now: np.ndarray, before: np.ndarray) -> Counts:
    more = now - before
    return {int(row): tuple(more[row].tolist()) for row in np.flatnonzero(more.any(axis=1))}


def told(counts: dict[str, tuple[int, int]], verdict: Verdict, packet: bytes) -> str:
    return f"{verdict.name} {packet.hex()}, counted as {counts}"


def check(steps: Steps, model: object, program: object) -> None:
    if model != program:
        raise DisagreementError(steps, model, program)


def size(steps: Steps) -> int:
    return sum(len(step) if isinstance(step, bytes) else 1 for step in steps)


def recorded(fd: int) -> dict[tuple[object, ...], int]:
    """Return the flows that the program has recorded, and whose they are."""
    found = {}
    for key, value in libbpf.map_items(fd):
        flow, record = struct("gw_flow", key), struct("gw_record", value)
        ports = ntohs(flow.client_port), ntohs(flow.port)
        found[buffer(flow.client), flow.service_id, *ports] = record.backend_id
    return found


def remembered(fd: int) -> dict[tuple[object, ...], tuple[object, ...]]:
    """Return the datagrams that the program remembers, and what became of them."""
    found = {}
    for key, value in libbpf.map_items(fd):
        datagram, first = struct("gw_datagram", key), struct("gw_fragment", value)
        ends = buffer(datagram.source), buffer(datagram.dest)
        found[*ends, datagram.id, datagram.protocol] = (
            buffer(first.vip),
            first.backend_id,
            first.owner,
            first.mode,
        )
    return found


def tracked(fd: int) -> dict[tuple[object, ...], tuple[bytes, int]]:
    """Return the flows to NAT backends that are written down, and who speaks for them."""
    found = {}
    for key, value in libbpf.map_items(fd):
        flow, speaker = struct("gw_reply_flow", key), struct("gw_speaker", value)
        ports = ntohs(flow.client_port), ntohs(flow.backend_port)
        ends = buffer(flow.client), buffer(flow.backend), *ports, flow.protocol
        found[ends] = buffer(speaker.vip), ntohs(speaker.port)
    return found


def struct(name: str, data: bytes) -> Any:
    return ffi.cast(f"struct {name} *", ffi.from_buffer(data))


def buffer(address: Any) -> bytes:
    return bytes(ffi.buffer(address.word))
