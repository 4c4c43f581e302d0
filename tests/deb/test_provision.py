"""The scripts of vagrant/provision: they make a node and real servers, which then serve.

Each machine has a systemd and a network of its own, as a virtual machine would have.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from tests.support.systemd import booted
from tests.support.wait import eventually
from tests.support.world import World, as_host
from vagrant.lab.errors import CommandError
from vagrant.lab.hosts import PROJECT, Host, create
from vagrant.lab.segment import Segment

pytestmark = pytest.mark.timeout(400)
SCRIPTS = "/opt/guideway/vagrant/provision"
# As in network.sh.
FRONT, BACK = IPv4Network("192.168.56.0/24"), IPv4Network("192.168.57.0/24")
VIP, GATEWAY = FRONT[10], BACK[1]
SERVERS = {"rs1": 21, "rs2": 22}  # rs3 stays away
# All that a script could change: files, addresses, routes, sysctls, what runs.
STATE = r"""
find /etc /srv /var/lib/dpkg -type f -printf '%p %i %T@\n' | sort
ip -brief address
ip route
sysctl -a --pattern '^net\.ipv4\.(ip_forward|conf\..*\.(arp_|rp_filter|accept_local))'
systemctl show --property Id,ActiveState,MainPID,UnitFileState guidewayd guideway-vrrpd \
    guideway-web guideway-vip guideway-route guideway-offload
"""


@dataclass(frozen=True)
class Lan:
    """A client, a node and real servers; nothing of guideway is installed anywhere."""

    mode: str
    machines: dict[str, World]
    client: Host

    def provision(self, package: str) -> None:
        """Run the scripts, as vagrant/README.md says, where root's files are its own."""
        for name in SERVERS:
            self.script(name, "web.sh", name)
            self.script(name, f"backend-{self.mode}.sh")
            if self.mode == "nat":
                self.script(name, "offload.sh", str(BACK[SERVERS[name]]))
        self.balance(package)

    def balance(
        self,
        package: str,
        front: IPv4Address = FRONT[2],
        back: IPv4Address = BACK[2],
        priority: int = 150,
        code: int = 0,
    ) -> None:
        own = (self.mode, str(front), str(back), str(priority), "native")
        self.script("lb1", "balancer.sh", package, *own, code=code)

    def script(self, machine: str, name: str, *arguments: str, code: int = 0) -> None:
        strictly = ("sh", "-c", 'umask 077; exec "$@"', "sh")
        command = (*strictly, f"{SCRIPTS}/{name}", *arguments)
        self.machines[machine].run(*command, code=code)

    def state(self) -> dict[str, str]:
        """Return, by machine, what the scripts could have changed."""
        return {name: one.run("sh", "-c", STATE) for name, one in self.machines.items()}

    def answers(self) -> set[str]:
        """Return who answers a dozen requests to the VIP; "" where nobody does."""
        return {self._ask() for _ in range(12)}

    def _ask(self) -> str:
        with suppress(CommandError):
            return self.client.run("curl", "-s", "-m", "2", f"http://{VIP}/").strip()
        return ""

    def told(self) -> str:
        """Return what the node says of itself."""
        reports = ("status", "backend list", "stats --reasons", "vrrp status")
        run = self.machines["lb1"].run
        return "\n".join(run("/usr/bin/guideway", *words.split()) for words in reports)


@pytest.fixture(params=["dr", "nat"])
def lan(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lan]:
    prefix = f"guideway-p{os.getpid()}-"
    with ExitStack() as cleanup:
        machines, hosts = {}, {}
        for name in ("lb1", *SERVERS):
            (tmp_path / name).mkdir()
            system = cleanup.enter_context(booted(tmp_path / name, f"{prefix}{name}"))
            machines[name] = World(system.pid)  # not by the path of a checkout's programs
            hosts[name] = cleanup.enter_context(as_host(machines[name], name, prefix))
        client = create("client", prefix, cleanup)
        front = Segment.create("front", FRONT, prefix, cleanup)
        front.connect(client, "eth0", FRONT[100])
        front.connect_balancer(hosts["lb1"], "eth0", FRONT[2])
        back = front
        if request.param == "nat":
            back = Segment.create("back", BACK, prefix, cleanup)
            back.connect_balancer(hosts["lb1"], "eth1", BACK[2])
        for name, number in SERVERS.items():
            back.connect(hosts[name], "eth0", back.network[number])
        yield Lan(request.param, machines, client)


