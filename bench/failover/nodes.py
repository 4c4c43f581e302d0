"""Two nodes that share a VIP, by guideway-vrrpd or by keepalived, and a client."""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Final, Protocol

from vagrant.lab.hosts import Host, create
from vagrant.lab.program import Program
from vagrant.lab.segment import Segment
from vagrant.lab.wait import eventually
from vrrp.inquiry import ask
from vrrp.requests import SOCKET_NAME, Failover

VIP: Final = IPv4Address("10.0.0.100")
_NETWORK: Final = IPv4Network("10.0.0.0/24")
_VRID: Final = 51
_TIMEOUT: Final = 30.0  # seconds for anything that a node has to do
PRIORITIES: Final = (150, 100)


class Daemon(Protocol):
    """What speaks VRRP on a node."""

    def start(self) -> None:
        """Start it."""

    def kill(self) -> None:
        """End it as a power cut does: no word, nothing tidied up."""


@dataclass(frozen=True)
class Node:
    """A host that may have the VIP."""

    host: Host
    daemon: Daemon
    directory: Path

    def has_vip(self) -> bool:
        """Whether the address is on the host."""
        return f"{VIP}/32" in self.host.run("ip", "-brief", "address").split()

    def hand_over(self) -> None:
        """Have the peer take over; guideway-vrrpd only."""
        answer = ask(self.directory / SOCKET_NAME, Failover("front"), _TIMEOUT)
        if answer.problem:
            raise RuntimeError(answer.problem)


@dataclass(frozen=True)
class Pair:
    """Both, and who looks at them."""

    segment: Segment
    one: Node  # of the higher priority
    two: Node
    client: Host

    def settle(self) -> None:
        """Wait until the first node, and nobody else, has the VIP."""
        eventually(
            lambda: self.one.has_vip() and not self.two.has_vip(),
            within=_TIMEOUT,
            what="the first node alone has the VIP",
        )

    def die(self) -> None:
        """Let the first node die: the cable is pulled, then the process killed."""
        self.segment.unplug(self.one.host)
        self.one.daemon.kill()

    def revive(self) -> None:
        """Let it come back and take over."""
        self.one.daemon.start()
        self.segment.plug(self.one.host)
        self.settle()


class Keepalived:
    """keepalived on a host."""

    def __init__(self, host: Host, priority: int, interval: float, directory: Path) -> None:
        self._host, self._directory = host, directory
        (directory / "keepalived.conf").write_text(f"""
            global_defs {{
                vrrp_version 3
            }}
            vrrp_instance front {{
                state BACKUP
                interface eth0
                virtual_router_id {_VRID}
                priority {priority}
                advert_int {interval:g}
                virtual_ipaddress {{
                    {VIP}/32 dev eth0
                }}
            }}
        """)

    @staticmethod
    def installed() -> bool:
        """Whether this machine has it."""
        return shutil.which("keepalived") is not None

    def start(self) -> None:
        """Start it."""
        self._host.run("ip", "address", "flush", "to", f"{VIP}/32")  # what a kill left
        directory = self._directory
        for left in ("pid", "vrrp.pid"):
            (directory / left).unlink(missing_ok=True)
        self._host.popen(
            *("keepalived", "--vrrp", "-n", "-l"),
            *("-f", str(directory / "keepalived.conf"), "-p", str(directory / "pid")),
            *("-r", str(directory / "vrrp.pid")),
            log=directory / "keepalived.log",
        )

    def kill(self) -> None:
        """End it, with its child."""
        self._host.kill_everything()


def vrrpd(host: Host, priority: int, interval: float, directory: Path) -> Program:
    """Return our daemon."""
    instance = {
        "name": "front",
        "interface": "eth0",
        "vrid": _VRID,
        "priority": priority,
        "interval": interval,
        "addresses": [f"{VIP}/32"],
    }
    files = {"status_file": "vrrp.json", "maintenance_file": "maintenance"}
    content = {key: str(directory / name) for key, name in files.items()}
    path = directory / "vrrp.yaml"
    path.write_text(json.dumps({**content, "instances": [instance]}))  # which is YAML
    return Program(host, "vrrp.daemon", ("--config", str(path)), directory / "vrrpd.log")


@contextmanager
def pair(kind: str, interval: float, prefix: str, directory: Path) -> Iterator[Pair]:
    """Make the network and start ``kind``, "guideway" or "keepalived", on both nodes."""
    with ExitStack() as cleanup:
        segment = Segment.create("front", _NETWORK, prefix, cleanup)
        nodes = []
        for number, priority in enumerate(PRIORITIES, start=1):
            host = create(f"n{number}", prefix, cleanup)
            segment.connect(host, "eth0", _NETWORK[number])
            own = directory / f"{kind}-{interval:g}-{number}"
            own.mkdir()
            make = vrrpd if kind == "guideway" else Keepalived
            nodes.append(Node(host, make(host, priority, interval, own), own))
        client = create("client", prefix, cleanup)
        segment.connect(client, "eth0", _NETWORK[9])
        made = Pair(segment, nodes[0], nodes[1], client)
        made.one.daemon.start()
        made.two.daemon.start()
        made.settle()
        yield made
