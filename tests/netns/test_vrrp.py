"""guideway-vrrpd on real networks: two nodes, a witness, and the kernel between them."""

import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vrrp import VRRPv3
from scapy.packet import Packet

from tests.support.requirements import require
from tests.support.wait import eventually
from vagrant.lab.errors import CommandError, NotInTimeError
from vagrant.lab.hosts import Host, create
from vagrant.lab.program import Program
from vagrant.lab.segment import Segment, mac_of

FRONT = IPv4Network("10.0.0.0/24")
BACK = IPv4Network("10.20.0.0/24")
VIP = "10.0.0.100/32"
GATEWAY = "10.20.0.1/24"
INTERVAL = 0.1  # seconds
SKEW_100 = (256 - 100) / 256 * INTERVAL
DOWN_100 = 3 * INTERVAL + SKEW_100  # of a Backup with priority 100
# What netlink, Python and a busy machine of two processors may add.
SLACK = 0.3  # seconds


def instance(priority: int = 100, **changes: object) -> dict[str, Any]:
    addresses = [VIP, {"address": GATEWAY, "interface": "eth1"}]
    usual = {"name": "front", "interface": "eth0", "vrid": 51, "interval": INTERVAL}
    return {**usual, "priority": priority, "addresses": addresses, **changes}


@dataclass(frozen=True)
class Node:
    """A host that runs guideway-vrrpd."""

    host: Host
    address: IPv4Address  # on eth0
    directory: Path
    vrrpd: Program

    @classmethod
    def on(cls, host: Host, address: IPv4Address, directory: Path) -> "Node":
        arguments = ("--config", str(directory / "vrrp.yaml"))
        directory.mkdir()
        vrrpd = Program(host, "vrrp.daemon", arguments, directory / "vrrpd.log")
        return cls(host, address, directory, vrrpd)

    def configure(self, *instances: dict[str, Any]) -> None:
        content = {"status_file": str(self.directory / "vrrp.json"), "instances": instances}
        (self.directory / "vrrp.yaml").write_text(json.dumps(content))  # which is YAML

    def start(self, *instances: dict[str, Any]) -> None:
        self.configure(*instances)
        self.vrrpd.start()

    def signal(self, number: signal.Signals) -> None:
        assert self.vrrpd.pid is not None
        os.kill(self.vrrpd.pid, number)

    def reload(self) -> None:
        self.signal(signal.SIGHUP)

    def status(self, name: str = "front") -> dict[str, Any]:
        """Return what the status file says; nothing if there is none."""
        try:
            found: dict[str, Any] = json.loads((self.directory / "vrrp.json").read_text())
        except FileNotFoundError:
            return {}
        return found.get(name, {})

    def wait_until(self, state: str, name: str = "front") -> None:
        eventually(
            lambda: self.status(name).get("state") == state,
            within=5,
            what=f"{self.host.name} is {state}",
            explain=self.vrrpd.tail,
        )

    def has(self, *addresses: str) -> bool:
        shown = self.host.run("ip", "-brief", "-4", "address").split()
        return all(address in shown for address in addresses)

    def wait_for(self, *addresses: str) -> None:
        eventually(
            lambda: self.has(*addresses),
            within=5,
            what=f"{self.host.name} has {addresses}",
            explain=self.vrrpd.tail,
        )

    def wait_without(self, *addresses: str) -> None:
        eventually(
            lambda: not any(self.has(each) for each in addresses),
            within=5,
            what=f"{self.host.name} has none of {addresses}",
            explain=self.vrrpd.tail,
        )

    def log(self) -> list[dict[str, Any]]:
        lines = self.vrrpd.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def wait_for_log(self, **facts: str) -> None:
        eventually(
            lambda: any(facts.items() <= line.items() for line in self.log()),
            within=5,
            what=f"{facts} is logged",
            explain=self.vrrpd.tail,
        )


