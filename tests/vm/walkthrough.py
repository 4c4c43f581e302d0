"""A node and two real servers, each a machine: what an operator does with them."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.vm.checkout import archive
from tests.vm.client import Client
from tests.vm.image import Image
from tests.vm.machine import Kind, Machine, machine
from tests.vm.network import Network
from tests.vm.stages import Stage
from vagrant.lab.errors import LabError
from vagrant.lab.hosts import PROJECT
from vagrant.lab.wait import eventually

# As in vagrant/provision/network.sh.
VIP, FRONT, BACK = "192.168.56.10", "192.168.56", "192.168.57"
NODE = Kind("lb1", 2, memory=1536, segments=("front", "back"))
SERVERS = (
    Kind("rs1", 21, cpus=1, segments=("front", "back")),
    Kind("rs2", 22, cpus=1, segments=("front", "back")),
)
SCRIPTS = "/srv/provision"
PACKAGE = "/srv/guideway.deb"
_FIRST_SERVICE = re.compile(r"^guideway service (?:add|show) .*$", re.MULTILINE)
_INSTALLS_WITHIN = 1200.0  # seconds
_PROVISIONED_WITHIN = 600.0
_HEARD_WITHIN = 60.0  # until all real servers have answered
_STARTS_WITHIN = 180.0
_RATE = 200  # datagrams per second
_KILLS = 2
_TRACES = "/etc /lib/systemd /usr /var/lib /var/cache /run /sys/fs/bpf"
_FIND = f"find {_TRACES} -xdev -iname '*guideway*' -print"


@dataclass(frozen=True, slots=True)
class Walkthrough:
    """The machines, and what is done with them."""

    node: Machine
    servers: Sequence[Machine]
    client: Client
    package: Path

    def stages(self) -> list[Stage]:
        return [
            Stage("three machines boot: a node and two real servers", self.boot),
            Stage("web.sh and backend-dr.sh, from nothing", self.provision),
            Stage("dpkg -i, systemctl start guidewayd", self.install),
            Stage("the program is native, on cards of two queues", self.native),
            Stage("README's first service, and a request through it", self.first_service),
            Stage("guidewayd killed under load: nothing is lost", self.kill),
            Stage("apt purge leaves nothing", self.purge),
            Stage("balancer.sh, from nothing: DR with VRRP", self.direct_return),
            Stage("backend-nat.sh, balancer.sh again: NAT", self.translation),
        ]

    def boot(self) -> str:
        scripts = archive(PROJECT / "vagrant" / "provision")
        for each in (self.node, *self.servers):
            each.wait_until_up()
            for place, segment in enumerate(each.kind.segments, 1):
                network = {"front": FRONT, "back": BACK}[segment]
                own = f"{network}.{each.kind.number}/24"
                each.run(
                    f"ip address add {own} dev eth{place} && ip link set eth{place} up"
                )
            each.unpack(scripts, SCRIPTS)
        self.node.send(self.package, PACKAGE)
        return self.node.run("uname -r").strip()

    def provision(self) -> str:
        for each in self.servers:
            scripts = f"{SCRIPTS}/web.sh {each.name} && {SCRIPTS}/backend-dr.sh"
            each.run(scripts, within=_PROVISIONED_WITHIN)
            each.send(PROJECT / "vagrant" / "lab" / "echo.py", "/srv/echo.py")
            echo = f"/usr/bin/python3 /srv/echo.py --name {each.name} --port 7"
            each.run(f"systemd-run --quiet --unit echo {echo}")
        names = [each.run("curl -s http://127.0.0.1/").strip() for each in self.servers]
        return f"{' and '.join(names)} serve"

    def install(self) -> str:
        before = self.node.run(_FIND)
        if before:
            raise LabError(f"guideway is there before it is installed:\n{before}")
        self.node.run(f"dpkg -i {PACKAGE}", within=_INSTALLS_WITHIN)
        self.node.run("sed -i s/change-me/eth1/ /etc/guideway/guideway.yaml")
        self.node.run("systemctl start guidewayd", within=_PROVISIONED_WITHIN)
        return self.node.run("guideway --version").strip()

    def native(self) -> str:
        """Ask three that know: guidewayd, the kernel, the driver."""
        status = json.loads(self.node.run("guideway -o json dataplane status"))
        shown = json.loads(self.node.run("ip -json link show eth1"))[0]
        queues = self.node.run("ethtool -l eth1").rpartition("Combined:")[2].strip()
        driver = self.node.run("ethtool -i eth1").splitlines()[0]
        facts = (status["interfaces"], shown["xdp"]["mode"], queues, driver)
        wanted = [{"name": "eth1", "mode": "native", "attached": True}]
        if facts != (wanted, 1, "2", "driver: virtio_net"):  # 1: XDP_ATTACHED_DRV
            raise LabError(f"guidewayd, ip -json link, ethtool -l and -i say: {facts}")
        return f"virtio_net, 2 queues, program {status['digest'][:12]}"

    def first_service(self) -> str:
        """Type what README.md shows, with the addresses of this network."""
        self.node.run(f"ip address add {VIP}/32 dev eth1")  # VRRP is not running yet
        readme = (PROJECT / "README.md").read_text()
        commands = _FIRST_SERVICE.findall(readme)
        if len(commands) != 2:
            raise LabError(f"README.md has another first service than we know: {commands}")
        for command in commands:
            ours = command.replace("10.0.0.100", VIP).replace("10.0.0.", f"{FRONT}.")
            self.node.run(ours)
        return self._everybody_answers()

    def kill(self) -> str:
        backends = " ".join(
            f"--backend {FRONT}.{each.kind.number}" for each in self.servers
        )
        add = f"guideway service add echo --vip {VIP} --port 7 --protocol udp --mode dr"
        self.node.run(f"{add} {backends} --no-check --wait")
        with self.client.load(VIP, _RATE) as load:
            eventually(self._echoed, within=_HEARD_WITHIN, what="there is load")
            for number in range(1, _KILLS + 1):
                self.node.run("systemctl kill -s KILL guidewayd")
                self._wait_for_restart(number)
        if load.lost:
            raise LabError(f"guidewayd was killed {_KILLS} times under load: {load}")
        return (
            f"{load.sent} datagrams, {load.asked} requests, all answered; "
            f"{load.retransmitted} segments sent again; {self._queues_used()}"
        )

    def purge(self) -> str:
        self.node.run("systemctl enable guidewayd")
        self.node.run("apt-get purge -qq guideway", within=_INSTALLS_WITHIN)
        left = self.node.run(_FIND)
        left += self.node.run("ip -d link show | grep xdp", code=None)
        left += self.node.run("getent group guideway", code=2)
        left += self.node.run("systemctl --failed --no-legend")
        if left:
            raise LabError(f"what is left:\n{left}")
        self.node.run(f"ip address delete {VIP}/32 dev eth1")
        return "no file, no group, no program on an interface"

    def direct_return(self) -> str:
        self._balance("dr")
        return f"{self._everybody_answers()}; {self._examined()}"

    def translation(self) -> str:
        """Move the real servers behind the node."""
        for each in self.servers:
            each.run("ip link set eth1 down")
            each.run(
                f"systemctl disable --quiet guideway-vip && ip addr del {VIP}/32 dev lo"
            )
            each.run(f"{SCRIPTS}/backend-nat.sh", within=_PROVISIONED_WITHIN)
        self._balance("nat")
        return f"{self._everybody_answers()}; {self._examined()}"

    def _balance(self, mode: str) -> None:
        script = f"{SCRIPTS}/balancer.sh {PACKAGE} {mode} {FRONT}.2 {BACK}.2 150 native"
        self.node.run(script, within=_INSTALLS_WITHIN)

    def _everybody_answers(self) -> str:
        """Return who answers, when all real servers do."""
        wanted = {each.name for each in self.servers}

        eventually(
            lambda: wanted == set(self.client.ask(f"http://{VIP}/", times=12)),
            within=_HEARD_WITHIN,
            what="all real servers answer the client, through the VIP",
            explain=self._told,
        )
        return f"answered by {' and '.join(sorted(wanted))}"

    def _examined(self) -> str:
        """Have the doctor look: the scripts know three real servers, and two are here."""
        said = json.loads(self.node.run("guideway doctor -o json", code=4))
        found = [each for each in said["findings"] if each["severity"] != "note"]
        wrong = [each["problem"] for each in found if "rs3" not in each["problem"]]
        if wrong or not found:
            raise LabError(f"guideway doctor finds, besides that rs3 is missing: {wrong}")
        return "the doctor misses rs3, and nothing else"

    def _told(self) -> str:
        asked = ("status", "backend list", "stats --reasons", "dataplane status")
        return "\n".join(self.node.run(f"guideway {each}", code=None) for each in asked)

    def _echoed(self) -> int:
        """Return how many datagrams the data plane has counted."""
        told = json.loads(self.node.run("guideway -o json stats"))
        packets = {each["service"]: each["packets"] for each in told["services"]}
        return packets["echo"]

    def _wait_for_restart(self, number: int) -> None:
        """Wait until systemd has started it as often, and it has seen packets go on."""
        show = "systemctl show --property NRestarts,ActiveState guidewayd"
        wanted = {f"NRestarts={number}", "ActiveState=active"}
        eventually(
            lambda: set(self.node.run(show).split()) == wanted,
            within=_STARTS_WITHIN,
            what="systemd has started guidewayd again",
        )
        before = self._echoed()
        eventually(
            lambda: self._echoed() >= before + _RATE,
            within=_HEARD_WITHIN,
            what="the new guidewayd sees packets that go on",
        )

    def _queues_used(self) -> str:
        said = self.node.run("ethtool -S eth1")
        counted = dict(re.findall(r"(rx_queue_\d+_xdp_tx): (\d+)", said))
        idle = [queue for queue, packets in counted.items() if packets == "0"]
        if len(counted) != 2 or idle:
            raise LabError(f"XDP has not sent from both queues: {counted}")
        return ", ".join(f"{queue} {packets}" for queue, packets in counted.items())


@contextmanager
def walkthrough(
    image: Image, network: Network, logs: Path, package: Path
) -> Iterator[Walkthrough]:
    """Start the machines; at the end they are gone."""
    network.ip("address", "add", f"{FRONT}.100/24", "dev", "front")
    with ExitStack() as stack:
        node, *servers = (
            stack.enter_context(machine(kind, image, network, logs))
            for kind in (NODE, *SERVERS)
        )
        yield Walkthrough(node, servers, Client(network), package)
