"""guidewayd checks servers that others have written: there, asleep, wrong, gone."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
import trustme

from control.api.v1 import guideway_pb2 as pb
from control.checks import (
    AnyCheck,
    DnsCheck,
    GrpcCheck,
    HttpCheck,
    HttpsCheck,
    SmtpCheck,
    TcpCheck,
)
from control.model import Backend, Mode, Protocol, Service
from tests.support.debian_servers import exim, nginx
from tests.support.wait import eventually
from vagrant.lab.hosts import Host
from vagrant.lab.lab import Lab
from vagrant.lab.node import Node
from vagrant.lab.topology import VIP, NatTopology

PORTS = {"nginx": 9101, "tls": 9102, "dnsmasq": 9103, "exim": 9104, "grpc": 9105}
ADDRESS = "192.0.2.77"  # what the DNS knows
ILL = sha256(b"ill").hexdigest()
YESTERDAY = datetime.now(UTC) - timedelta(days=1)


@dataclass
class Servers:
    """A server of each kind on b1, and the node that checks them."""

    directory: Path
    host: Host
    node: Node
    ca: trustme.CA
    fixed: dict[str, tuple[str, ...]]  # the commands of those that never change
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ill: set[str] = field(default_factory=set)  # who is not to be left as he is

    def start(self, name: str, address: str = ADDRESS, status: str = "SERVING") -> None:
        """Start a server; ``address`` is what the DNS knows, ``status`` what gRPC says."""
        port = str(PORTS[name])
        command = {
            **self.fixed,
            "dnsmasq": (
                *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user="),
                *("--no-resolv", "--no-hosts", f"--port={port}", "--pid-file="),
                f"--address=/web.example/{address}",
            ),
            "grpc": (sys.executable, "-m", "tests.support.grpc_server", port, status),
        }[name]
        self.running[name] = self.host.popen(*command, log=self.directory / f"{name}.log")

    def stop(self, name: str) -> None:
        server = self.running.pop(name)
        server.kill()
        server.wait(5)

    def start_anew(self, name: str, **changes: str) -> None:
        """Start a server that is to be another, until it is mended."""
        self.stop(name)
        self.ill.add(name)
        self.start(name, **changes)

    def mend(self, name: str) -> None:
        """Let a server run that is well."""
        if name in self.running:
            self.running[name].send_signal(signal.SIGCONT)
            if name not in self.ill and self.running[name].poll() is None:
                return
            self.stop(name)
        if name == "tls":
            self.certify()
        self.ill.discard(name)
        self.start(name)

    def show(self, page: str) -> None:
        """Write the page that nginx may just be reading."""
        (self.directory / "new").write_text(page)
        (self.directory / "new").rename(self.directory / "health")

    def certify(self, **settings: object) -> None:
        made = self.ca.issue_cert("web.example", **settings)
        path = str(self.directory / "server.pem")
        made.private_key_and_cert_chain_pem.write_to_path(path)

    def wait_until(self, name: str, health: pb.Health, why: str = "") -> str:
        """Wait for a verdict that the tables know, and until ``why`` is in its reason.

        A probe that a busy machine makes late is one more reason, but not for long. Returns
        why the backend gets nothing.
        """

        def status() -> pb.BackendStatus:
            return self.node.api.service(name).backends[0]

        def found() -> pb.BackendStatus | None:
            self.node.guidewayd.require_running()
            now = status()
            follows = (now.health == pb.HEALTH_UP) == (now.share > 0) and why in now.reason
            return now if now.health == health and follows else None

        return eventually(
            found,
            within=20,
            what=f"{name} is {pb.Health.Name(health)} {why}",
            explain=lambda: f"{status().reason}\n{self.node.guidewayd.tail()}",
        ).reason.removeprefix("its health check fails: ")


def service(number: int, name: str, server: str, check: AnyCheck) -> Service:
    member = Backend("b1", NatTopology.backend_address("b1"), PORTS[server])
    return Service(name, VIP, Protocol.TCP, 2000 + number, Mode.NAT, (member,), (check,))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Iterator[Servers]:
    """Return servers of which none is running yet."""
    directory = tmp_path_factory.mktemp("servers")
    directory.chmod(0o755)
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(directory / "ca.pem"))
    fast = {"interval": 0.1, "timeout": 1.0}
    tls = {"ca": str(directory / "ca.pem"), "host": "web.example"}
    checks: dict[str, AnyCheck] = {
        "nginx": HttpCheck(path="/health", regex="^well$", **fast),
        "tls": HttpsCheck(path="/health", regex="^well$", **tls, **fast),
        "dnsmasq": DnsCheck(name="web.example", record="A", address=ADDRESS, **fast),
        "exim": SmtpCheck(**fast),
        "grpc": GrpcCheck(**fast),
    }
    services = [
        service(number, name, name, check)
        for number, (name, check) in enumerate(checks.items())
    ]
    digest = sha256(b"well").hexdigest()
    exact = HttpCheck(path="/health", digest=digest, **fast)
    services.append(service(20, "digest", "nginx", exact))
    damped = TcpCheck(damping=32, **fast)
    services.append(service(21, "damped", "nginx", damped))
    with (
        exim(PORTS["exim"]) as command,
        Lab(f"s{os.getpid()}", NatTopology, services) as lab,
    ):
        node = lab.nodes["lb1"]
        node.guidewayd.start()
        node.wait_until_ready()
        fixed = {
            "nginx": nginx(directory, PORTS["nginx"]),
            "tls": nginx(directory, PORTS["tls"], certified=True),
            "exim": command,
        }
        yield Servers(directory, lab.topology.backends["b1"], node, ca, fixed)


@pytest.fixture
def servers(made: Servers) -> Servers:
    """Return servers that are all well, whatever a test before has left."""
    made.show("well")
    (made.directory / "loop").unlink(missing_ok=True)
    for name in PORTS:
        made.mend(name)
    for name in PORTS:
        made.wait_until(name, pb.HEALTH_UP)
    return made


@pytest.mark.parametrize("name", PORTS)
def test_a_server_that_ends_goes_down_and_one_that_starts_comes_up(
    servers: Servers, name: str
) -> None:
    servers.stop(name)
    reason = servers.wait_until(name, pb.HEALTH_DOWN, "Connection refused")
    servers.start(name)

    assert str(PORTS[name]) in reason
    servers.wait_until(name, pb.HEALTH_UP)


@pytest.mark.parametrize("name", PORTS)
def test_a_server_that_sleeps_answers_too_late(servers: Servers, name: str) -> None:
    late = f"no answer from port {PORTS[name]} within 1 s"

    servers.running[name].send_signal(signal.SIGSTOP)
    assert servers.wait_until(name, pb.HEALTH_DOWN, late) == late
    servers.running[name].send_signal(signal.SIGCONT)

    servers.wait_until(name, pb.HEALTH_UP)


def another_page(servers: Servers) -> None:
    servers.show("ill")


def a_redirect_loop(servers: Servers) -> None:
    (servers.directory / "loop").touch()


def no_page(servers: Servers) -> None:
    (servers.directory / "health").unlink()


def old_certificate(servers: Servers) -> None:
    servers.certify(not_after=YESTERDAY)
    servers.start_anew("tls")


def another_address(servers: Servers) -> None:
    servers.start_anew("dnsmasq", address="192.0.2.78")


def not_serving(servers: Servers) -> None:
    servers.start_anew("grpc", status="NOT_SERVING")


@pytest.mark.parametrize(
    ("name", "harm", "reason"),
    [
        ("nginx", another_page, "its answer does not hold what `regex` looks for"),
        ("digest", another_page, f"its answer has the digest {ILL}"),
        ("nginx", no_page, "status 404 Not Found"),
        ("nginx", a_redirect_loop, "status 302 Moved Temporarily"),
        ("grpc", not_serving, "it says NOT_SERVING"),
        (
            "tls",
            old_certificate,
            "its certificate is not right: certificate has expired",
        ),
        ("dnsmasq", another_address, "it answers 192.0.2.78"),
    ],
)
def test_a_server_that_is_wrong_goes_down_and_it_is_said_why(
    servers: Servers, name: str, harm: Callable[[Servers], None], reason: str
) -> None:
    harm(servers)

    assert servers.wait_until(name, pb.HEALTH_DOWN, reason) == reason


def test_a_server_that_flaps_is_kept_down_and_it_is_said_for_how_long(
    servers: Servers,
) -> None:
    refused = f"port {PORTS['nginx']}: Connection refused"

    for _ in range(2):
        servers.wait_until("damped", pb.HEALTH_UP)
        servers.stop("nginx")
        said = servers.wait_until("damped", pb.HEALTH_DOWN, refused)
        hold = servers.node.api.backend("damped", "b1").probes[0].hold
        servers.start("nginx")

    assert re.fullmatch(rf"{refused}; flapping: up again at the earliest in \d+ s", said)
    assert 0 < hold <= 32
    servers.wait_until("damped", pb.HEALTH_UP)
