"""The whole proof: calm, chaos, a backend's death, and whether a loss would be seen."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from bench.chaos import drops, foreign
from bench.chaos.cluster import Cluster, cluster
from bench.chaos.events import EVENTS, NotAsPromisedError, serve_by_all, shuffled
from bench.chaos.ledger import Row, Span, others_hit
from bench.chaos.topology import BASE, BYSTANDER, WAYS
from bench.chaos.traffic import Load, Traffic
from control.reconciler import READ_BACK_INTERVAL
from dataplane import libbpf
from dataplane.abi import PROGRAM
from dataplane.attach import Links
from vagrant.lab.wait import eventually

CALM: Final = "calm"
DEATH: Final = "a backend dies"
DETACHED: Final = "detached for 200 ms"
_SELF_TEST: Final = (DEATH, DETACHED)  # in which something has to be lost
_CALM_SECONDS: Final = 2.0
_EVENTS_PER_SECOND: Final = 100 / 120  # at least
_LONGEST: Final = 3  # times the seconds planned
_DETACHED_SECONDS: Final = 0.2
_SETTLED_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, and for how long."""

    name: str  # of the lab
    seconds: float  # of events; up to three times as many on a busy machine
    seed: int
    load: Load = field(default_factory=Load)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it."""

    rows: list[Row]
    wrong: int  # answers that nobody can have meant
    victim: str  # the backend that died
    dropped: dict[str, int]  # by the kernel, during calm and chaos

    @property
    def chaos(self) -> list[Row]:
        """The rows in which nothing may be lost."""
        return [row for row in self.rows if row.kind not in _SELF_TEST]

    def row(self, kind: str) -> Row:
        """Return the row of a kind of span."""
        return next(row for row in self.rows if row.kind == kind)

    def details(self) -> list[str]:
        """Return a line for each datagram and connection that should have been spared."""
        return [f"{row.kind}: {each}" for row in self.chaos for each in row.failed]

    def problems(self) -> list[str]:
        """Return what is not as it has to be, in sentences."""
        death = self.row(DEATH)
        own = [c for c in death.connections if c.failed and c.backend == self.victim]
        claims = {
            "datagrams were lost": not any(row.lost for row in self.chaos),
            "connections broke": not any(row.broken for row in self.chaos),
            "answers came that nobody can have meant": not self.wrong,
            "datagrams were answered twice": not any(
                each.copies > 1 for row in self.rows for each in row.datagrams
            ),
            f"the death of {self.victim} broke none of its connections": bool(own),
            f"the death of {self.victim} hit others": not others_hit(death, self.victim),
            "nothing was lost while the program was detached: a loss would not be seen": (
                self.row(DETACHED).lost > 0
            ),
        }
        return [sentence for sentence, holds in claims.items() if not holds]


def run(plan: Plan, told: Callable[[str], None] = lambda _: None) -> Result:
    """Carry out ``plan``; ``told`` hears of each thing that is done, before it is done.

    Raises LabError if guidewayd does not do what it should.
    """
    with cluster(plan.name, plan.seed) as tormented:
        spans: list[Span] = []

        def begin(kind: str) -> None:
            told(kind)
            spans.append(Span(kind, time.monotonic_ns()))

        with Traffic(tormented.lab.client, WAYS, plan.load, plan.seed) as traffic:
            tormented.leave = traffic.leave
            before = drops.read(tormented.lab.topology)
            begin(CALM)
            time.sleep(_CALM_SECONDS)
            _torment(tormented, plan, begin)
            begin(CALM)
            _require_mended(tormented)
            time.sleep(_CALM_SECONDS)
            dropped = drops.growth(before, drops.read(tormented.lab.topology))
            serve_by_all(tormented)  # so that somebody can take over
            begin(DEATH)
            time.sleep(_SETTLED_SECONDS)  # what is on its way before is not the victim's
            victim = _kill_backend(tormented)
            begin(CALM)
            time.sleep(_CALM_SECONDS)
            begin(DETACHED)
            _detach_for_a_moment(tormented)
            ledger = traffic.end()
    return Result(ledger.rows(spans), ledger.wrong, victim, dropped)


def _torment(tormented: Cluster, plan: Plan, begin: Callable[[str], None]) -> None:
    begun = time.monotonic()
    for number, kind in enumerate(shuffled(tormented.random)):
        passed = time.monotonic() - begun
        enough = number >= plan.seconds * _EVENTS_PER_SECOND
        if passed >= plan.seconds and (enough or passed >= _LONGEST * plan.seconds):
            return
        begin(kind)
        event, _ = EVENTS[kind]
        event(tormented)
        if mistakes := tormented.mistakes():
            raise NotAsPromisedError(f"after {kind!r} guidewayd has wrong: {mistakes}")


def _require_mended(tormented: Cluster) -> None:
    eventually(
        lambda: foreign.has_service(tormented.generation, tormented.wanted[BYSTANDER]),
        within=READ_BACK_INTERVAL + 5,
        what="the entry that somebody deleted is back",
    )


def _kill_backend(tormented: Cluster) -> str:
    """Kill the server of a backend; return its name when it is out."""
    way, number = tormented.random.choice(WAYS), tormented.random.choice(BASE)
    victim = way.backend(number).name
    tormented.servers[victim].kill()
    eventually(
        lambda: (
            not any(
                each.backend.name == victim and each.share
                for service in tormented.node.api.services()
                if service.service.name != BYSTANDER  # which has no health check
                for each in service.backends
            )
        ),
        within=10,
        what=f"{victim} is out",
        explain=tormented.node.guidewayd.tail,
    )
    return victim


def _detach_for_a_moment(tormented: Cluster) -> None:
    """Take the program off all interfaces for a moment, with nobody there to mend it."""
    tormented.kill()
    links = Links(tormented.pins / "links")
    program = libbpf.get(tormented.generation / PROGRAM)
    with tormented.node.host.inside():
        links.detach(links.pinned())
        time.sleep(_DETACHED_SECONDS)
        links.claim(program, type(tormented.lab.topology).interfaces, native=True)
    os.close(program)