@dataclass(frozen=True)
class Lan:
    """Two nodes with a leg in each segment, and an ear in the front one."""

    front: Segment
    one: Node
    two: Node
    ear: socket.socket

    def hear(self, wanted: Callable[[Packet], bool], within: float) -> tuple[Packet, float]:
        """Return the first frame that is wanted, and when it was heard (monotonic)."""
        end = time.monotonic() + within
        while (left := end - time.monotonic()) > 0:
            self.ear.settimeout(left)
            try:
                frame = Ether(self.ear.recv(2048))
            except TimeoutError:
                break
            if wanted(frame):
                return frame, time.monotonic()
        raise NotInTimeError("the wanted frame is on the wire", within)


@pytest.fixture
def lan(lab_name: str, tmp_path: Path) -> Iterator[Lan]:
    """10.0.0.0/24: one .1, two .2, witness .9; behind, 10.20.0.0/24: one .11, two .12."""
    with ExitStack() as cleanup:
        prefix = f"guideway-{lab_name}-"
        front = Segment.create("front", FRONT, prefix, cleanup)
        back = Segment.create("back", BACK, prefix, cleanup)
        nodes = []
        for number, name in enumerate(("one", "two"), start=1):
            host = create(name, prefix, cleanup)
            front.connect(host, "eth0", FRONT[number])
            back.connect(host, "eth1", BACK[10 + number])
            nodes.append(Node.on(host, FRONT[number], tmp_path / name))
        witness = create("witness", prefix, cleanup)
        front.connect(witness, "eth0", FRONT[9])
        ear = cleanup.enter_context(
            witness.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL
        )
        ear.bind(("eth0", 0))
        yield Lan(front, *nodes, ear)


@pytest.fixture
def pair(lan: Lan) -> Lan:
    """The same, both running: one, of priority 150, is Active, two, of 100, Backup."""
    lan.one.start(instance(150))
    lan.one.wait_until("active")
    lan.one.wait_for(VIP, GATEWAY)
    lan.two.start(instance(100))
    eventually(
        lambda: lan.two.status().get("active") == "10.0.0.1",
        within=5,
        what="two hears one",
        explain=lan.two.vrrpd.tail,
    )
    return lan


def is_advertisement(frame: Packet, source: Node, priority: int) -> bool:
    return (
        VRRPv3 in frame
        and frame[IP].src == str(source.address)
        and frame[VRRPv3].priority == priority
    )


def claims_the_vip(frame: Packet, node: Node) -> bool:
    """Whether ``frame`` is gratuitous ARP of ``node`` for the VIP."""
    wanted = ARP(
        op="who-has",
        hwsrc=mac_of(node.address),
        psrc="10.0.0.100",
        hwdst="ff:ff:ff:ff:ff:ff",
        pdst="10.0.0.100",
    )
    to_all = Ether(src=wanted.hwsrc, dst="ff:ff:ff:ff:ff:ff")
    return bytes(frame) == bytes(to_all / wanted)


# Election and failover


def test_the_higher_priority_is_active_and_alone_has_the_addresses(pair: Lan) -> None:
    one, two = pair.one, pair.two

    assert one.status()["active"] == two.status()["active"] == "10.0.0.1"
    assert one.has(VIP, GATEWAY)
    assert not two.has(VIP)
    assert not two.has(GATEWAY)


def test_an_advertisement_on_the_wire_is_what_the_rfc_wants(pair: Lan) -> None:
    frame, _ = pair.hear(lambda frame: is_advertisement(frame, pair.one, 150), within=1)

    assert frame[Ether].dst == "01:00:5e:00:00:12"
    header = frame[IP]
    assert (header.src, header.dst, header.ttl, header.tos, header.proto) == (
        "10.0.0.1",
        "224.0.0.18",
        255,
        0xC0,
        112,
    )
    said = frame[VRRPv3]
    assert (said.vrid, said.priority, said.adv) == (51, 150, 10)
    assert said.addrlist == ["10.0.0.100", "10.20.0.1"]


