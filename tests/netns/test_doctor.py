"""``guideway doctor`` finds faults that are planted one by one, and nothing besides."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from ipaddress import IPv4Interface
from pathlib import Path
from signal import SIGHUP
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from tests.support.daemon import edit, guideway, restart
from tests.support.wait import eventually
from vagrant.lab import xdp_pass
from vagrant.lab.errors import CommandError
from vagrant.lab.lab import Lab
from vagrant.lab.node import Node
from vagrant.lab.topology import VIP, DrTopology, NatTopology, Topology

Fault = Callable[[Lab], AbstractContextManager[None]]
# Of the machine that the tests run on, whatever is planted.
OF_THE_MACHINE = {"clock-unset", "jit-off", "disk-full"}


@contextmanager
def running(kind: type[Topology]) -> Iterator[Lab]:
    """Give a lab with everything running."""
    with Lab(f"{kind.mode.value}{os.getpid()}", kind) as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def dr() -> Iterator[Lab]:
    """Return a lab in direct return."""
    with running(DrTopology) as lab:
        yield lab


@pytest.fixture(scope="module")
def nat() -> Iterator[Lab]:
    """Return a lab with translation."""
    with running(NatTopology) as lab:
        yield lab


@pytest.fixture
def lab(mode: str, request: pytest.FixtureRequest) -> Lab:
    """Return the lab of that mode."""
    made: Lab = request.getfixturevalue(mode)
    return made


@pytest.fixture
def node(lab: Lab) -> Node:
    """Return the node that is examined, which is Active."""
    return lab.nodes["lb1"]


def findings(node: Node, *options: str) -> dict[str, dict[str, Any]]:
    """Return what the doctor finds, by code, having compared it with the exit code."""
    config = ("--config", str(node.paths.guidewayd_file))
    words = ("doctor", "-o", "json", *config, *options)
    command = ("-m", "control.cli.main", "--socket", str(node.paths.socket), *words)
    code = 0
    try:
        said = node.host.run(sys.executable, *command, timeout=30)
    except CommandError as error:
        code, said = error.code, error.output
    found = {one["code"]: one for one in json.loads(said)["findings"]}
    severities = {one["severity"] for one in found.values()}
    assert code == (4 if "error" in severities else 3 if "warning" in severities else 0)
    return {each: one for each, one in found.items() if each not in OF_THE_MACHINE}


@contextmanager
def without_vip(lab: Lab) -> Iterator[None]:
    backend = lab.topology.backends["b1"]
    backend.run("ip", "address", "del", f"{VIP}/32", "dev", "lo")
    yield
    backend.add_address("lo", IPv4Interface(f"{VIP}/32"))


@contextmanager
def telling_of_vip(lab: Lab) -> Iterator[None]:
    backend = lab.topology.backends["b2"]
    for interface in ("all", "eth0"):
        backend.sysctl(f"net.ipv4.conf.{interface}.arp_ignore", 0)
    yield
    for interface in ("all", "eth0"):
        backend.sysctl(f"net.ipv4.conf.{interface}.arp_ignore", 1)


@contextmanager
def refusing_at_vip(lab: Lab) -> Iterator[None]:
    backend = lab.topology.backends["b1"]
    table = "add table ip t; add chain ip t i { type filter hook input priority 0; }"
    rule = f"add rule ip t i ip daddr {VIP} tcp dport 80 reject with tcp reset"
    backend.run("nft", f"{table}; {rule}")
    yield
    backend.run("nft", "delete table ip t")


@contextmanager
def without_servers(lab: Lab) -> Iterator[None]:
    lab.kill_servers("b3")
    shares = lab.nodes["lb1"].api.shares
    eventually(lambda: shares("web")["b3"] == 0, within=5, what="b3 is out")
    yield
    lab.start_servers("b3")
    eventually(lambda: shares("web")["b3"] > 0, within=10, what="b3 is back")


@contextmanager
def with_nobody(lab: Lab) -> Iterator[None]:
    node = lab.nodes["lb1"]
    for name in ("b1", "b2", "b3"):
        guideway(node, "backend", "drain", "web", name)
    yield
    for name in ("b1", "b2", "b3"):
        guideway(node, "backend", "set", "web", name, "--state", "active")
    node.wait_until_serving("web")


@contextmanager
def with_an_absent_backend(lab: Lab) -> Iterator[None]:
    node = lab.nodes["lb1"]
    address = str(lab.topology.backend_network[99])
    guideway(node, "backend", "add", "web", address, "--name", "absent")
    yield
    guideway(node, "backend", "remove", "web", "absent")


@contextmanager
def losing_packets(lab: Lab) -> Iterator[None]:
    """Send what nobody may send, for as long as somebody looks."""
    (link,) = json.loads(lab.nodes["lb1"].host.run("ip", "-j", "link", "show", "eth0"))
    frame = Ether(dst=link["address"]) / IP(src="0.0.0.1", dst=str(VIP)) / TCP(dport=80)
    script = (
        "import socket, time; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); "
        f"s.bind(('eth0', 0)); f = bytes.fromhex('{bytes(frame).hex()}')\n"
        "while True: s.send(f); time.sleep(0.02)"
    )
    sender = lab.client.popen(sys.executable, "-c", script)
    yield
    sender.kill()
    sender.wait()


@contextmanager
def without_vrrpd(lab: Lab) -> Iterator[None]:
    node = lab.nodes["lb1"]
    node.vrrpd.stop()
    yield
    node.vrrpd.start()
    node.wait_until_state("active")


@contextmanager
def resting(lab: Lab) -> Iterator[None]:
    node = lab.nodes["lb1"]
    socket = str(node.paths.directory / "vrrpd.sock")
    guideway(node, "vrrp", "--socket", socket, "maintenance", "on")
    yield
    guideway(node, "vrrp", "--socket", socket, "maintenance", "off")
    node.wait_until_state("active")


@contextmanager
def with_a_rogue_router(lab: Lab) -> Iterator[None]:
    """Advertise with a checksum that is wrong, for as long as somebody looks."""
    script = (
        "from scapy.all import Ether, IP, sendp; from scapy.layers.vrrp import VRRPv3; "
        "sendp(Ether(dst='01:00:5e:00:00:12') / IP(dst='224.0.0.18', ttl=255, proto=112)"
        f" / VRRPv3(vrid=51, priority=1, addrlist=['{VIP}'], chksum=1), iface='eth0', "
        "inter=0.05, loop=1, verbose=False)"
    )
    sender = lab.client.popen(sys.executable, "-c", script)
    status = lab.nodes["lb1"].paths.vrrp_status
    eventually(lambda: '"checksum"' in status.read_text(), within=10, what="it is heard")
    yield
    sender.kill()
    sender.wait()


@contextmanager
def detached(lab: Lab) -> Iterator[None]:
    node = lab.nodes["lb1"]
    guideway(node, "dataplane", "detach", "--yes")
    yield
    guideway(node, "dataplane", "reload")
    node.wait_until_ready()
    node.wait_until_state("active")


@contextmanager
def taken(lab: Lab) -> Iterator[None]:
    node = lab.nodes["lb1"]
    with detached(lab):
        xdp_pass.attach(node.host, "eth0")
        yield
        node.host.run("ip", "link", "set", "eth0", "xdp", "off")


@contextmanager
def with_a_broken_file(lab: Lab) -> Iterator[None]:
    node = lab.nodes["lb1"]
    assert node.guidewayd.pid is not None
    before = node.paths.guidewayd_file.read_text()
    edit(node, lambda file: file.update(services=[{"name": "web"}]))
    os.kill(node.guidewayd.pid, SIGHUP)
    eventually(lambda: node.api.status().warnings, within=5, what="it has been read")
    yield
    node.paths.guidewayd_file.write_text(before)
    os.kill(node.guidewayd.pid, SIGHUP)
    eventually(lambda: not node.api.status().warnings, within=5, what="it is read")


@contextmanager
def without_guidewayd(lab: Lab) -> Iterator[None]:
    node = lab.nodes["lb1"]
    node.guidewayd.stop()
    yield
    restart(node)
    node.wait_until_state("active")


@contextmanager
def routing_elsewhere(lab: Lab) -> Iterator[None]:
    backend = lab.topology.backends["b1"]
    elsewhere = str(lab.topology.backend_network[98])
    lines = backend.run("ip", "route", "show", "default").splitlines()
    backend.run("ip", "route", "replace", "default", "via", elsewhere)
    yield
    backend.run("ip", "route", "replace", *lines[0].split())


@contextmanager
def offloading(lab: Lab) -> Iterator[None]:
    back = lab.topology.segments[-1].switch  # it computes what backends leave to it
    back.run("ethtool", "-K", "lb1", "tx", "on")
    yield
    back.run("ethtool", "-K", "lb1", "tx", "off")


@contextmanager
def with_a_small_mtu(lab: Lab) -> Iterator[None]:
    host = lab.nodes["lb1"].host
    host.run("ip", "link", "set", "eth1", "mtu", "1400")
    yield
    host.run("ip", "link", "set", "eth1", "mtu", "1500")


@contextmanager
def filtering_replies(lab: Lab) -> Iterator[None]:
    host = lab.nodes["lb1"].host
    host.sysctl("net.ipv4.conf.eth1.rp_filter", 1)
    yield
    host.sysctl("net.ipv4.conf.eth1.rp_filter", 0)


FAULTS: dict[str, tuple[str, Fault]] = {
    "vip-not-on-backend": ("dr", without_vip),
    "vip-claimed-by-backend": ("dr", telling_of_vip),
    "vip-refused": ("dr", refusing_at_vip),
    "backend-down": ("dr", without_servers),
    "backend-unreachable": ("dr", with_an_absent_backend),
    "nobody-serves": ("dr", with_nobody),
    "drops-rising": ("dr", losing_packets),
    "vip-nowhere": ("dr", without_vrrpd),
    "vrrp-rests": ("dr", resting),
    "vrrp-discards": ("dr", with_a_rogue_router),
    "detached": ("dr", detached),
    "program-foreign": ("dr", taken),
    "file-refused": ("dr", with_a_broken_file),
    "daemon-silent": ("dr", without_guidewayd),
    "replies-elsewhere": ("nat", routing_elsewhere),
    "checksum-offloaded": ("nat", offloading),
    "mtu-differs": ("nat", with_a_small_mtu),
    "status": ("nat", filtering_replies),
}
in_each_lab = pytest.mark.parametrize("mode", ["dr", "nat"])


@in_each_lab
def test_on_a_healthy_node_nothing_is_found(node: Node) -> None:
    eventually(lambda: not findings(node), within=20, what="nothing is found")


@pytest.mark.parametrize(
    ("mode", "code"), [(mode, code) for code, (mode, _) in FAULTS.items()]
)
def test_a_fault_is_found_while_it_lasts(lab: Lab, node: Node, code: str) -> None:
    _, fault = FAULTS[code]
    problem = None
    with fault(lab):
        try:
            # Counters are told once in a second.
            eventually(
                lambda: code in findings(node, "--wait", "0.5"),
                within=10,
                what="it is found",
            )
        except Exception as error:  # noqa: BLE001 - the fault is mended all the same
            problem = error
    if problem:
        raise problem


@in_each_lab
def test_after_all_that_nothing_is_left(node: Node) -> None:
    eventually(lambda: not findings(node), within=20, what="nothing is left")


@in_each_lab
def test_a_place_without_bpffs_is_found(node: Node, tmp_path: Path) -> None:
    edited = tmp_path / "guideway.yaml"
    text = node.paths.guidewayd_file.read_text()
    edited.write_text(text.replace(f"bpffs: {node.paths.bpffs}", f"bpffs: {tmp_path}"))

    assert "bpffs-missing" in findings(node, "--config", str(edited), "--wait", "0.2")


@in_each_lab
def test_nothing_of_what_it_asks_is_left_behind(lab: Lab, node: Node) -> None:
    findings(node, "--wait", "0.2")

    for host in lab.topology.backends.values():
        half_open = host.run("ss", "-Htn", "state", "syn-recv")
        assert half_open == "", host.name
    assert "192.0.2.1" not in node.host.run("ip", "neigh").split()
