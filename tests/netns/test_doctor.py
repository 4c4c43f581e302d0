"""``guideway doctor`` finds faults that are planted one by one, and nothing besides."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from ipaddress import IPv4Interface
from pathlib import Path
from signal import SIGCONT, SIGHUP, SIGSTOP
from typing import Any

import pytest
import yaml
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from tests.support.daemon import edit, guideway, guidewayd, restart
from tests.support.users import become
from tests.support.wait import eventually
from vagrant.lab import xdp_pass
from vagrant.lab.errors import CommandError
from vagrant.lab.lab import Lab
from vagrant.lab.node import Node
from vagrant.lab.segment import ipv6_of, mac_of
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


def findings(
    node: Node, *options: str, user: tuple[str, ...] = ()
) -> dict[str, dict[str, Any]]:
    """Return what the doctor finds, by code, having compared it with the exit code."""
    files = ("--config", str(node.paths.guidewayd_file))
    files += ("--vrrp-config", str(node.paths.vrrpd_file))
    words = ("doctor", "-o", "json", *files, *options)
    command = ("-m", "control.cli.main", "--socket", str(node.paths.socket), *words)
    code = 0
    try:
        said = node.host.run(*user, sys.executable, *command, timeout=30)
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
def with_a_backend_of_a_small_mtu(lab: Lab) -> Iterator[None]:
    backend = lab.topology.backends["b1"]
    backend.run("ip", "link", "set", "eth0", "mtu", "1400")
    yield
    backend.run("ip", "link", "set", "eth0", "mtu", "1500")


@contextmanager
def with_another_who_has_the_vip(lab: Lab) -> Iterator[None]:
    lab.client.run("ip", "address", "add", f"{VIP}/32", "dev", "eth0")
    yield
    lab.client.run("ip", "address", "del", f"{VIP}/32", "dev", "eth0")


@contextmanager
def hanging(lab: Lab) -> Iterator[None]:
    """Stop guideway-vrrpd where it is; the other node takes the addresses over."""
    node = lab.nodes["lb1"]
    assert node.vrrpd.pid is not None
    os.kill(node.vrrpd.pid, SIGSTOP)
    yield
    os.kill(node.vrrpd.pid, SIGCONT)
    node.wait_until_state("active")
    lab.nodes["lb2"].wait_until_state("backup")


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
    "vip-held-twice": ("dr", with_another_who_has_the_vip),
    "vrrp-stalled": ("dr", hanging),
    "backend-mtu": ("dr", with_a_backend_of_a_small_mtu),
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
def test_on_a_healthy_backup_nothing_is_found(lab: Lab) -> None:
    eventually(lambda: not findings(lab.nodes["lb2"]), within=20, what="nothing is found")


@contextmanager
def filtering(lab: Lab, hook: str, *, what: str, on: str) -> Iterator[None]:
    """Have the host ``on`` drop ``what``, in nftables' words, at a hook of its stack."""
    host = (lab.nodes[on].host if on in lab.nodes else lab.topology.backends[on]).run
    chain = f"add chain inet t c {{ type filter hook {hook} priority 0; }}"
    host("nft", f"add table inet t; {chain}; add rule inet t c {what} drop")
    try:
        yield
    finally:
        host("nft", "delete table inet t")