def test_a_silent_death_is_over_within_the_down_interval(pair: Lan) -> None:
    died = time.monotonic()
    pair.one.vrrpd.kill()
    pair.front.unplug(pair.one.host)

    _, heard = pair.hear(lambda frame: claims_the_vip(frame, pair.two), within=5)

    assert heard - died <= DOWN_100 + SLACK
    assert pair.two.has(VIP, GATEWAY)


def test_a_new_active_announces_itself_five_times_at_once(pair: Lan) -> None:
    pair.one.vrrpd.kill()
    pair.front.unplug(pair.one.host)

    times = [
        pair.hear(lambda frame: claims_the_vip(frame, pair.two), within=5)[1]
        for _ in range(5)
    ]

    assert times[-1] - times[0] < 0.1


def test_sigterm_hands_over_within_the_skew(pair: Lan) -> None:
    asked = time.monotonic()

    pair.one.signal(signal.SIGTERM)

    _, resigned = pair.hear(lambda frame: is_advertisement(frame, pair.one, 0), within=1)
    _, taken = pair.hear(lambda frame: claims_the_vip(frame, pair.two), within=5)
    assert pair.one.vrrpd.wait(within=5) == 0
    assert resigned <= taken
    assert taken - asked <= SKEW_100 + SLACK
    assert pair.one.status() == {}
    assert not pair.one.has(VIP)
    assert not pair.one.has(GATEWAY)


def test_an_impatient_second_signal_does_not_disturb_the_end(pair: Lan) -> None:
    for _ in range(3):
        pair.one.signal(signal.SIGTERM)
        pair.one.signal(signal.SIGHUP)

    assert pair.one.vrrpd.wait(within=5) == 0
    assert pair.one.status() == {}
    assert not pair.one.has(VIP)


def test_a_node_that_comes_back_takes_over_again_unless_told_not_to(pair: Lan) -> None:
    pair.one.vrrpd.stop()
    pair.two.wait_for(VIP)

    pair.one.start(instance(150, preempt=False))
    pair.one.wait_until("backup")
    # It has heard the Active, which is what resets its timer.
    eventually(lambda: pair.one.status()["active"] == "10.0.0.2", within=2, what="it hears")
    assert pair.two.has(VIP)
    pair.one.configure(instance(150))
    pair.one.reload()

    pair.one.wait_for(VIP)
    pair.two.wait_without(VIP)


def test_a_partition_heals_into_one_active(pair: Lan) -> None:
    # "two" no longer hears what "one" says, and takes over while "one" is still Active.
    leg_of_two = ("bridge", "link", "set", "dev", "two", "mcast_flood")
    pair.front.switch.run(*leg_of_two, "off")
    pair.two.wait_for(VIP)
    assert pair.one.has(VIP)

    pair.front.switch.run(*leg_of_two, "on")

    pair.two.wait_without(VIP)
    assert pair.one.has(VIP)
    assert pair.two.status()["active"] == "10.0.0.1"


# Addresses


def test_an_address_that_somebody_removed_is_put_back(pair: Lan) -> None:
    host = pair.one.host

    host.run("ip", "address", "del", VIP, "dev", "eth0")
    host.run("ip", "address", "del", GATEWAY, "dev", "eth1")

    pair.one.wait_for(VIP, GATEWAY)
    pair.one.wait_for_log(event="address put back", address=f"{VIP} on eth0")


def test_what_a_killed_run_left_is_removed_by_the_next(pair: Lan) -> None:
    pair.one.vrrpd.kill()
    pair.two.wait_for(VIP)
    assert pair.one.has(VIP, GATEWAY)

    pair.one.start(instance(50))

    pair.one.wait_without(VIP, GATEWAY)
    pair.one.wait_until("backup")


def test_an_owner_keeps_its_own_address_when_it_stops(lan: Lan) -> None:
    own = "10.0.0.1/24"
    lan.one.start(instance(255, addresses=[own]))
    lan.one.wait_until("active")

    lan.one.vrrpd.stop()

    assert lan.one.has(own)


# Interfaces


