"""guidewayd on a host, as an operator runs it: a file, a daemon, commands, its API."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc

from bench.control import topology
from bench.control.switches import Directory
from control.api.address import target
from control.api.v1 import guideway_pb2 as pb
from control.api.v1.guideway_pb2_grpc import LoadBalancerStub
from vagrant.lab.hosts import PROJECT, Host
from vagrant.lab.program import Program
from vagrant.lab.wait import eventually

# Room to change many rings beside those that stay.
_LIMITS: Final = {"services": 2048, "backends": 32768, "slots": 1 << 24}
_HASH_SEED: Final = 0x67756964
_STARTS_WITHIN: Final = 60.0  # seconds
_CONVERGES_WITHIN: Final = 120.0


@dataclass(frozen=True, slots=True)
class Node:
    """A running guidewayd."""

    host: Host
    program: Program
    directory: Path
    pins: Path
    stub: LoadBalancerStub

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        self.program.require_running()
        assert self.program.pid is not None  # noqa: S101 - it runs
        return self.program.pid

    def maps(self) -> Directory:
        """Return the data plane that packets meet."""
        (generation,) = (path for path in self.pins.iterdir() if path.name != "links")
        return Directory(generation)

    def apply(self, services: list[Any]) -> float:
        """Have ``guideway apply --wait`` apply them; return the seconds that it took."""
        path = self.directory / "services.yaml"
        topology.write(path, {"services": services})
        begun = time.monotonic()
        self.host.run(
            *(sys.executable, "-m", "control.cli.main", "--timeout", "60"),
            *("--socket", str(self.directory / "guidewayd.sock")),
            *("apply", "--wait", "-f", str(path)),
            timeout=_CONVERGES_WITHIN,
        )
        return time.monotonic() - begun

    def set_backend(
        self, service: int, backend: int, state: "pb.BackendState.ValueType"
    ) -> None:
        """Change one backend, as ``guideway backend`` does."""
        self.stub.SetBackend(
            pb.SetBackendRequest(
                service=topology.service_name(service),
                backend=topology.backend_name(backend),
                state=state,
            ),
            timeout=_STARTS_WITHIN,
        )

    def status(self) -> pb.NodeStatus:
        """Return what the daemon says of itself."""
        return self.stub.GetStatus(pb.GetStatusRequest(), timeout=_STARTS_WITHIN).node


@contextmanager
def running(host: Host, bpffs: Path, directory: Path) -> Iterator[Node]:
    """Start guidewayd on ``host``, with nothing to balance; stop it in the end."""
    socket, path = directory / "guidewayd.sock", directory / "guideway.yaml"
    topology.write(
        path,
        {
            "interfaces": [topology.INTERFACE],
            "instance": "control",
            "bpffs": str(bpffs),
            "state_directory": str(directory / "state"),
            "cache_directory": str(PROJECT / ".cache"),
            "hash_seed": _HASH_SEED,
            "api": {"socket": str(socket)},
            "limits": _LIMITS,
            "services": [],
        },
    )
    arguments = ("--config", str(path))
    program = Program(host, "control.daemon", arguments, directory / "guidewayd.log")
    with grpc.insecure_channel(target(socket)) as channel:
        pins = bpffs / "guideway" / "control"
        node = Node(host, program, directory, pins, LoadBalancerStub(channel))
        program.start()
        try:
            eventually(
                lambda: _answers(node),
                within=_STARTS_WITHIN,
                what="guidewayd answers",
                explain=program.tail,
            )
            yield node
        finally:
            program.stop()


def _answers(node: Node) -> bool:
    node.program.require_running()
    try:
        node.status()
    except grpc.RpcError:
        return False
    return True