@pytest.mark.parametrize(
    ("mode", "hook", "codes"),
    [
        ("dr", "input", {"vip-held-twice", "vrrp-unheard"}),
        ("dr", "output", {"vip-held-twice", "vrrp-unsent"}),
        ("nat", "input", {"vip-held-twice", "vrrp-unheard"}),
    ],
)
def test_split_brain_is_found_on_both_nodes(lab: Lab, hook: str, codes: set[str]) -> None:
    nodes = [lab.nodes["lb1"], lab.nodes["lb2"]]
    with ExitStack() as filters:
        for one in ("lb1", "lb2"):
            what = "meta l4proto 112"
            filters.enter_context(filtering(lab, hook, what=what, on=one))
        nodes[1].wait_until_state("active")

        for one, other in (nodes, reversed(nodes)):
            found = eventually(
                # Two who are the backends' gateway take the replies in turn.
                lambda one=one: (
                    (now := findings(one)).keys() - {"replies-elsewhere"} == codes and now
                ),
                within=20,
                what=f"split brain is found on {one.name}",
            )
            problem = found["vip-held-twice"]["problem"]
            addresses = lab.topology.balancer_addresses(other.name)
            assert any(mac_of(each) in problem for each in addresses.values())
            if hook == "input":  # what it says comes in, and a firewall drops it then
                speakers = (addresses["eth0"], ipv6_of(addresses["eth0"]))
                problem = found["vrrp-unheard"]["problem"]
                assert any(f"hears nothing of {each}," in problem for each in speakers)
    nodes[1].wait_until_state("backup")