def test_a_node_without_a_cable_rests_until_it_has_one(pair: Lan) -> None:
    pair.front.unplug(pair.one.host)

    pair.one.wait_until("initialize")
    pair.one.wait_without(VIP, GATEWAY)
    pair.two.wait_for(VIP, GATEWAY)
    pair.front.plug(pair.one.host)
    pair.one.wait_until("active")
    pair.one.wait_for(VIP, GATEWAY)
    pair.two.wait_without(VIP, GATEWAY)


def test_a_node_that_loses_its_inner_interface_resigns(pair: Lan) -> None:
    pair.one.host.run("ip", "link", "set", "eth1", "down")

    pair.hear(lambda frame: is_advertisement(frame, pair.one, 0), within=2)
    pair.two.wait_for(VIP, GATEWAY)
    pair.one.wait_without(VIP, GATEWAY)


def test_an_interface_may_vanish_and_come_back(pair: Lan) -> None:
    pair.one.host.run("ip", "link", "del", "eth0")

    pair.one.wait_until("initialize")
    pair.two.wait_for(VIP, GATEWAY)
    pair.one.wait_without(GATEWAY)
    pair.front.connect(pair.one.host, "eth0", pair.one.address)
    pair.one.wait_until("active")
    pair.one.wait_for(VIP, GATEWAY)
    assert pair.one.vrrpd.running


def test_an_interface_may_get_another_address(pair: Lan) -> None:
    change = f"addr del {pair.one.address}/24 dev eth0\naddr add 10.0.0.3/24 dev eth0\n"
    batch = pair.one.directory / "batch"
    batch.write_text(change)

    pair.one.host.run("ip", "-batch", str(batch))

    eventually(
        lambda: pair.two.status()["active"] == "10.0.0.3",
        within=5,
        what="one speaks from its new address",
        explain=pair.one.vrrpd.tail,
    )


# Signals and files


def test_a_reload_leaves_alone_what_has_not_changed(lan: Lan) -> None:
    other = instance(100, name="other", vrid=52, addresses=["10.0.0.101/32"])
    lan.one.start(instance(100), other)
    lan.one.wait_until("active")
    lan.one.wait_until("active", name="other")
    before = lan.one.status()
    added = instance(100, name="added", vrid=53, addresses=["10.0.0.102/32"])

    lan.one.configure(instance(100), {**other, "priority": 90}, added)
    lan.one.reload()

    lan.one.wait_until("active", name="added")
    eventually(
        lambda: lan.one.status("other").get("priority") == 90, within=2, what="changed"
    )
    assert lan.one.status() == before
    lan.one.wait_for(VIP, "10.0.0.102/32")


def test_a_mistake_in_the_new_file_changes_nothing(lan: Lan) -> None:
    lan.one.start(instance(100))
    lan.one.wait_until("active")
    before = lan.one.status()

    lan.one.configure(instance(0))
    lan.one.reload()

    lan.one.wait_for_log(
        event="configuration not reloaded",
        problem=f"{lan.one.directory}/vrrp.yaml: "
        "Expected `int` >= 1 - at `$.instances[0].priority`",
    )
    assert lan.one.status() == before
    assert lan.one.vrrpd.running


def refusal(node: Node, *prefix: str) -> str:
    """Start guideway-vrrpd where it cannot run, and return its last words."""
    configuration = str(node.directory / "vrrp.yaml")
    command = (sys.executable, "-m", "vrrp.daemon", "--config", configuration)
    with pytest.raises(CommandError) as caught:
        node.host.run(*prefix, *command)
    assert caught.value.code == 1
    return caught.value.output


