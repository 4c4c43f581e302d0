"""Probes through the VIP: a backend by direct return that does not have it is found out."""

import json
import os
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import Any

import pytest
import trustme

from control.api.v1 import guideway_pb2 as pb
from control.check_common import Via
from control.checks import (
    AnyCheck,
    GrpcCheck,
    HttpCheck,
    HttpsCheck,
    SmtpCheck,
    TcpCheck,
    TlsCheck,
    UdpCheck,
)
from control.model import Backend, Mode, Protocol, Service
from dataplane.stand_ins import Prefixes
from tests.support.health_server import PORTS
from tests.support.wait import eventually
from vagrant.lab.hosts import Host
from vagrant.lab.lab import Lab
from vagrant.lab.node import Node
from vagrant.lab.program import Program
from vagrant.lab.segment import ipv6_of
from vagrant.lab.topology import VIP, DrTopology, hold_ipv6_vip

pytestmark = pytest.mark.waiting

FAST: dict[str, Any] = {"interval": 0.1, "timeout": 0.3, "rise": 2, "fall": 2}
THROUGH: dict[str, Any] = FAST | {"via": Via.VIP}
PATIENT: dict[str, Any] = {"interval": 0.1, "timeout": 5}
B1 = DrTopology.backend_address("b1")
VIP6 = ipv6_of(VIP)


def kinds(ca: str) -> dict[str, AnyCheck]:
    """Return a check through the VIP of each kind that connects."""
    return {
        "tcp": TcpCheck(**THROUGH),
        "tls": TlsCheck(ca=ca, sni="web.example", **THROUGH),
        "http": HttpCheck(path="/health", **THROUGH),
        "https": HttpsCheck(ca=ca, host="web.example", **THROUGH),
        "grpc": GrpcCheck(**THROUGH),
        "smtp": SmtpCheck(**THROUGH),
    }


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[Lab]:
    """Return a lab in which lb1 checks; of the VIPs it has the IPv6 one."""
    directory = tmp_path_factory.mktemp("moods")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(directory / "ca.pem"))
    certificate = ca.issue_cert("web.example")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(directory / "server.pem"))
    for kind in PORTS:
        (directory / kind).write_text("well")
    services = [
        # With a weight b3 would now and then get what it sends to the VIP itself.
        DrTopology.service("web", weights=(3, 2, 0), check=HttpCheck(**THROUGH)),
        DrTopology.service("direct", 81, check=TcpCheck(port=80, **PATIENT)),
        DrTopology.service("web6", check=TcpCheck(**THROUGH), ipv6=True),
        DrTopology.service(
            "echo", 53, Protocol.UDP, check=UdpCheck(payload="?", reply="b", **THROUGH)
        ),
        *(
            Service(
                kind,
                VIP,
                Protocol.TCP,
                PORTS[kind],
                Mode.DR,
                (Backend("b1", B1, PORTS[kind]),),
                (check,),
            )
            for kind, check in kinds(str(directory / "ca.pem")).items()
        ),
    ]
    with Lab(f"v{os.getpid()}", DrTopology, services) as made:
        hold_ipv6_vip(made.topology.balancers["lb1"])
        arguments = ("--moods", str(directory))
        log = directory / "server.log"
        backend = made.topology.backends["b1"]
        server = Program(backend, "tests.support.health_server", arguments, log)
        made.servers["b1"] |= dict.fromkeys(kinds(""), server)
        yield made


@pytest.fixture
def node(lab: Lab) -> Node:
    """Return the node when all is well, whatever a test before this one has left."""
    node = lab.nodes["lb1"]
    forget(node.host, "eth0", f"{VIP}/32")
    node.host.sysctl("net.ipv4.conf.all.rp_filter", 0)
    for name, host in lab.topology.backends.items():
        have(host, "lo", f"{VIP}/32", f"{VIP6}/128")
        host.sysctl("net.ipv4.ip_forward", 0)
        for service in ("web", "web6", "echo"):
            lab.servers[name][service].start()
    lab.servers["b1"]["http"].start()
    node.guidewayd.start()
    node.wait_until_ready()
    for service in ("web", "direct", "web6", "echo"):
        for backend in ("b1", "b2", "b3"):
            wait_for(node, service, backend, pb.HEALTH_UP)
    return node


def have(host: Host, interface: str, *addresses: str) -> None:
    """Give an interface addresses, if it does not have them."""
    for address in addresses:
        if address not in host.run("ip", "-brief", "address", "show", interface).split():
            host.add_address(interface, ip_interface(address))


def forget(host: Host, interface: str, address: str) -> None:
    """Take an address from an interface, if it is there."""
    if address in host.run("ip", "-brief", "address", "show", interface).split():
        host.run("ip", "address", "del", address, "dev", interface)


def wait_for(node: Node, service: str, backend: str, health: pb.Health) -> str:
    """Wait for a verdict, until the tables follow it; return why it gets nothing."""

    def status() -> pb.BackendStatus:
        backends = node.api.service(service).backends
        return next(one for one in backends if one.backend.name == backend)

    def there() -> bool:
        node.guidewayd.require_running()
        now = status()
        is_told = "health check" in now.reason or not now.backend.weight
        return now.health == health and (is_told or health == pb.HEALTH_UP)

    eventually(
        there,
        within=15,
        what=f"{backend} of {service} is {pb.Health.Name(health)}",
        explain=node.guidewayd.tail,
    )
    return status().reason


