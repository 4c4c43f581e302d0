"""Two nodes that run guideway-vrrpd or keepalived, and a witness on their segment.

When the witness heard something, the kernel says: a test may be late itself.
"""

import json
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from scapy.layers.inet import IP
from scapy.layers.l2 import Ether
from scapy.layers.vrrp import VRRPv3
from scapy.packet import Packet

from tests.support.wait import eventually
from vagrant.lab.errors import NotInTimeError
from vagrant.lab.hosts import Host, create
from vagrant.lab.program import Program
from vagrant.lab.segment import Segment
from vagrant.lab.wait import PATIENCE

FRONT = IPv4Network("10.0.0.0/24")
BACK = IPv4Network("10.20.0.0/24")
VIP = "10.0.0.100/32"
GATEWAY = "10.20.0.1/24"
INTERVAL = 0.1  # seconds
SKEW_100 = (256 - 100) / 256 * INTERVAL
DOWN_100 = 3 * INTERVAL + SKEW_100  # of a Backup with priority 100
# What netlink, Python and a busy machine of two processors may add.
SLACK = 0.3  # seconds
REAL_TIME = 50  # priority of keepalived; guideway-vrrpd has it by default
SO_TIMESTAMPNS = 35  # asm/socket.h; the socket module does not have it
TIMESPEC = struct.Struct("@ll")  # seconds and nanoseconds
# What keepalived logs, in small letters, when all goes as it should.
_USUAL = (
    "entering backup state",
    "entering master state",
    "receive advertisement timeout",
    "backup received priority 0 advertisement",
    "received lower priority",  # whom it is about to relieve
    "with higher priority",
    "with lower priority",
    "sent 0 priority",
    "setting vips",
    "removing vips",
    "sending/queueing",  # gratuitous arp, neighbour advertisements
)
# What of a status changes all the time.
RUNNING_ON = {"latest", "late", "late_total", "sent", "unsent", "heard"}


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

    def configure(self, *instances: dict[str, Any], **more: object) -> None:
        status_file = str(self.directory / "vrrp.json")
        own = {
            "status_file": status_file,
            "maintenance_file": str(self.directory / "maintenance"),
        }
        content = {**own, "instances": instances, **more}
        (self.directory / "vrrp.yaml").write_text(json.dumps(content))  # which is YAML

    def start(self, *instances: dict[str, Any], **more: object) -> None:
        self.configure(*instances, **more)
        self.vrrpd.start()

    def accept_reflections(self) -> None:
        """Let the kernel pass on what bears its own address, as it has to for NAT."""
        for key, value in (("accept_local", 1), ("rp_filter", 0)):
            for interface in ("all", "eth0"):
                self.host.sysctl(f"net.ipv4.conf.{interface}.{key}", value)

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

    def standing(self, name: str = "front") -> dict[str, Any]:
        """Return the status without what is counted all the time."""
        return {k: v for k, v in self.status(name).items() if k not in RUNNING_ON}

    def wait_until(self, state: str, name: str = "front") -> None:
        eventually(
            lambda: self.status(name).get("state") == state,
            within=5,
            what=f"{self.host.name} is {state}",
            explain=self.vrrpd.tail,
        )

    def has(self, *addresses: str) -> bool:
        shown = self.host.run("ip", "-brief", "address").split()
        return all(address in shown for address in addresses)

    def wait_for(self, *addresses: str, within: float = 5) -> None:
        eventually(
            lambda: self.has(*addresses),
            within=within,
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
    witness: Host
    ear: socket.socket

    def start_pair(self, **changes: object) -> None:
        """Let both run, one is Active with priority 150, two Backup with 100."""
        self.one.start(instance(150, **changes))
        self.one.wait_until("active")
        self.one.wait_for(VIP, GATEWAY)
        self.two.start(instance(100, **changes))
        self.wait_until_two_hears_one()

    def wait_until_two_hears_one(self) -> None:
        eventually(
            lambda: self.two.status().get("active") == "10.0.0.1",
            within=5,
            what="two hears one",
            explain=self.two.vrrpd.tail,
        )

    def hear(self, wanted: Callable[[Packet], bool], within: float) -> tuple[Packet, float]:
        """Return the first frame that is wanted, and when it came (monotonic)."""
        return self.hear_until(wanted, within)[-1]

    def hear_until(
        self, wanted: Callable[[Packet], bool], within: float
    ) -> list[tuple[Packet, float]]:
        """Return all frames up to the first one that is wanted, and when each came."""
        within *= PATIENCE
        end = time.monotonic() + within
        heard = []
        while (left := end - time.monotonic()) > 0:
            self.ear.settimeout(left)
            try:
                data, ((_, _, stamp),), _, _ = self.ear.recvmsg(2048, 64)
            except TimeoutError:
                break
            frame = Ether(data)
            heard.append((frame, _monotonic(stamp)))
            if wanted(frame):
                return heard
        raise NotInTimeError("the wanted frame is on the wire", within)

    def forget(self) -> None:
        """Drop what was heard until now."""
        self.ear.settimeout(0)
        with suppress(BlockingIOError):
            while True:
                self.ear.recv(2048)

    def hear_advertisement(
        self, source: str, within: float, priority: int | None = None
    ) -> float:
        """Return when the next advertisement came that bears ``source`` (and priority)."""

        def wanted(frame: Packet) -> bool:
            return (
                VRRPv3 in frame
                and frame[IP].src == source
                and priority in (None, frame[VRRPv3].priority)
            )

        return self.hear(wanted, within)[1]


def _monotonic(stamp: bytes) -> float:
    """Return the time of a kernel's stamp on the monotonic clock."""
    seconds, nanoseconds = TIMESPEC.unpack(stamp)
    # Whoever is interrupted between the clocks finds them closer together than they are.
    apart = max(time.time() - time.monotonic() for _ in range(5))
    return seconds + nanoseconds / 1e9 - apart


@contextmanager
def build(lab_name: str, directory: Path) -> Iterator[Lan]:
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
            nodes.append(Node.on(host, FRONT[number], directory / name))
        witness = create("witness", prefix, cleanup)
        front.connect(witness, "eth0", FRONT[9])
        ear = cleanup.enter_context(
            witness.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL
        )
        ear.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        ear.bind(("eth0", 0))
        yield Lan(front, *nodes, witness, ear)


@dataclass(frozen=True)
class Keepalived:
    """keepalived on a host: one virtual router, which takes these lines besides."""

    node: Node
    priority: int
    lines: tuple[str, ...] = ()
    addresses: tuple[str, ...] = (f"{VIP} dev eth0", f"{GATEWAY} dev eth1")
    version: int = 3
    interval: float = INTERVAL
    settings: tuple[str, ...] = field(default=())  # global ones

    def start(self) -> int:
        """Start it and return its process id."""
        directory = self.node.directory
        configuration = directory / "keepalived.conf"
        lines, settings, addresses = (
            "\n".join(each) for each in (self.lines, self.settings, self.addresses)
        )
        configuration.write_text(f"""
            global_defs {{
                vrrp_version {self.version}
                vrrp_rt_priority {REAL_TIME}
                vrrp_rlimit_rttime 1000000
                script_user root
                enable_script_security
                {settings}
            }}
            vrrp_instance front {{
                state BACKUP
                interface eth0
                virtual_router_id 51
                priority {self.priority}
                advert_int {self.interval}
                {lines}
                virtual_ipaddress {{
                    {addresses}
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

    def stop(self) -> None:
        """Ask it to end; it resigns."""
        os.kill(int((self.node.directory / "pid").read_text()), signal.SIGTERM)

    def complaints(self) -> list[str]:
        """Return what it has logged of its virtual router that is not the usual course."""
        lines = [line for line in self.log().splitlines() if "(front)" in line]
        return [line for line in lines if not any(usual in line for usual in _USUAL)]

    def log(self) -> str:
        return (self.node.directory / "keepalived.log").read_text().lower()