def test_a_second_daemon_with_the_same_status_file_is_refused(lan: Lan) -> None:
    lan.one.start(instance(100))
    lan.one.wait_until("active")

    said = refusal(lan.one)

    assert said == (
        "guideway-vrrpd: another guideway-vrrpd is running with status file "
        f"{lan.one.directory}/vrrp.json: stop it, or name another `status_file`\n"
    )
    assert lan.one.has(VIP)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param(
            {"interface": "eth7"},
            "there is no interface eth7, which instance front needs",
            id="no such interface",
        ),
        pytest.param(
            {"addresses": [{"address": GATEWAY, "interface": "eth7"}]},
            "there is no interface eth7, which instance front needs",
            id="no such interface for an address",
        ),
        pytest.param(
            {"interface": "eth1"},
            "interface eth1 has no IPv4 address of its own, from which instance front could"
            " advertise: give it one",
            id="no address",
        ),
    ],
)
def test_a_host_that_lacks_something_is_told_so_and_left_as_it_was(
    lan: Lan, changes: dict[str, object], sentence: str
) -> None:
    lan.one.host.run("ip", "address", "flush", "dev", "eth1")
    lan.one.configure(instance(100, **changes))
    before = lan.one.host.run("ip", "-brief", "address")

    assert refusal(lan.one) == f"guideway-vrrpd: {sentence}\n"
    assert lan.one.host.run("ip", "-brief", "address") == before
    assert [path.name for path in lan.one.directory.iterdir()] == ["vrrp.yaml"]


def test_without_the_capabilities_it_does_not_start(lan: Lan) -> None:
    lan.one.configure(instance(100))

    said = refusal(lan.one, "setpriv", "--bounding-set", "-net_admin")

    assert said == (
        "guideway-vrrpd: CAP_NET_ADMIN and CAP_NET_RAW are needed: run it as root\n"
    )


# keepalived as the peer


@dataclass(frozen=True)
class Keepalived:
    """keepalived on a host, with the same virtual router."""

    node: Node
    priority: int

    def start(self) -> int:
        """Start it and return its process id."""
        directory = self.node.directory
        configuration = directory / "keepalived.conf"
        configuration.write_text(f"""
            global_defs {{
                vrrp_version 3
                script_user root
                enable_script_security
            }}
            vrrp_instance front {{
                state BACKUP
                interface eth0
                virtual_router_id 51
                priority {self.priority}
                advert_int {INTERVAL}
                virtual_ipaddress {{
                    {VIP} dev eth0
                    {GATEWAY} dev eth1
                }}
            }}
        """)
        files = ("-f", str(configuration), "-p", str(directory / "pid"))
        process = self.node.host.popen(
            *("keepalived", "--vrrp", "-n", "-l", "-D", "-r", str(directory / "vrrp.pid")),
            *files,
            log=directory / "keepalived.log",
        )
        return process.pid


@pytest.fixture
def _keepalived() -> None:
    """Debian's package; a test that uses this needs it."""
    missing = None if shutil.which("keepalived") else "keepalived is not installed"
    require("netns", missing)


@pytest.mark.usefixtures("_keepalived")
def test_we_obey_a_keepalived_of_higher_priority_and_follow_it(lan: Lan) -> None:
    peer = Keepalived(lan.two, priority=150)
    pid = peer.start()
    lan.two.wait_for(VIP)

    lan.one.start(instance(100))

    lan.one.wait_until("backup")
    eventually(
        lambda: lan.one.status()["active"] == "10.0.0.2", within=2, what="it is heard"
    )
    assert not lan.one.has(VIP)
    os.kill(pid, signal.SIGTERM)
    lan.one.wait_for(VIP, GATEWAY)
    lan.two.wait_without(VIP, GATEWAY)


@pytest.mark.usefixtures("_keepalived")
def test_a_keepalived_of_lower_priority_obeys_us_and_follows_us(lan: Lan) -> None:
    peer = Keepalived(lan.two, priority=50)
    peer.start()
    lan.two.wait_for(VIP)

    lan.one.start(instance(100))

    lan.one.wait_for(VIP, GATEWAY)
    lan.two.wait_without(VIP, GATEWAY)
    lan.one.vrrpd.stop()
    lan.two.wait_for(VIP, GATEWAY)
    said = (lan.two.directory / "keepalived.log").read_text().lower()
    assert "checksum" not in said
    assert "invalid" not in said
