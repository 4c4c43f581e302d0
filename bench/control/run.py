"""What is measured, one after another, on one node."""

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Final, Self

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from bench.control import process, topology
from bench.control.node import Node
from bench.control.switches import Directory, Switch, is_of
from control.api.address import target
from control.api.v1 import guideway_pb2 as pb
from vagrant.lab.wait import eventually

CHECKED: Final = 10  # services of which a backend fails at once
_SWITCHES_WITHIN: Final = 30.0  # seconds
_PAUSE: Final = (0.2, 0.6)  # seconds between two changes, at random
_CALM: Final = 5.0  # seconds before processor time is measured
_EVERY: Final = 0.01  # seconds between two calls of somebody else


@dataclass(frozen=True, slots=True)
class Plan:
    """How much there is of everything."""

    services: int
    backends: int  # of each service
    changes: int  # of one backend each
    idle: float  # seconds
    seed: int


@dataclass(frozen=True, slots=True)
class Result:
    """What it took; times in seconds, memory in bytes."""

    applied: float  # `guideway apply --wait`, from its start to its end
    changes: Sequence[float]  # each from the call to the data plane
    processor: float  # seconds of processor time for each change
    waits: Sequence[float]  # of others who called meanwhile, for their answers
    failures: Sequence[float]  # each from the files that say so to the data plane
    idle: float  # of a core
    memory: int  # of guidewayd at rest, without the maps
    grown: int  # the same after a second, similar `guideway apply`


def measure(node: Node, plan: Plan, tell: Callable[[str], None]) -> Result:
    """Carry out ``plan`` on a node that balances nothing; ``tell`` says what is next."""
    verdicts = node.directory / "verdicts"
    verdicts.mkdir()
    calm = topology.services(plan.services, plan.backends, None, 0)
    chance = random.Random(plan.seed)  # noqa: S311 - no secret
    maps = node.maps()
    tell("apply from nothing")
    applied = node.apply(calm)
    tell("changes of one backend")
    before = process.processor_seconds(node.pid)
    with _Caller(node.directory / "guidewayd.sock") as caller:
        changes = [_change(node, maps, chance, plan) for _ in range(plan.changes)]
    processor = (process.processor_seconds(node.pid) - before) / plan.changes
    tell("rest")
    time.sleep(_CALM)
    idle = _idle(node.pid, plan.idle)
    memory = process.resident_bytes(node.pid)
    tell("ten backends at once")
    for service in range(CHECKED):
        for backend in range(plan.backends):
            _say(verdicts, service, backend, "up")
    node.apply(topology.services(plan.services, plan.backends, verdicts, CHECKED))
    failures = [
        each for verdict in ("down", "up") for each in _fail(maps, verdicts, verdict)
    ]
    grown = process.resident_bytes(node.pid)
    waits = caller.waits
    return Result(applied, changes, processor, waits, failures, idle, memory, grown)


def _change(node: Node, maps: Directory, chance: random.Random, plan: Plan) -> float:
    """Take a backend out and put it back; return the seconds that the first one took."""
    service, backend = chance.randrange(plan.services), chance.randrange(plan.backends)
    taken: list[float] = []
    for state in (pb.BACKEND_STATE_DISABLED, pb.BACKEND_STATE_ACTIVE):
        left = plan.backends - (state == pb.BACKEND_STATE_DISABLED)
        time.sleep(chance.uniform(*_PAUSE))
        with maps.watched() as switches:
            begun = time.monotonic()
            node.set_backend(service, backend, state)
            eventually(
                partial(_found, switches, service, left),
                within=_SWITCHES_WITHIN,
                what=f"service {service} is served by {left} backends",
                every=0.005,
            )
        taken.extend(s.time - begun for s in _found(switches, service, left)[:1])
    return max(taken)


def _found(switches: Sequence[Switch], service: int, backends: int) -> list[Switch]:
    """Return when the service began to be served by so many."""
    return [s for s in switches if is_of(s, service) and s.backends == backends]


def _idle(pid: int, seconds: float) -> float:
    """Return what part of a core a process needs while nothing happens."""
    before, begun = process.processor_seconds(pid), time.monotonic()
    time.sleep(seconds)
    return (process.processor_seconds(pid) - before) / (time.monotonic() - begun)


def _fail(maps: Directory, verdicts: Path, verdict: str) -> list[float]:
    """Let a backend of each checked service pass or fail; return until when it did."""
    with maps.watched() as switches:
        begun = time.monotonic()
        for service in range(CHECKED):
            _say(verdicts, service, 0, verdict)
        numbers = range(CHECKED)
        eventually(
            lambda: all(any(is_of(s, n) for s in switches) for n in numbers),
            within=_SWITCHES_WITHIN,
            what=f"{CHECKED} backends are {verdict} in the data plane",
        )
    return [next(s.time for s in switches if is_of(s, n)) - begun for n in numbers]


def _say(verdicts: Path, service: int, backend: int, verdict: str) -> None:
    path = verdicts / str(topology.address_of(service, backend))
    new = path.with_suffix(".new")
    new.write_text(verdict, encoding="ascii")
    new.replace(path)


class _Caller:
    """Somebody who asks the API for little, over and over, while a block runs."""

    def __init__(self, socket: Path) -> None:
        self.waits: list[float] = []  # seconds
        self._target = target(socket)
        self._done = Event()
        self._thread = Thread(target=self._call)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _call(self) -> None:
        with grpc.insecure_channel(self._target) as channel:
            stub = HealthStub(channel)
            while not self._done.wait(_EVERY):
                begun = time.monotonic()
                stub.Check(health_pb2.HealthCheckRequest(), timeout=_SWITCHES_WITHIN)
                self.waits.append(time.monotonic() - begun)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the least value that ``share`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def median(values: Sequence[float]) -> float:
    """Return the middle one."""
    return statistics.median(values)
