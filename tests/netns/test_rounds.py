"""A file that replaces all services of full maps: guidewayd gets there by itself."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from signal import SIGHUP
from typing import Any

import pytest

from dataplane.generation import found
from dataplane.maps import Maps
from tests.support.daemon import edit
from tests.support.wait import eventually
from vagrant.lab.lab import Lab
from vagrant.lab.node import Node
from vagrant.lab.topology import DrTopology

STEP = "kernel updated as far as there is room"


@pytest.fixture
def node(lab_name: str) -> Iterator[Node]:
    """Return a node whose maps have room for two services, and for one that is new."""
    service = DrTopology.service(check=None)
    with Lab(lab_name, DrTopology, (service,)) as lab:
        made = lab.nodes["lb1"]
        edit(made, lambda file: file["limits"].update(services=3, backends=8))
        want(made, 1, 2)
        made.guidewayd.start()
        made.wait_until_ready()
        eventually(lambda: vips(made) == {"10.0.1.1", "10.0.1.2"}, within=10, what="both")
        yield made


def want(node: Node, *numbers: int) -> None:
    """Write a file with services like the lab's at other VIPs."""

    def replace_services(file: dict[str, Any]) -> None:
        one = file["services"][0]
        file["services"] = [
            {**one, "name": f"s{number}", "vip": f"10.0.1.{number}"} for number in numbers
        ]

    edit(node, replace_services)


def vips(node: Node) -> set[str]:
    """Return the VIPs of the services that have a ring."""
    (only,) = found(node.paths.pins(node.name))
    with closing(Maps(Path(only.directory))) as maps:
        services = maps.read().services
    return {str(key.address) for key, service in services.items() if service.ring_size}


def hang_up(node: Node) -> None:
    assert node.guidewayd.pid is not None
    os.kill(node.guidewayd.pid, SIGHUP)


def is_settled(node: Node) -> bool:
    status = node.api.status()
    return status.applied_version == status.desired_version and not any(
        "no room" in warning for warning in status.warnings
    )


def test_a_reload_that_replaces_all_services_of_full_maps_is_applied(node: Node) -> None:
    want(node, 3, 4)
    hang_up(node)

    eventually(lambda: vips(node) == {"10.0.1.3", "10.0.1.4"}, within=10, what="both")
    eventually(lambda: is_settled(node), within=10, what="nobody waits")
    assert STEP in node.guidewayd.log.read_text()


def test_a_start_with_a_file_that_replaces_them_goes_on_from_what_a_killed_one_left(
    node: Node,
) -> None:
    want(node, 3, 4)
    hang_up(node)
    node.guidewayd.kill()  # before, between or after the steps
    want(node, 5, 6)

    node.guidewayd.start()
    node.wait_until_ready()

    assert vips(node) == {"10.0.1.5", "10.0.1.6"}
    assert is_settled(node)
