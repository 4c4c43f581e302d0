"""The lab, the demo and the tests on one machine: as `vagrant up lab` makes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.vm.checkout import archive
from tests.vm.image import Image
from tests.vm.machine import Kind, Machine, machine
from tests.vm.network import Network
from tests.vm.recipe import CHECKOUT
from tests.vm.stages import Stage
from vagrant.lab.wait import PATIENCE

LAB = Kind("lab", 10, memory=4096)
SLOWER = 8 * PATIENCE  # how many times longer than on a real machine everything may take
_SLOWLY = f"GUIDEWAY_PATIENCE={SLOWER:g} GUIDEWAY_LAB_INTERVAL=1"
_PROVISIONED = "/opt/guideway"  # to where lab.sh copies it
_SETUP_WITHIN = 900.0  # seconds
_DEMO_WITHIN = 900.0
_TESTS_WITHIN = 1500.0
# Not all of tests/netns: emulated, that takes hours. These need what differs between
# kernels: XDP, VLANs, tc, macvlan, namespaces; what happens in our own processes alone, no
# kernel changes. Each program that they explain with, or have loaded anew, is compiled, for
# a minute here: tests/packet does both. NAT is what nodes do in the walkthrough. And what
# takes a lab of its own, for half a minute, one family tells.
NETNS = (
    "tests/netns/test_forwarding.py",
    "tests/netns/test_jumbo.py",
    "tests/netns/test_vlan.py",
    "tests/netns/test_vrrp_vmac.py",
)
_ONE_FAMILY = ("generic_xdp", "mac_of_its_own", "xdp_does_not_see")
_CHOSEN = f"not explain and not nat and not (IPv6 and ({' or '.join(_ONE_FAMILY)}))"
_TWO_FILES_AT_A_TIME = "--numprocesses 2 --dist loadfile"


@dataclass(frozen=True, slots=True)
class Lab:
    """The machine, and what is tried on it."""

    machine: Machine
    logs: Path

    def stages(self) -> list[Stage]:
        return [
            Stage("a machine boots Debian's stock kernel", self.boot),
            Stage(
                "lab.sh makes a checkout ready, from nothing",
                self.provision,
                stands_alone=True,
            ),
            Stage("make demo", self.demo, stands_alone=True),
            Stage("deploy/setup dev,lab is ready", self.set_up),
            Stage("tests/packet", self.packet_tests, stands_alone=True),
            Stage(
                "tests/netns, those that a kernel can fail",
                self.netns_tests,
                stands_alone=True,
            ),
        ]

    def boot(self) -> str:
        self.machine.wait_until_up()
        self.machine.unpack(archive(), CHECKOUT)
        return self.machine.run("uname -r").strip()

    def provision(self) -> str:
        command = f"{CHECKOUT}/vagrant/provision/lab.sh {CHECKOUT}"
        return self._long(command, "provision", _SETUP_WITHIN)

    def demo(self) -> str:
        command = f"{_SLOWLY} make -C {_PROVISIONED} demo"
        self._long(command, "demo", _DEMO_WITHIN)
        return "all claims held"

    def set_up(self) -> str:
        """Say so: the environment for the tests is in the root file system.

        What the demo has compiled is not compiled again.
        """
        ours, theirs = f"{CHECKOUT}/.cache", f"{_PROVISIONED}/.cache"
        self.machine.run(f"mkdir -p {ours} && cp {theirs}/*.program {ours}", code=None)
        return self._long(f"{CHECKOUT}/deploy/setup dev,lab", "setup", _SETUP_WITHIN)

    def packet_tests(self) -> str:
        return self._tests("packet", "tests/packet")

    def netns_tests(self) -> str:
        return self._tests("netns", f"-k '{_CHOSEN}'", *NETNS)

    def _tests(self, name: str, *arguments: str) -> str:
        environment = (
            "PYTHONUNBUFFERED=1",
            _SLOWLY,
            "GUIDEWAY_REQUIRE=packet,netns,systemd,vlan",
        )
        pytest = (
            ".venv/bin/python -m pytest -p no:cacheprovider --durations=25",
            f"{_TWO_FILES_AT_A_TIME} -o timeout={60 * SLOWER:g}",
        )
        command = " ".join((*environment, *pytest, *arguments))
        return self._long(f"cd {CHECKOUT} && {command}", name, _TESTS_WITHIN).strip("= ")

    def _long(self, command: str, name: str, within: float) -> str:
        return self.machine.watch(command, self.logs / f"lab-{name}.log", within=within)


@contextmanager
def lab(image: Image, network: Network, logs: Path) -> Iterator[Lab]:
    """Start the machine; at the end it is gone."""
    with machine(LAB, image, network, logs) as made:
        yield Lab(made, logs)