def test_a_virtual_router_of_a_vlan_is_another_one(dr: Lab, tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = (
        "from scapy.all import Dot1Q, Ether, IP, sendp; "
        "from scapy.layers.vrrp import VRRPv3; print('there', flush=True); "
        "sendp(Ether(dst='01:00:5e:00:00:12') / Dot1Q(vlan=100) / "
        "IP(src='10.0.0.66', dst='224.0.0.18', ttl=255, proto=112) / "
        f"VRRPv3(vrid=51, priority=1, addrlist=['{VIP}']), iface='eth0', inter=0.02, "
        "loop=1, verbose=False)"
    )
    sender = dr.client.popen(sys.executable, "-c", script, log=log)
    try:
        eventually(lambda: "there" in log.read_text(), within=20, what="it speaks")
        found = findings(dr.nodes["lb1"])
    finally:
        sender.kill()
        sender.wait()

    assert found == {}


def test_a_backup_that_hangs_is_found(dr: Lab) -> None:
    backup = dr.nodes["lb2"]
    assert backup.vrrpd.pid is not None
    os.kill(backup.vrrpd.pid, SIGSTOP)
    try:
        found = findings(backup)
    finally:
        os.kill(backup.vrrpd.pid, SIGCONT)
    backup.wait_until_state("backup")

    assert found.keys() & {"vrrp-stalled", "vrrp-unheard"}


def test_peers_that_are_not_there_are_found(dr: Lab, tmp_path: Path) -> None:
    node = dr.nodes["lb1"]

    def found(peer: str) -> dict[str, Any]:
        file = yaml.safe_load(node.paths.vrrpd_file.read_text())
        file["instances"][0]["peers"] = [peer]
        edited = tmp_path / "vrrp.yaml"
        edited.write_text(yaml.safe_dump(file))
        return findings(node, "--vrrp-config", str(edited))

    assert found("10.0.0.12") == {}
    assert found("10.0.0.77").keys() == {"peer-unreachable"}


def test_an_ipv6_address_that_another_has_is_found(dr: Lab) -> None:
    node, vip = dr.nodes["lb1"], f"{ipv6_of(VIP)}/128"
    dr.client.run("ip", "address", "add", vip, "dev", "eth0", "nodad")
    try:
        found = findings(node)
    finally:
        dr.client.run("ip", "address", "del", vip, "dev", "eth0")

    assert found.keys() == {"vip-held-twice"}
    assert str(ipv6_of(VIP)) in found["vip-held-twice"]["problem"]


@in_each_lab
def test_a_member_of_a_sync_group_that_hears_nobody_is_found(lab: Lab) -> None:
    """The instance of IPv6 hears the Active, so that of IPv4 does not take over."""
    backup = lab.nodes["lb2"]
    with filtering(lab, "input", what="ip protocol 112", on="lb2"):
        here = eventually(lambda: findings(backup), within=20, what="it is found")
    between = lab.topology.segments[0].switch
    chain = "add chain bridge t c { type filter hook forward priority 0; }"
    rule = "add rule bridge t c ip protocol 112 drop"
    between.run("nft", f"add table bridge t; {chain}; {rule}")
    try:
        eventually(
            lambda: findings(backup).keys() == {"vrrp-stalled"},
            within=20,
            what="it is found, too",
        )
    finally:
        between.run("nft", "delete table bridge t")

    assert here.keys() == {"vrrp-unheard"}


@contextmanager
def without_daemons(lab: Lab) -> Iterator[Node]:
    """Stop both daemons of a node, which keeps the VIP: nobody takes part in VRRP."""
    node = lab.nodes["lb1"]
    node.vrrpd.stop()
    node.guidewayd.stop()
    node.host.run("ip", "address", "add", f"{VIP}/32", "dev", "lo")
    try:
        yield node
    finally:
        node.host.run("ip", "address", "del", f"{VIP}/32", "dev", "lo")
        restart(node)
        node.vrrpd.start()
        node.wait_until_state("active", within=20)


def test_without_guidewayd_the_program_is_known_by_its_pins(dr: Lab) -> None:
    with without_daemons(dr) as node:
        serving = findings(node)
        guidewayd(node, "--detach")
        missing = findings(node)
        xdp_pass.attach(node.host, "eth0")
        foreign = findings(node)
        node.host.run("ip", "link", "set", "eth0", "xdp", "off")

    assert serving.keys() == {"daemon-silent"}
    assert "packets go on by the last tables" in serving["daemon-silent"]["remedy"]
    assert missing.keys() == {"daemon-silent", "program-missing"}
    assert "packets go on" not in missing["daemon-silent"]["remedy"]
    assert foreign.keys() == {"daemon-silent", "program-foreign"}


def test_without_guidewayd_sysctls_are_looked_at(nat: Lab) -> None:
    with without_daemons(nat) as node, filtering_replies(nat):
        found = findings(node)

    assert {"daemon-silent", "sysctl"} <= found.keys()
    assert "`sysctl -w net.ipv4.conf.eth1.rp_filter=0`" in found["sysctl"]["remedy"]


@in_each_lab
def test_before_vrrp_is_started_only_the_vip_is_missed(lab: Lab, node: Node) -> None:
    with without_vrrpd(lab):
        found = findings(node)

    assert found.keys() == {"vip-nowhere"}


@in_each_lab
def test_nobody_may_look(node: Node) -> None:
    found = findings(node, user=become(65534, 65534))

    assert found.keys() == {"not-root"}


def test_a_silent_backend_of_udp_is_no_mistake(dr: Lab) -> None:
    node = dr.nodes["lb1"]
    backend = {"name": "b1", "address": str(dr.topology.backend_address("b1"))}
    dns = {"name": "dns", "vip": str(VIP), "port": 53, "protocol": "udp", "mode": "dr"}
    unchecked = {**dns, "checks": [], "backends": [backend]}
    before = node.paths.guidewayd_file.read_text()
    edit(node, lambda file: file["services"].append(unchecked))
    restart(node)
    node.wait_until_state("active")
    try:
        with filtering(dr, "input", what="ip protocol icmp", on="b1"):
            proven = findings(node)
        with filtering(dr, "input", what="ip protocol != udp", on="b1"):
            unknown = findings(node)
    finally:
        node.paths.guidewayd_file.write_text(before)
        restart(node)
    node.wait_until_serving("web")
    node.wait_until_state("active")

    assert proven == {}
    assert unknown["vip-unknown"]["severity"] == "note"


def test_a_backend_of_nat_that_drops_pings_is_no_mistake(nat: Lab) -> None:
    with filtering(nat, "input", what="ip protocol icmp", on="b1"):
        found = findings(nat.nodes["lb1"])

    assert found.keys() == {"replies-unknown"}
    assert found["replies-unknown"]["severity"] == "note"


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
        half_open = host.run("ss", "-Htn", "state", "syn-recv", "dport >= :61000")
        assert half_open == "", host.name
    assert "192.0.2.1" not in node.host.run("ip", "neigh").split()
