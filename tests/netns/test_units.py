"""Both daemons do their work with no more rights than their units give them."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import guideway
from tests.support.units import Ear, confined, listening
from tests.support.wait import eventually
from vagrant.lab.lab import Lab
from vagrant.lab.node import Node
from vagrant.lab.program import Program
from vagrant.lab.topology import DrTopology


class Confined(Program):
    """A program of ours as its unit would start it."""

    def __init__(self, like: Program, unit: str, ear: Ear) -> None:
        super().__init__(like.host, like.module, (), like.log)
        manager = (f"NOTIFY_SOCKET={ear.path}", "WATCHDOG_USEC=300000")
        daemon = (sys.executable, "-m", like.module, "--config")
        self._command = ("env", *manager, *confined(unit), *daemon)

    def start_with(self, config: Path) -> None:
        self._process = self.host.popen(*self._command, str(config), log=self.log)

    def hang_up(self) -> None:
        assert self.pid is not None
        os.kill(self.pid, signal.SIGHUP)


@pytest.fixture
def lab(lab_name: str) -> Iterator[Lab]:
    """Return a lab whose servers run, and nothing else."""
    with Lab(lab_name, DrTopology) as made:
        for host in made.servers:
            made.start_servers(host)
        for host in made.servers:
            made.wait_for_servers(host)
        yield made


@pytest.fixture
def node(lab: Lab) -> Node:
    return lab.nodes["lb1"]


def test_guidewayd_needs_no_more_than_its_unit_gives(node: Node, tmp_path: Path) -> None:
    with listening(tmp_path) as ear:
        daemon = node.guidewayd = Confined(node.guidewayd, "guidewayd", ear)
        daemon.start_with(node.paths.guidewayd_file)
        ear.wait_for("READY=1")
        assert node.api.status().interfaces[0].name == "eth0"
        node.wait_until_serving("web")
        assert ear.wait_for("WATCHDOG=1")
        ear.wait_for("STATUS=services: 1, on eth0; all is well")

        daemon.hang_up()
        ear.wait_for("RELOADING=1\nMONOTONIC_USEC=")
        ear.wait_for("READY=1")

        guideway(node, "dataplane", "reload")
        guideway(node, "backend", "drain", "web", "b1")
        eventually(lambda: node.api.shares("web")["b1"] == 0, within=5, what="drained")
        guideway(node, "dataplane", "detach", "--yes")
        ear.wait_for("STATUS=detached: nothing is balanced")

        assert daemon.stop() == 0
        ear.wait_for("STOPPING=1")


def test_guideway_vrrpd_needs_no_more_than_its_unit_gives(
    node: Node, tmp_path: Path
) -> None:
    node.guidewayd.start()  # which it tracks
    node.wait_until_ready()
    node.wait_until_serving("web")
    with listening(tmp_path) as ear:
        daemon = node.vrrpd = Confined(node.vrrpd, "guideway-vrrpd", ear)
        daemon.start_with(node.paths.vrrpd_file)
        ear.wait_for("READY=1")
        ear.wait_for("STATUS=lab active")
        assert ear.wait_for("WATCHDOG=1")
        assert "no real-time scheduling" not in daemon.log.read_text()
        eventually(
            lambda: "10.0.0.100/" in node.host.run("ip", "address", "show", "eth0"),
            within=5,
            what="the address is here",
        )

        daemon.hang_up()
        ear.wait_for("RELOADING=1\nMONOTONIC_USEC=")
        ear.wait_for("READY=1")

        assert daemon.stop() == 0
        ear.wait_for("STOPPING=1")
        assert "10.0.0.100/" not in node.host.run("ip", "address", "show", "eth0")


@pytest.mark.parametrize("lacking", ["net_admin", "bpf", "perfmon"])
def test_guidewayd_says_which_capability_it_lacks(node: Node, lacking: str) -> None:
    enough = {"net_admin", "bpf", "perfmon"} - {lacking}
    few = ",".join(f"+{name}" for name in sorted(enough))
    daemon = (sys.executable, "-m", "control.daemon", "--config")
    limits = ("setpriv", f"--bounding-set=-all,{few}")

    with pytest.raises(Exception, match=f"needs CAP_{lacking.upper()}: run it as root"):
        node.host.run(*limits, *daemon, str(node.paths.guidewayd_file))
