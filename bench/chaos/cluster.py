"""The node that is tormented, and what is wanted of it at the moment."""

import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from signal import SIGHUP
from typing import Any, Final

import yaml

from bench.chaos.topology import PORTS, MixedTopology, services
from control.api.v1 import guideway_pb2 as pb
from control.model import BackendState, Service
from vagrant.lab import daemon_files
from vagrant.lab.hosts import PROJECT, Host
from vagrant.lab.lab import Lab
from vagrant.lab.node import Node
from vagrant.lab.program import Program
from vagrant.lab.wait import eventually

_PROGRAM: Final = Path("dataplane", "bpf", "balancer.c")
_PACKAGES: Final = ("control", "dataplane", "maglev")  # what guidewayd is made of
_STATES: Final = {
    BackendState.ACTIVE: pb.BACKEND_STATE_ACTIVE,
    BackendState.DRAINING: pb.BACKEND_STATE_DRAINING,
    BackendState.DISABLED: pb.BACKEND_STATE_DISABLED,
}
_READY: Final = 30.0  # seconds; a busy machine takes its time to compile


@dataclass
class Cluster:
    """One node, its backends' servers, and the random numbers that decide."""

    lab: Lab
    node: Node
    servers: dict[str, Program]  # by backend
    releases: tuple[Path, ...]  # trees of guidewayd: ours, and one with another program
    random: random.Random
    # Closes the new connections of a way to a backend in order.
    leave: Callable[[str, str], None] = lambda _, __: None
    wanted: dict[str, Service] = field(default_factory=dict)  # by name
    limits: dict[str, int] = field(default_factory=dict)

    @property
    def pins(self) -> Path:
        """Where the node's programs, links and maps are pinned."""
        return self.node.paths.pins(self.node.name)

    @property
    def generation(self) -> Path:
        """The directory of the program that is in use; there has to be one only."""
        (found,) = (path for path in self.pins.iterdir() if path.name != "links")
        return found

    def mistakes(self) -> list[str]:
        """Return in which services guidewayd wants something else than it should."""
        listed = self.node.api.services()
        have = {
            one.service.name: {
                (each.backend.name, each.backend.weight, each.backend.state)
                for each in one.backends
            }
            for one in listed
        }
        want = {
            name: {(each.name, each.weight, _STATES[each.state]) for each in one.backends}
            for name, one in self.wanted.items()
        }
        return sorted(name for name in have | want if have.get(name) != want.get(name))

    def start(self) -> None:
        """Start guidewayd without waiting for it."""
        self.node.guidewayd.start()

    def wait(self) -> None:
        """Wait until guidewayd has told the kernel everything."""
        self.node.wait_until_ready(within=_READY)

    def kill(self) -> None:
        """End guidewayd without warning."""
        self.node.guidewayd.kill()

    def hang_up(self) -> None:
        """Have guidewayd read its file again."""
        pid = self.node.guidewayd.pid
        assert pid is not None  # noqa: S101 - an event leaves it running
        self.node.host.run("kill", f"-{SIGHUP}", str(pid))

    def guideway(self, *arguments: str) -> None:
        """Run the command line, and wait until the kernel has what it changed."""
        socket = ("--socket", str(self.node.paths.socket))
        command = (sys.executable, "-m", "control.cli.main", *socket, *arguments)
        self.node.host.run(*command, timeout=30)
        self.wait()

    def file(self) -> dict[str, Any]:
        """Return guidewayd's file for what is wanted now."""
        wanted = self.wanted.values()
        node = self.node
        content = daemon_files.guidewayd_file(node.name, MixedTopology, wanted, node.paths)
        content["limits"] |= self.limits
        return content

    def write_file(self, text: str | None = None) -> None:
        """Write guidewayd's file: the right one, or ``text``."""
        right = yaml.safe_dump(self.file(), sort_keys=False)
        self.node.paths.guidewayd_file.write_text(text or right, encoding="utf-8")

    def change_limits(self, **limits: int) -> None:
        """Let the next start have other limits; what else the file says stays as it is."""
        self.limits |= limits
        path = self.node.paths.guidewayd_file
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        content["limits"] |= limits
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

    def change(self, service: str, **fields: Any) -> None:
        """Remember that a service is wanted otherwise now."""
        self.wanted[service] = replace(self.wanted[service], **fields)


@contextmanager
def cluster(name: str, seed: int) -> Iterator[Cluster]:
    """Yield a cluster in a lab of that name, everything running; remove it afterwards."""
    wanted = services()
    with ExitStack() as stack:
        lab = stack.enter_context(Lab(name, MixedTopology, wanted, large_file_bytes=1))
        copy = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="guideway-")))
        made = Cluster(
            lab,
            lab.nodes["lb1"],
            {each: _server(lab, host) for each, host in lab.topology.backends.items()},
            (PROJECT, _other_release(copy)),
            random.Random(seed),  # noqa: S311 - no secret
            wanted={each.name: each for each in wanted},
        )
        made.write_file()
        for server in made.servers.values():
            server.start()
        for server in made.servers.values():
            eventually(
                partial(_accepts, server.host, server),
                within=10,
                what=f"{server} accepts connections",
                explain=server.tail,
            )
        made.start()
        made.wait()
        for each in wanted:
            made.node.wait_until_serving(each.name)
        yield made


def _server(lab: Lab, host: Host) -> Program:
    ports = [word for port in PORTS for word in ("--port", str(port))]
    arguments = ("--name", host.name, *ports)
    return Program(
        host, "bench.chaos.backend", arguments, lab.directory / f"{host.name}.log"
    )


def _accepts(host: Host, program: Program) -> bool:
    program.require_running()
    with host.socket() as client:
        return client.connect_ex(("127.0.0.1", PORTS[-1])) == 0


def _other_release(directory: Path) -> Path:
    """Return a copy of guidewayd whose program has another digest, and does the same."""
    for package in _PACKAGES:
        shutil.copytree(
            PROJECT / package,
            directory / package,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    program = directory / _PROGRAM
    program.write_text(
        program.read_text(encoding="utf-8") + "\n/* another release */\n", encoding="utf-8"
    )
    return directory