def lose(host: Host, vip: str) -> None:
    host.run("ip", "address", "del", vip, "dev", "lo")


@pytest.fixture(params=["backup", "active"])
def role(request, node: Node) -> Node:
    """Return the node without the VIP, and with it, where paths are filtered strictly."""
    if request.param == "active":
        node.host.add_address("eth0", IPv4Interface(f"{VIP}/32"))
        node.host.sysctl("net.ipv4.conf.all.rp_filter", 1)
    return node


def test_a_backend_without_the_vip_is_found_out_whatever_the_role(
    lab: Lab, role: Node
) -> None:
    backend = lab.topology.backends["b2"]

    lose(backend, f"{VIP}/32")
    reason = wait_for(role, "web", "b2", pb.HEALTH_DOWN)
    backend.add_address("lo", IPv4Interface(f"{VIP}/32"))

    assert reason == "its health check fails: no answer from port 80 within 0.3 s"
    wait_for(role, "web", "b2", pb.HEALTH_UP)


def test_what_is_not_through_the_vip_does_not_notice(lab: Lab, node: Node) -> None:
    backend = lab.topology.backends["b2"]
    since = node.api.service("direct").backends[1].since

    lose(backend, f"{VIP}/32")
    wait_for(node, "web", "b2", pb.HEALTH_DOWN)
    backend.add_address("lo", IPv4Interface(f"{VIP}/32"))
    wait_for(node, "web", "b2", pb.HEALTH_UP)

    assert node.api.service("direct").backends[1].since == since


def test_a_backend_that_is_a_router_does_not_pass_as_another(lab: Lab, node: Node) -> None:
    backend = lab.topology.backends["b3"]
    node.host.add_address("eth0", IPv4Interface(f"{VIP}/32"))
    backend.sysctl("net.ipv4.ip_forward", 1)

    lose(backend, f"{VIP}/32")  # it would send packets to the VIP to the node, and on
    wait_for(node, "web", "b3", pb.HEALTH_DOWN)
    backend.add_address("lo", IPv4Interface(f"{VIP}/32"))
    backend.sysctl("net.ipv4.ip_forward", 0)
    wait_for(node, "web", "b3", pb.HEALTH_UP)


def test_over_ipv6_and_by_datagrams_it_is_found_out_too(lab: Lab, node: Node) -> None:
    backend = lab.topology.backends["b1"]

    lose(backend, f"{VIP}/32")
    lose(backend, f"{VIP6}/128")
    for service in ("web6", "echo"):
        wait_for(node, service, "b1", pb.HEALTH_DOWN)
    backend.add_address("lo", IPv4Interface(f"{VIP}/32"))
    backend.add_address("lo", IPv6Interface(f"{VIP6}/128"))
    for service in ("web6", "echo"):
        wait_for(node, service, "b1", pb.HEALTH_UP)


@pytest.mark.parametrize("kind", kinds(""))
def test_every_kind_that_connects_goes_through_the_vip(node: Node, kind: str) -> None:
    wait_for(node, kind, "b1", pb.HEALTH_UP)


def test_a_killed_guidewayd_leaves_a_way_that_the_next_one_takes_over(node: Node) -> None:
    before = way(node)

    node.guidewayd.kill()
    node.guidewayd.start()
    node.wait_until_ready()
    for backend in ("b1", "b2", "b3"):
        wait_for(node, "web", backend, pb.HEALTH_UP)

    assert way(node) == before


def test_what_somebody_takes_away_is_made_again(node: Node) -> None:
    before = way(node)
    node.host.run("ip", "link", "del", Prefixes.of(node.host.name).name)

    # Whether anybody is down in between depends on how soon that is.
    eventually(lambda: way(node) not in (0, before), within=15, what="it is made again")
    made = time.time()

    def passed_since() -> bool:
        (probe,) = node.api.backend("web", "b1").probes
        last = probe.results[-1]
        return last.time > made and last.outcome == pb.OUTCOME_PASSED

    eventually(passed_since, within=15, what="a probe goes that way")
    wait_for(node, "web", "b1", pb.HEALTH_UP)


def way(node: Node) -> int:
    """Return the number of the interface by which probes go; 0: there is none."""
    name = Prefixes.of(node.host.name).name
    links = json.loads(node.host.run("ip", "-json", "link"))
    return next((link["ifindex"] for link in links if link["ifname"] == name), 0)


def test_a_stop_leaves_it_and_a_detach_does_not(node: Node) -> None:
    def left() -> list[str]:
        links = node.host.run("ip", "-o", "link")
        qdiscs = node.host.run("tc", "qdisc")
        return [word for word in ("gwp-", "gwe-", "clsact") if word in links + qdiscs]

    node.guidewayd.stop()
    assert left() == ["gwp-", "gwe-", "clsact"]
    config = str(node.paths.guidewayd_file)
    command = (sys.executable, "-m", "control.daemon", "--config", config, "--detach")
    assert node.host.run(*command, timeout=60) == "detached instance lb1\n"
    assert left() == []