def test_scripts_make_a_service_and_once_more_they_change_nothing(
    lan: Lan, package: Path
) -> None:
    made = f"/opt/guideway/{package.relative_to(PROJECT)}"

    lan.provision(made)
    eventually(
        lambda: lan.answers() == set(SERVERS),
        within=60,
        what="all real servers answer",
        explain=lan.told,
    )
    before = lan.state()
    lan.provision(made)

    assert lan.state() == before

    refused_are_those_who_are_not_here(lan, made)

    assert lan.state() == before
    assert lan.answers() == set(SERVERS)
    {"dr": check_dr, "nat": check_nat}[lan.mode](lan.machines)


def refused_are_those_who_are_not_here(lan: Lan, package: str) -> None:
    lan.balance(package, front=FRONT[9], code=1)
    lan.balance(package, priority=300, code=1)
    if lan.mode == "nat":
        lan.balance(package, back=BACK[9], code=1)


def test_what_a_script_that_was_ended_had_left_the_next_one_does(
    lan: Lan, package: Path
) -> None:
    made = f"/opt/guideway/{package.relative_to(PROJECT)}"
    node = lan.machines["lb1"]
    lan.provision(made)
    pid, other = (daemons(node)[unit] for unit in ("guideway-vrrpd", "guidewayd"))
    node.run("touch", "/etc/guideway/vrrp.yaml")  # it is right, and vrrpd has not read it
    node.run("systemctl", "disable", "guidewayd")
    node.run("sysctl", "-w", "net.ipv4.ip_forward=0")

    lan.balance(made)

    assert daemons(node)["guidewayd"] == other
    assert daemons(node)["guideway-vrrpd"] != pid
    assert node.run("systemctl", "is-enabled", "guidewayd") == "enabled\n"
    forwards = {"dr": "0\n", "nat": "1\n"}
    assert node.run("sysctl", "-n", "net.ipv4.ip_forward") == forwards[lan.mode]


def daemons(node: World) -> dict[str, str]:
    """Return the processes of both, by unit."""
    show = ("systemctl", "show", "--property", "MainPID", "--value")
    return {unit: node.run(*show, unit) for unit in ("guidewayd", "guideway-vrrpd")}


def check_dr(machines: dict[str, World]) -> None:
    """Compare a real server, also after its next boot, with what DR asks of it."""
    server = machines["rs1"]
    assert sysctls(server, "all.arp_ignore", "all.arp_announce") == ["1", "2"]
    assert f"inet {VIP}/32" in server.run("ip", "address", "show", "lo")

    server.run("ip", "address", "delete", f"{VIP}/32", "dev", "lo")
    server.run("systemctl", "start", "guideway-vip")

    assert f"inet {VIP}/32" in server.run("ip", "address", "show", "lo")


def check_nat(machines: dict[str, World]) -> None:
    """Compare node and server, also after its next boot, with what NAT asks of them."""
    node, server = machines["lb1"], machines["rs1"]
    assert node.run("sysctl", "-n", "net.ipv4.ip_forward") == "1\n"
    needed = ("eth1.accept_local", "all.rp_filter", "eth1.rp_filter")
    assert sysctls(node, *needed) == ["1", "0", "0"]
    assert f"inet {VIP}/32" in node.run("ip", "address", "show", "eth0")
    assert f"inet {GATEWAY}/24" in node.run("ip", "address", "show", "eth1")
    default = f"default via {GATEWAY} dev eth0 \n"
    assert server.run("ip", "route", "show", "default") == default

    server.run("ip", "route", "delete", "default")
    server.run("systemctl", "start", "guideway-route")

    assert server.run("ip", "route", "show", "default") == default


def sysctls(world: World, *keys: str) -> list[str]:
    """Return the values of keys below net.ipv4.conf."""
    return world.run("sysctl", "-n", *(f"net.ipv4.conf.{key}" for key in keys)).split()
