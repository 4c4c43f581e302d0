"""A lab as a whole: a topology, a server on each backend, two balancer nodes."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from control.model import Protocol, Service
from vagrant.lab import cleanup, programs
from vagrant.lab.hosts import Host
from vagrant.lab.node import Node, node_paths
from vagrant.lab.program import Program
from vagrant.lab.signals import uninterrupted
from vagrant.lab.topology import Topology
from vagrant.lab.wait import eventually
from vagrant.lab.webserver import write_large_file

LARGE_FILE: Final = "large.bin"  # what web servers have to offer beside their name
_PRIORITIES: Final = {"lb1": 200, "lb2": 100}


class Lab:
    """``with Lab(name, DrTopology) as lab: lab.start()`` gives a cluster that serves.

    Entering it makes the network; only :meth:`start` runs programs, and a test may start
    just what it needs: ``lab.nodes["lb1"]``, ``lab.servers["b1"]["web"]``.
    """

    topology: Topology
    nodes: dict[str, Node]
    servers: dict[str, dict[str, Program]]  # by backend, then by service

    def __init__(
        self,
        name: str,
        kind: type[Topology],
        services: Sequence[Service] | None = None,
        *,
        empty: bool = False,
        large_file_bytes: int = 1 << 20,
    ) -> None:
        """Prepare a lab; ``empty``: its nodes balance nothing until somebody tells them."""
        self.name = name
        self.directory = cleanup.directory(name)
        self.services = (kind.service(),) if services is None else tuple(services)
        self._kind = kind
        self._balanced = () if empty else self.services
        self._large_file_bytes = large_file_bytes
        self._cleanup = ExitStack()
        self._lock = ExitStack()
        self._left_running = False

    def __enter__(self) -> Self:
        """Remove what an earlier lab of this name left, and make the network."""
        with ExitStack() as lock, ExitStack() as undo:
            lock.enter_context(cleanup.exclusive(self.name))
            cleanup.remove(self.name)
            undo.callback(cleanup.remove, self.name)
            cleanup.make_directory(self.name)
            self.topology = self._kind.create(cleanup.prefix(self.name), undo)
            self._write_documents()
            self.servers = {
                name: self._servers(name, host)
                for name, host in self.topology.backends.items()
            }
            self.nodes = {
                name: Node(
                    host,
                    self.topology,
                    self._balanced,
                    _PRIORITIES[name],
                    node_paths(self.directory, name),
                )
                for name, host in self.topology.balancers.items()
            }
            self._cleanup = undo.pop_all()
            self._lock = lock.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove everything."""
        prefix, bpffs = cleanup.prefix(self.name), cleanup.bpffs(self.name)
        with uninterrupted(), self._lock:  # let go of the name when nothing is left
            if not self._left_running:
                with programs.gone_after(prefix, bpffs):
                    self._cleanup.__exit__(kind, error, traceback)

    @property
    def client(self) -> Host:
        """The host that asks."""
        return self.topology.client

    @property
    def large_file(self) -> Path:
        """The file that web servers offer as /large.bin."""
        return self.directory / "www" / LARGE_FILE

    def start(self) -> None:
        """Start everything and wait until both nodes serve and lb1 is Active."""
        for host in self.servers:
            self.start_servers(host)
        for node in self.nodes.values():
            node.guidewayd.start()  # all at once, for they take their time
        for host in self.servers:
            self.wait_for_servers(host)
        for node in self.nodes.values():
            node.start()
        for node in self.nodes.values():
            for service in self._balanced:
                node.wait_until_serving(service.name)
        self.nodes["lb1"].wait_until_state("active")
        self.nodes["lb2"].wait_until_state("backup")

    def start_servers(self, backend: str) -> None:
        """Start what ``backend`` serves, without waiting for it."""
        for program in self.servers[backend].values():
            program.start()

    def kill_servers(self, backend: str) -> None:
        """Kill what ``backend`` serves; the host lives on and refuses connections."""
        for program in self.servers[backend].values():
            program.kill()

    def wait_for_servers(self, backend: str, within: float = 10) -> None:
        """Wait until everything that ``backend`` serves accepts connections."""
        host = self.topology.backends[backend]
        for name, program in self.servers[backend].items():
            port = self._service(name).backend(backend).port
            eventually(
                partial(_accepts, host, port, program),
                within=within,
                what=f"{program} accepts connections",
                explain=program.tail,
            )

    def leave_running(self) -> None:
        """Keep everything after this process; ``cleanup.remove`` will find it by name."""
        self._left_running = True
        self._cleanup.pop_all()
        self._lock.close()

    def _service(self, name: str) -> Service:
        return next(service for service in self.services if service.name == name)

    def _servers(self, backend: str, host: Host) -> dict[str, Program]:
        """Return who serves what on ``backend``; one program serves both families."""
        servers: dict[str, Program] = {}
        by_port: dict[tuple[Protocol, int], Program] = {}
        for service in self.services:
            if any(each.name == backend for each in service.backends):
                place = (service.protocol, service.backend(backend).port)
                server = by_port.get(place) or self._server(service, backend, host)
                servers[service.name] = by_port[place] = server
        return servers

    def _server(self, service: Service, backend: str, host: Host) -> Program:
        arguments = ("--name", backend, "--port", str(service.backend(backend).port))
        log = self.directory / f"{backend}-{service.name}.log"
        if service.protocol is Protocol.UDP:
            return Program(host, "vagrant.lab.echo", arguments, log)
        documents = ("--docroot", str(self.large_file.parent))
        return Program(host, "vagrant.lab.webserver", (*arguments, *documents), log)

    def _write_documents(self) -> None:
        self.large_file.parent.mkdir()
        write_large_file(self.large_file, self._large_file_bytes)


def _accepts(host: Host, port: int, program: Program) -> bool:
    program.require_running()
    with host.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
