"""The API of a real node: events as they happen, health, certificates, a client of ours."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from control.api.address import target
from tests.support.certificates import Authority
from tests.support.daemon import edit, guideway
from tests.support.wait import eventually
from vagrant.lab.errors import CommandError
from vagrant.lab.hosts import PROJECT
from vagrant.lab.lab import Lab
from vagrant.lab.node import Node
from vagrant.lab.topology import DrTopology

PORT = 7007
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Watching:
    """``guideway watch -o json``, and what it has said."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.said: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, args=(process,))
        self._reader.start()

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout
        for line in process.stdout:
            self.said.append(json.loads(line))

    def wait_for(self, what: str, **facts: object) -> dict[str, Any]:
        """Wait for an event with these facts, and forget what was before it."""

        def place() -> int | None:
            wanted = {"event": what, **facts}.items()
            return next((n for n, e in enumerate(self.said) if wanted <= e.items()), None)

        eventually(lambda: place() is not None, within=10, what=f"{what} {facts}")
        number = place()
        assert number is not None
        event = self.said[number]
        del self.said[: number + 1]
        return event

    def end(self) -> None:
        self._reader.join(10)


@contextmanager
def watching(node: Node) -> Iterator[Watching]:
    socket = ("--socket", str(node.paths.socket))
    command = [sys.executable, "-m", "control.cli.main", *socket, "watch", "-o", "json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=PROJECT
    ) as process:
        watched = Watching(process)
        try:
            watched.wait_for("end")
            yield watched
        finally:
            process.kill()
            watched.end()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def lab(authority: Authority) -> Iterator[Lab]:
    """Return a lab with one node at work, which serves its API over TCP, too."""
    tcp = authority.serve()
    with Lab(f"t{os.getpid()}api", DrTopology) as made:
        for servers in made.servers.values():
            for server in servers.values():
                server.start()
        node = made.nodes["lb1"]
        files = {k: str(getattr(tcp, k)) for k in ("certificate", "key", "client_ca")}
        listen = {"listen": f"127.0.0.1:{PORT}", "change": ["O=ops"], "view": ["O=audit"]}
        edit(node, lambda file: file["api"].update(files | listen))
        node.start()
        node.wait_until_serving("web")
        yield made


@pytest.fixture
def node(lab: Lab) -> Node:
    return lab.nodes["lb1"]


def test_a_backend_that_dies_and_returns_is_told_at_once(lab: Lab, node: Node) -> None:
    server = lab.servers["b1"]["web"]

    with watching(node) as watched:
        server.stop()
        died = watched.wait_for("backend", service="web", backend="b1", health="down")
        server.start()
        returned = watched.wait_for("backend", service="web", backend="b1", health="up")

    assert died["reason"] == "port 80: Connection refused"
    assert returned["reason"] == ""
    node.wait_until_serving("web")


def test_a_change_is_told_when_it_is_stored_and_when_the_kernel_has_it(node: Node) -> None:
    with watching(node) as watched:
        guideway(node, "backend", "set", "web", "b1", "--weight", "2")
        stored = watched.wait_for("stored", changed=["web"])
        watched.wait_for("applied", version=stored["version"])
        guideway(node, "backend", "set", "web", "b1", "--weight", "1")
        watched.wait_for("applied", version=stored["version"] + 1)


def test_a_service_that_nobody_serves_is_told(lab: Lab, node: Node) -> None:
    backends = ("b1", "b2", "b3")

    with watching(node) as watched:
        for backend in backends:
            lab.servers[backend]["web"].stop()
        alone = watched.wait_for("serving", service="web", serves=False)
        for backend in backends:
            lab.servers[backend]["web"].start()
        watched.wait_for("serving", service="web", serves=True)

    assert alone["reason"] == "none of 3 backends can serve: its health check fails"
    node.wait_until_serving("web")


def test_the_client_in_python_drains_a_backend_for_real(node: Node) -> None:
    client = PROJECT / "examples" / "client" / "drain.py"

    done = subprocess.run(
        [sys.executable, str(client), "web", "b2", str(node.paths.socket)],
        check=False,
        capture_output=True,
        text=True,
        timeout=50,
        cwd=PROJECT,
        env={"PYTHONPATH": str(PROJECT)},
    )
    shares = node.api.shares("web")
    guideway(node, "backend", "set", "web", "b2", "--state", "active")
    node.wait_until_serving("web")

    assert (done.returncode, done.stderr) == (0, "")
    assert "b2 gets no new flows of web" in done.stdout.splitlines()
    assert shares["b2"] == 0
    assert shares["b1"] + shares["b3"] == pytest.approx(1)


def test_the_data_plane_is_followed_by_events_and_by_the_health_service(node: Node) -> None:
    with grpc.insecure_channel(target(node.paths.socket)) as channel:
        stub = HealthStub(channel)

        def health() -> int:
            return stub.Check(health_pb2.HealthCheckRequest(), timeout=10).status

        assert health() == SERVING
        with watching(node) as watched:
            guideway(node, "dataplane", "detach", "--yes")
            watched.wait_for("data_plane", change="detached")
            assert health() == NOT_SERVING
            guideway(node, "dataplane", "reload")
            watched.wait_for("data_plane", change="attached")
            assert health() == SERVING
            guideway(node, "dataplane", "reload")
            watched.wait_for("data_plane", change="reloaded")
    node.wait_until_serving("web")


def test_vrrp_is_told_of_as_its_status_file_has_it(node: Node) -> None:
    node.wait_until_state("active")

    with watching(node) as watched:
        node.vrrpd.stop()
        gone = watched.wait_for("vrrp", instance="lab", state="")
        node.vrrpd.start()
        there = watched.wait_for("vrrp", instance="lab", state="active")

    assert gone["before"] == "active"
    assert there["reason"] == "nobody was heard to be Active"
    assert there["priority"] == 200
    assert abs(there["time"] - there["since"]) < 5


def test_over_tcp_a_certificate_says_who_may_what(node: Node, authority: Authority) -> None:
    def run(files: tuple[Path, Path, Path], *words: str) -> str:
        ca, certificate, key = map(str, files)
        far = ("--address", f"127.0.0.1:{PORT}", "--ca", ca, "--cert", certificate)
        command = (sys.executable, "-m", "control.cli.main", *far, "--key", key, *words)
        return node.host.run(*command, timeout=50)

    alice = authority.client_files("alice", "ops")
    eve = authority.client_files("eve", "audit")

    assert "web" in run(eve, "service", "list")
    with pytest.raises(CommandError, match="CN=eve,O=audit may not call"):
        run(eve, "backend", "set", "web", "b1", "--weight", "7")
    authority.renew()
    run(alice, "backend", "set", "web", "b1", "--weight", "7")

    weights = {b.backend.name: b.backend.weight for b in node.api.service("web").backends}
    assert weights["b1"] == 7
    log = (node.paths.directory / "guidewayd.log").read_text()
    assert '"author": "CN=alice,O=ops"' in log
    assert "certificates read again" in log
    assert "change refused" in log


def test_a_daemon_with_clients_that_watch_ends_and_starts_in_time(node: Node) -> None:
    with watching(node):
        node.guidewayd.stop()
        node.guidewayd.start()
        node.wait_until_ready()

    assert [path.name for path in node.paths.directory.glob("guidewayd.sock*")] == [
        "guidewayd.sock",
        "guidewayd.sock.grpc",
    ]
