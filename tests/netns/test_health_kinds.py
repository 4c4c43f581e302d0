"""guidewayd checks real servers in all ways it knows: well, wrong, slow, flapping, gone."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import trustme

from control.api.v1 import guideway_pb2 as pb
from control.check_common import Initial
from control.checks import (
    AnyCheck,
    DnsCheck,
    ExecCheck,
    FileCheck,
    GrpcCheck,
    HttpCheck,
    HttpsCheck,
    IcmpCheck,
    SmtpCheck,
    TcpCheck,
    TlsCheck,
    UdpCheck,
)
from control.model import Backend, Mode, Protocol, Service
from tests.support.health_server import ADDRESS, PORTS
from tests.support.operator import change_one
from tests.support.wait import eventually
from vagrant.lab.hosts import Host
from vagrant.lab.lab import Lab
from vagrant.lab.node import Node
from vagrant.lab.program import Program
from vagrant.lab.topology import VIP, NatTopology

pytestmark = pytest.mark.waiting

B1, B2 = (NatTopology.backend_address(name) for name in ("b1", "b2"))
FAST: dict[str, Any] = {"interval": 0.1, "timeout": 0.6, "rise": 2, "fall": 3}
LATE = "within 0.6 s"


def checks(directory: Path) -> dict[str, AnyCheck]:
    """Return a check of each kind; what they look at is in ``directory``."""
    ca = str(directory / "ca.pem")
    return {
        "tcp": TcpCheck(**FAST),
        "tls": TlsCheck(ca=ca, sni="web.example", **FAST),
        "http": HttpCheck(path="/health", regex="^state$", **FAST),
        "https": HttpsCheck(ca=ca, host="web.example", **FAST),
        "udp": UdpCheck(payload="ping", reply="pong", **FAST),
        "dns": DnsCheck(name="web.example", record="A", address=ADDRESS, **FAST),
        "grpc": GrpcCheck(**FAST),
        "smtp": SmtpCheck(**FAST),
        "icmp": IcmpCheck(**FAST),
        "exec": ExecCheck(command=("/bin/sh", f"{directory}/check", "{address}"), **FAST),
        "file": FileCheck(path=f"{directory}/state", **FAST),
    }


@dataclass
class Place:
    """A node that checks, and a backend that is checked."""

    lab: Lab
    directory: Path
    server: Program

    @property
    def node(self) -> Node:
        return self.lab.nodes["lb1"]

    @property
    def backend(self) -> Host:
        return self.lab.topology.backends["b1"]

    def put(self, name: str, text: str) -> None:
        """Write a file that somebody may be reading."""
        new = self.directory / "new"
        new.write_text(text)
        new.rename(self.directory / name)

    def asked(self, kind: str) -> int:
        note = self.directory / f"{kind}.asked"
        return int(note.read_text()) if note.exists() else 0

    def status(self, service: str) -> pb.BackendStatus:
        return self.node.api.service(service).backends[0]

    def results(self, service: str) -> Sequence[pb.ProbeResult]:
        """Return its last eight, the oldest first."""
        return self.node.api.backend(service, "b1").probes[0].results

    def flap(self, kind: str) -> tuple[pb.BackendStatus, bool]:
        """Fail every other of twelve probes; return the status, and if all were in time."""
        asked = self.asked(kind)
        late: list[pb.ProbeResult] = []

        def is_over() -> bool:
            late.extend(one for one in self.results(kind) if LATE in one.problem)
            return self.asked(kind) > asked + 12

        self.put(kind, "flapping")
        eventually(is_over, within=20, what="twelve probes")
        status = self.status(kind)
        is_over()
        return status, not late

    def wait_until(self, service: str, health: pb.Health, why: str = "") -> str:
        """Wait for a verdict that the tables follow, and until ``why`` is in its reason.

        A probe that a busy machine makes late is one more reason, but not for long. Returns
        why the backend gets nothing, "" if it gets something.
        """
        is_down = health == pb.HEALTH_DOWN

        def found() -> pb.BackendStatus | None:
            self.node.guidewayd.require_running()
            now = self.status(service)
            follows = ("health check" in now.reason) is is_down and why in now.reason
            return now if now.health == health and follows else None

        return eventually(
            found,
            within=15,
            what=f"{service} is {pb.Health.Name(health)} {why}",
            explain=lambda: f"{self.status(service)}\n{self.node.guidewayd.tail()}",
        ).reason


def service(name: str, number: int, port: int, check: AnyCheck, *addresses: IPv4Address):
    members = tuple(
        Backend(f"b{place}", address, port)
        for place, address in enumerate(addresses or (B1,), 1)
    )
    return Service(name, VIP, Protocol.TCP, 1000 + number, Mode.NAT, members, (check,))


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Place]:
    """Return a node that checks one backend in all ways, by a service for each."""
    directory = tmp_path_factory.mktemp("moods")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(directory / "ca.pem"))
    certificate = ca.issue_cert("web.example")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(directory / "server.pem"))
    for kind in PORTS:
        (directory / kind).write_text("well")
    black_hole = TcpCheck(port=PORTS["tcp"])  # the defaults
    kept = replace(checks(directory)["tcp"], initial=Initial.BEFORE, fall=1000)
    services = [
        *(
            service(kind, number, PORTS.get(kind, 9000), check)
            for number, (kind, check) in enumerate(checks(directory).items())
        ),
        service("defaults", 20, PORTS["tcp"], black_hole),
        service("kept", 21, PORTS["tcp"], kept),
        service(
            "weighed",
            22,
            9000,
            FileCheck(path=f"{directory}/weight-{{address}}", **FAST),
            B1,
            B2,
        ),
    ]
    with Lab(f"h{os.getpid()}", NatTopology, services) as lab:
        host = lab.topology.backends["b1"]
        arguments = ("--moods", str(directory))
        log = directory / "server.log"
        server = Program(host, "tests.support.health_server", arguments, log)
        yield Place(lab, directory, server)


@pytest.fixture
def well(place: Place) -> Place:
    """Return the place when everything is well, whatever a test before has left."""
    for kind in PORTS:
        place.put(kind, "well")
    place.put("check", "exit 0")
    for name in ("state", *(f"weight-{address}" for address in (B1, B2))):
        place.put(name, "up")
    place.backend.sysctl("net.ipv4.icmp_echo_ignore_all", 0)
    place.backend.run("nft", "flush", "ruleset")
    place.server.start()
    place.node.guidewayd.start()
    place.node.wait_until_ready()
    for kind in checks(place.directory):
        place.wait_until(kind, pb.HEALTH_UP)
    return place


WRONG = {
    "tls": "no TLS: WRONG_VERSION_NUMBER",
    "http": "status 503 Service Unavailable",
    "https": "status 503 Service Unavailable",
    "udp": "port 9005: it answers 6e 6f 70 65",
    "dns": "it answers SERVFAIL",
    "grpc": "it says NOT_SERVING",
    "smtp": "it says 554 no service",
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_answer_takes_a_backend_down_and_the_right_one_brings_it_back(
    well: Place, kind: str
) -> None:
    wrong = f"its health check fails: {WRONG[kind]}"

    well.put(kind, "wrong")
    assert well.wait_until(kind, pb.HEALTH_DOWN, wrong) == wrong

    well.put(kind, "well")
    assert well.wait_until(kind, pb.HEALTH_UP) == ""


@pytest.mark.parametrize("kind", WRONG)
def test_an_answer_that_comes_too_late_is_none(well: Place, kind: str) -> None:
    well.put(kind, "slow")

    well.wait_until(kind, pb.HEALTH_DOWN, f"{PORTS[kind]} {LATE}")


@pytest.mark.parametrize("kind", WRONG)
def test_a_backend_that_flaps_faster_than_it_falls_stays_up(well: Place, kind: str) -> None:
    for _ in range(5):  # a machine too busy for the server to answer fails it in between
        well.wait_until(kind, pb.HEALTH_UP)
        since = well.status(kind).since
        now, in_time = well.flap(kind)
        if in_time:
            break
        well.put(kind, "well")

    assert (now.health, now.since) == (pb.HEALTH_UP, since)


def test_a_server_that_is_gone_takes_all_down_that_need_it_and_no_others(
    well: Place,
) -> None:
    well.server.kill()

    for kind, port in PORTS.items():
        assert str(port) in well.wait_until(kind, pb.HEALTH_DOWN, "refused")
    for kind in ("icmp", "exec", "file"):
        assert well.status(kind).health == pb.HEALTH_UP


def test_a_black_hole_is_found_within_six_seconds_by_default(well: Place) -> None:
    well.wait_until("defaults", pb.HEALTH_UP)
    hook = "{ type filter hook input priority 0; }"
    well.backend.run("nft", "add table inet hole")
    well.backend.run("nft", f"add chain inet hole input {hook}")
    drop = f"tcp dport {PORTS['tcp']} drop"
    well.backend.run("nft", f"add rule inet hole input {drop}")
    try:
        begun = time.monotonic()
        well.wait_until("defaults", pb.HEALTH_DOWN)
        took = time.monotonic() - begun
        # What a busy machine could not make, says nothing and comes again a second later.
        unmade = [r for r in well.results("defaults") if r.outcome == pb.OUTCOME_NONE]
        assert took < 6 + 1.1 * len(unmade)
        well.wait_until("tcp", pb.HEALTH_DOWN, LATE)
    finally:
        well.backend.run("nft", "delete table inet hole")
    well.wait_until("defaults", pb.HEALTH_UP)


@pytest.mark.parametrize("group", ["1 0", "0 2147483647"], ids=["raw", "ping socket"])
def test_a_ping_that_is_not_answered_takes_a_backend_down(well: Place, group: str) -> None:
    with well.node.host.inside():
        Path("/proc/sys/net/ipv4/ping_group_range").write_text(group)

    silent = f"its health check fails: no answer {LATE}"

    well.backend.sysctl("net.ipv4.icmp_echo_ignore_all", 1)
    assert well.wait_until("icmp", pb.HEALTH_DOWN, silent) == silent
    well.backend.sysctl("net.ipv4.icmp_echo_ignore_all", 0)

    well.wait_until("icmp", pb.HEALTH_UP)


def test_a_program_decides(well: Place) -> None:
    ill = f"its health check fails: exit code 1: {B1} is ill"
    slow = f"its health check fails: it runs for more than {FAST['timeout']:g} s"

    well.put("check", 'echo "$1 is ill"; exit 1')
    assert well.wait_until("exec", pb.HEALTH_DOWN, ill) == ill
    well.put("check", "sleep 60")
    assert well.wait_until("exec", pb.HEALTH_DOWN, slow) == slow
    well.put("check", "exit 0")

    well.wait_until("exec", pb.HEALTH_UP)


def test_a_program_that_is_not_there_is_a_warning_and_takes_nobody_down(
    well: Place,
) -> None:
    path = f"{well.directory}/missing"
    change = ("service", "change", "exec", "--check")
    change_one(well.node, *change, f"exec,command={path}")
    warning = f"health checks without a result: 1; {path}: No such file or directory"

    try:
        eventually(
            lambda: warning in well.node.api.status().warnings, within=10, what="a warning"
        )
        assert well.node.api.shares("exec") == {"b1": 1.0}
    finally:
        known = f"exec,command=/bin/sh {well.directory}/check {{address}}"
        change_one(well.node, *change, f"{known},interval=0.1,timeout={FAST['timeout']}")
    well.wait_until("exec", pb.HEALTH_UP)


def test_a_file_decides(well: Place) -> None:
    state = well.directory / "state"

    well.put("state", "down")
    well.wait_until("file", pb.HEALTH_DOWN, f"{state} says down")
    state.unlink()
    well.wait_until("file", pb.HEALTH_DOWN, "No such file or directory")
    well.put("state", "up")

    well.wait_until("file", pb.HEALTH_UP)


def test_weights_that_a_check_gives_change_the_shares(well: Place) -> None:
    def shares() -> tuple[float, ...]:
        return tuple(round(share, 2) for share in well.node.api.shares("weighed").values())

    eventually(lambda: shares() == (0.5, 0.5), within=10, what="equal shares")

    well.put(f"weight-{B1}", "3")
    eventually(lambda: shares() == (0.75, 0.25), within=10, what="three quarters")
    well.put(f"weight-{B2}", "0")
    eventually(lambda: shares() == (1, 0), within=10, what="all")

    b1, b2 = well.node.api.service("weighed").backends
    assert (b1.backend.weight, b1.dynamic_weight) == (1, 3)
    assert (b2.health, b2.dynamic_weight) == (pb.HEALTH_UP, 0)
    assert b2.reason == "its weight is 0"


def test_a_backend_begins_as_it_was_before_the_restart(well: Place) -> None:
    well.wait_until("kept", pb.HEALTH_UP)
    well.node.guidewayd.stop()
    # From here on nobody remembers: what the kernel's tables have is all that is left.
    (well.node.paths.state_directory / "health.db").unlink()
    well.server.kill()

    well.node.guidewayd.start()
    well.node.wait_until_ready()

    # All others have found out: the first result has decided.
    well.wait_until("http", pb.HEALTH_DOWN)
    assert well.status("kept").health == pb.HEALTH_UP
    assert not well.status("kept").HasField("since")
    assert well.node.api.shares("kept") == {"b1": 1.0}


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_health_outlives_guidewayd_whichever_way_it_ends(well: Place, end: str) -> None:
    well.put("state", "down")
    well.wait_until("file", pb.HEALTH_DOWN)
    # Of whose results the last eight seconds are remembered.
    well.wait_until("defaults", pb.HEALTH_UP)
    before = {name: well.status(name) for name in ("file", "http")}
    state = well.node.paths.state_directory

    def is_written() -> bool:
        since = str(before["file"].since).encode()
        return any(since in path.read_bytes() for path in state.glob("health.db*"))

    eventually(is_written, within=5, what="the verdict is written")
    ended = time.time()
    getattr(well.node.guidewayd, end)()
    well.node.guidewayd.start()
    well.node.wait_until_ready()

    try:
        for name, status in before.items():
            now = well.status(name)
            assert (now.health, now.since) == (status.health, status.since)
        problem = f"{well.directory}/state says down"
        assert well.results("defaults")[0].time < ended
        assert well.results("file")[-1].problem == problem
        assert well.status("file").reason == f"its health check fails: {problem}"
    finally:
        well.put("state", "up")
