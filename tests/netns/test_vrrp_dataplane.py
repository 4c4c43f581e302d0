"""A node that cannot balance leaves the addresses to the other: both daemons, for real."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from control.api.v1 import guideway_pb2 as pb
from control.checks import TcpCheck
from tests.support.wait import eventually
from vagrant.lab.daemon_files import INSTANCE
from vagrant.lab.lab import Lab
from vagrant.lab.node import Node
from vagrant.lab.topology import DrTopology

pytestmark = pytest.mark.waiting


@pytest.fixture
def lab(lab_name: str) -> Iterator[Lab]:
    # A probe may take its time: so long is it unknown who can serve.
    check = TcpCheck(interval=6, timeout=5, rise=1, fall=1)
    with Lab(lab_name, DrTopology, (DrTopology.service(check=check),)) as made:
        made.start()
        made.nodes["lb1"].wait_until_state("active")
        yield made


def weigh(node: Node, weight: int) -> None:
    """Give all backends of the node's file a weight, and let guidewayd read it."""
    path = node.paths.guidewayd_file
    content = yaml.safe_load(path.read_text())
    for service in content["services"]:
        for backend in service["backends"]:
            backend["weight"] = weight
    path.write_text(yaml.safe_dump(content))
    assert node.guidewayd.pid is not None
    os.kill(node.guidewayd.pid, signal.SIGHUP)


def test_a_node_whose_data_plane_is_gone_hands_over_until_it_has_one_and_has_probed(
    lab: Lab,
) -> None:
    one, two = lab.nodes["lb1"], lab.nodes["lb2"]
    one.guidewayd.stop()  # which by itself changes nothing
    assert one.vrrp_state() == "active"

    daemon = (sys.executable, "-m", "control.daemon")
    one.host.run(*daemon, "--config", str(one.paths.guidewayd_file), "--detach")

    one.wait_until_state("initialize")
    two.wait_until_state("active")

    one.paths.state_directory.joinpath("health.db").unlink()  # it remembers nothing
    answer_probes(lab, one, "del")
    one.guidewayd.start()
    under_way = ("ss", "-Htn", "state", "syn-sent")
    eventually(lambda: one.host.run(*under_way), within=20, what="lb1 probes")
    begun = time.monotonic()
    eventually(lambda: time.monotonic() > begun + 1, within=2, what="it has had its time")
    unserved = f"data-plane: guidewayd has not served: there is no {one.paths.beacon}"
    assert problem(one).startswith(unserved)
    assert two.vrrp_state() == "active"

    answer_probes(lab, one, "add")
    one.wait_until_state("active", within=20)
    two.wait_until_state("backup")
    assert {each.health for each in one.api.service("web").backends} == {pb.HEALTH_UP}


def answer_probes(lab: Lab, node: Node, verb: str) -> None:
    """Let backends find the way to a node ("add"), or let them not ("del")."""
    own = DrTopology.balancer_addresses(node.name)["eth0"]
    other = {"add": "del", "del": "add"}[verb]
    for host in lab.topology.backends.values():
        host.run("ip", "route", other, "blackhole", f"{own}/32")


def test_a_program_that_somebody_takes_from_the_interface_is_missed(lab: Lab) -> None:
    one, two = lab.nodes["lb1"], lab.nodes["lb2"]
    one.guidewayd.stop()  # else it would attach again

    for link in (one.paths.pins("lb1") / "links").iterdir():
        link.unlink()

    one.wait_until_state("initialize")
    two.wait_until_state("active")


def test_a_node_without_backends_hands_over_to_one_that_has_some(lab: Lab) -> None:
    one, two = lab.nodes["lb1"], lab.nodes["lb2"]

    weigh(one, 0)

    two.wait_until_state("active")
    one.wait_until_state("backup")
    weigh(one, 1)
    one.wait_until_state("active")


def test_where_no_node_has_a_backend_the_addresses_stay(lab: Lab) -> None:
    one, two = lab.nodes["lb1"], lab.nodes["lb2"]
    weigh(two, 0)
    eventually(lambda: '"serving": 0' in two.paths.beacon.read_text(), within=5, what="0")
    eventually(lambda: priority(two) == 1, within=5, what="two stands back")

    weigh(one, 0)

    eventually(lambda: priority(one) == 90, within=5, what="one would stand back")
    assert one.vrrp_state() == "active"
    assert two.vrrp_state() == "backup"


def priority(node: Node) -> int:
    return int(shown(node)["priority"])


def problem(node: Node) -> str:
    return str(shown(node)["problem"]) if node.paths.vrrp_status.exists() else ""


def shown(node: Node) -> dict[str, Any]:
    content = yaml.safe_load(node.paths.vrrp_status.read_text())
    found: dict[str, Any] = content[INSTANCE]
    return found
