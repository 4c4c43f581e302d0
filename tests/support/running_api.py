"""A daemon's API without a daemon: the real store and server, over a plain observer."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from control.access import Access
from control.api.server import serving
from control.errors import ConflictError, HostError
from control.events import Hub, What
from control.explanation import Explanation, Question
from control.model import Backend, Service
from control.status import (
    Attachment,
    BackendStatus,
    DataPlaneStatus,
    Health,
    InterfaceStatus,
    MapStatus,
    NodeStatus,
    Outcome,
    ProbeResult,
    ProbeStatus,
    ReasonTraffic,
    ServiceStatus,
    Standing,
    Statistics,
    Traffic,
    VlanStatus,
)
from control.store import Store
from tests.support.explained import forwarded

STARTED = 1_700_000_000.0
LOADED = STARTED - 3600
DIGEST = "0123456789abcdef"
VLAN = VlanStatus("trunk", ("802.1ad 7", "802.1Q 10"))
BACKEND_MAC = "02:00:00:00:00:07"


@dataclass
class Node:
    """An Observer that finds every backend up but those in ``down``; Operations, too."""

    store: Store
    down: dict[str, str] = field(default_factory=dict)  # reasons by backend name
    ramps: dict[str, float] = field(default_factory=dict)  # of who starts slowly, by name
    warnings: tuple[str, ...] = ()
    broken: bool = False  # statistics() has a bug
    detached: bool = False
    repaired: float | None = None
    refusal: str = ""  # why the data plane cannot be loaded
    asked: list[Question] = field(default_factory=list)
    answer: Callable[[Question], Explanation] = forwarded
    failing: str = ""  # why the data plane does not balance
    hub: Hub = field(default_factory=Hub)
    socket: Path = Path()
    tcp_port: int = 0  # 0: not served over TCP
    loop: asyncio.AbstractEventLoop | None = None

    def publish(self, *happened: What) -> None:
        """Let things happen, one after another."""
        assert self.loop
        for what in happened:
            self.loop.call_soon_threadsafe(self.hub.publish, what)

    def node(self) -> NodeStatus:
        """Return a node that is up to date."""
        return NodeStatus(
            release="0.1.0",
            instance="default",
            abi=1,
            digest="" if self.detached else DIGEST,
            interfaces=(InterfaceStatus("eth0", "native", (VLAN,)),),
            adopted=True,
            desired_version=self.store.version,
            applied_version=self.store.version,
            warnings=self.warnings,
            started=STARTED,
            repairs=0 if self.repaired is None else 2,
            repaired=self.repaired,
            detached=self.detached,
            pending=self.store.pending,
        )

    def standing(self) -> Standing:
        """Return that those in ``down`` cannot serve."""
        return Standing(
            frozenset(
                (service.name, backend.identity)
                for service in self.store.state
                for backend in service.backends
                if backend.name in self.down
            )
        )

    async def data_plane(self) -> DataPlaneStatus:
        """Return a program on one of two interfaces, and two maps."""
        maps = MapStatus("services", 1, 1024, 90112), MapStatus("records", 7, 1024, 106496)
        return DataPlaneStatus(
            abi=1,
            digest="" if self.detached else DIGEST,
            adopted=True,
            loaded=None if self.detached else LOADED,
            interfaces=(
                Attachment("eth0", "native", attached=not self.detached),
                Attachment("eth1", "none", attached=False),
            ),
            maps=() if self.detached else maps,
        )

    async def reload(self) -> str:
        """Attach again, unless there is a ``refusal``."""
        if self.refusal:
            raise HostError(self.refusal)
        self.detached = False
        return DIGEST

    async def detach(self) -> None:
        """Detach, once."""
        if self.detached:
            raise ConflictError("the data plane is detached already")
        self.detached = True

    async def explain(self, question: Question) -> Explanation:
        """Return the ``answer``, whatever is asked."""
        self.asked.append(question)
        return self.answer(question)

    def trouble(self) -> str:
        """Return why it does not balance."""
        return "the data plane is detached" if self.detached else self.failing

    def services(self) -> tuple[ServiceStatus, ...]:
        """Return the stored services, slots shared by weight."""
        return tuple(self._service(service) for service in self.store.state)

    def probes(self, service: str, backend: str) -> tuple[ProbeStatus, ...]:
        """Return two results of each check; those of a backend that is down failed."""
        found = self.store.state.service(service)
        problem = self.down.get(backend, "")
        return tuple(
            ProbeStatus(
                check=check,
                port=found.backend(backend).port,
                health=Health.DOWN if problem else Health.UP,
                since=STARTED,
                against=1 if problem else 0,
                needed=check.rise if problem else check.fall,
                hold=19.2 if problem else 0.0,
                results=(
                    ProbeResult(STARTED, 0.0021, Outcome.NONE, "Too many open files"),
                    ProbeResult(
                        STARTED + 1,
                        0.001,
                        Outcome.FAILED if problem else Outcome.PASSED,
                        problem,
                    ),
                ),
            )
            for check in found.checks
        )

    async def statistics(self) -> Statistics:
        """Return a hundred packets for each backend."""
        if self.broken:
            raise ZeroDivisionError
        each = Traffic(packets=100, bytes=6400, flows=5)
        return Statistics(
            reasons=(
                ReasonTraffic("forwarded_dr", "forward", "sent to a backend", each),
                ReasonTraffic("malformed", "drop", "cut short", Traffic(0, 0, 0)),
            ),
            services={service.name: each for service in self.store.state},
            backends={
                (service.name, backend.name): each
                for service in self.store.state
                for backend in service.backends
            },
        )

    def _service(self, service: Service) -> ServiceStatus:
        serving = [b for b in service.backends if b.in_table and b.name not in self.down]
        total = sum(backend.weight for backend in serving)
        return ServiceStatus(
            service=service,
            ring_size=4093 if serving else 0,
            backends=tuple(
                self._backend(
                    backend, backend.weight / total if backend in serving else 0.0
                )
                for backend in service.backends
            ),
        )

    def _backend(self, backend: Backend, share: float) -> BackendStatus:
        is_down = backend.name in self.down
        return BackendStatus(
            backend=backend,
            health=Health.DOWN if is_down else Health.UP,
            reason=self.down.get(backend.name, ""),
            since=STARTED if is_down else None,
            share=share,
            mac=None if is_down else BACKEND_MAC,
            ramp=self.ramps.get(backend.name),
        )


@contextmanager
def running_api(
    directory: Path, access: Access | None = None
) -> Iterator[tuple[Path, Node]]:
    """Serve the API from a thread of its own; give its socket and its node."""
    ready = threading.Event()
    made: list[Node] = []
    loop = asyncio.new_event_loop()
    end = asyncio.Event()
    socket = directory / "guidewayd.sock"

    async def serve() -> None:
        store = Store.open(directory / "desired.db")
        try:
            node = Node(store, loop=loop, socket=socket)
            made.append(node)
            async with serving(
                socket, store, node, node, access=access, hub=node.hub
            ) as served:
                node.tcp_port = served.tcp_port
                ready.set()
                await end.wait()
        finally:
            store.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(30), "the API did not start"
        yield socket, made[0]
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(30)
        loop.close()
