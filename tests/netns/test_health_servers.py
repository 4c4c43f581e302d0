"""guidewayd checks servers that others have written: there, asleep, wrong, gone."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from control.api.v1 import guideway_pb2 as pb
from control.checks import AnyCheck, DnsCheck, HttpCheck, HttpsCheck, SmtpCheck
from control.model import Backend, Mode, Protocol, Service
from tests.support.wait import eventually
from vagrant.lab.hosts import Host
from vagrant.lab.lab import Lab
from vagrant.lab.node import Node
from vagrant.lab.topology import VIP, NatTopology

PORTS = {"busybox": 9101, "openssl": 9102, "dnsmasq": 9103, "aiosmtpd": 9104}
YESTERDAY = datetime.now(UTC) - timedelta(days=1)


@dataclass
class Servers:
    """A server of each kind on b1, and the node that checks them."""

    directory: Path
    host: Host
    node: Node
    ca: trustme.CA
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    address: str = "192.0.2.77"  # what the DNS knows

    def start(self, name: str) -> None:
        port = str(PORTS[name])
        command = {
            "busybox": ("busybox", "httpd", "-f", "-p", port, "-h", str(self.directory)),
            "openssl": (
                *("openssl", "s_server", "-quiet", "-www", "-accept", port),
                *("-cert", f"{self.directory}/server.pem"),
            ),
            "dnsmasq": (
                *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user="),
                *("--no-resolv", "--no-hosts", f"--port={port}", "--pid-file="),
                f"--address=/web.example/{self.address}",
            ),
            "aiosmtpd": (sys.executable, "-m", "aiosmtpd", "-n", "-l", f"0.0.0.0:{port}"),
        }[name]
        self.running[name] = self.host.popen(*command, log=self.directory / f"{name}.log")

    def stop(self, name: str) -> None:
        server = self.running.pop(name)
        server.kill()
        server.wait(5)

    def certify(self, **settings: object) -> None:
        made = self.ca.issue_cert("web.example", **settings)
        path = str(self.directory / "server.pem")
        made.private_key_and_cert_chain_pem.write_to_path(path)

    def wait_until(self, name: str, health: pb.Health) -> str:
        """Wait for a verdict that the tables know; return why the backend gets nothing."""

        def status() -> pb.BackendStatus:
            return self.node.api.service(name).backends[0]

        def there() -> bool:
            self.node.guidewayd.require_running()
            now = status()
            return now.health == health and (now.health == pb.HEALTH_UP) == (now.share > 0)

        what = f"{name} is {pb.Health.Name(health)}"
        eventually(there, within=20, what=what, explain=self.node.guidewayd.tail)
        return status().reason.removeprefix("its health check fails: ")


def service(number: int, name: str, check: AnyCheck) -> Service:
    member = Backend("b1", NatTopology.backend_address("b1"), PORTS[name])
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
        "busybox": HttpCheck(path="/health", regex="^well$", **fast),
        "openssl": HttpsCheck(regex="Ciphers supported", **tls, **fast),
        "dnsmasq": DnsCheck(name="web.example", record="A", address="192.0.2.77", **fast),
        "aiosmtpd": SmtpCheck(**fast),
    }
    services = [service(number, *pair) for number, pair in enumerate(checks.items())]
    with Lab(f"s{os.getpid()}", NatTopology, services) as lab:
        node = lab.nodes["lb1"]
        node.guidewayd.start()
        node.wait_until_ready()
        yield Servers(directory, lab.topology.backends["b1"], node, ca)


@pytest.fixture
def servers(made: Servers) -> Servers:
    """Return servers that are all well."""
    (made.directory / "health").write_text("well")
    made.certify()
    for name in PORTS:
        if name not in made.running:
            made.start(name)
    for name in PORTS:
        made.wait_until(name, pb.HEALTH_UP)
    return made


@pytest.mark.parametrize("name", PORTS)
def test_a_server_that_ends_goes_down_and_one_that_starts_comes_up(
    servers: Servers, name: str
) -> None:
    servers.stop(name)
    reason = servers.wait_until(name, pb.HEALTH_DOWN)
    servers.start(name)

    assert reason == f"port {PORTS[name]}: Connection refused"
    servers.wait_until(name, pb.HEALTH_UP)


@pytest.mark.parametrize("name", PORTS)
def test_a_server_that_sleeps_answers_too_late(servers: Servers, name: str) -> None:
    servers.running[name].send_signal(signal.SIGSTOP)
    reason = servers.wait_until(name, pb.HEALTH_DOWN)
    servers.running[name].send_signal(signal.SIGCONT)

    assert reason == f"no answer from port {PORTS[name]} within 1 s"
    servers.wait_until(name, pb.HEALTH_UP)


def another_page(servers: Servers) -> None:
    (servers.directory / "health").write_text("ill")


def no_page(servers: Servers) -> None:
    (servers.directory / "health").unlink()


def old_certificate(servers: Servers) -> None:
    servers.stop("openssl")
    servers.certify(not_after=YESTERDAY)
    servers.start("openssl")


def another_address(servers: Servers) -> None:
    servers.stop("dnsmasq")
    servers.address = "192.0.2.78"
    servers.start("dnsmasq")
    servers.address = "192.0.2.77"


@pytest.mark.parametrize(
    ("name", "harm", "reason"),
    [
        ("busybox", another_page, "its answer does not hold what `regex` looks for"),
        ("busybox", no_page, "status 404 Not Found"),
        (
            "openssl",
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

    servers.wait_until(name, pb.HEALTH_DOWN)

    def said() -> bool:
        return servers.wait_until(name, pb.HEALTH_DOWN) == reason

    eventually(said, within=10, what=f"{name} is down because of {reason}")
    if name in {"openssl", "dnsmasq"}:
        servers.stop(name)  # the next one finds it well
