"""Connections keep their backend while the table changes under them."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import yaml

from control.checks import TcpCheck
from tests.support.connections import Connection, moved
from tests.support.operator import change
from tests.support.wait import eventually
from vagrant.lab.lab import Lab
from vagrant.lab.topology import DrTopology, NatTopology

pytestmark = pytest.mark.alone

CONNECTIONS = 500
# Patient: a backend that a busy machine makes slow would rightly lose its connections.
CHECK = TcpCheck(interval=0.5, timeout=2, rise=1, fall=2)


@pytest.fixture(params=[DrTopology, NatTopology], ids=["dr", "nat"])
def lab(request) -> Iterator[Lab]:
    """Return a lab whose service has b1 and b2, and b3 at hand."""
    kind = request.param
    service = kind.service(weights=(1, 1, 0), check=CHECK)
    with Lab(f"a{os.getpid()}{kind.mode}", kind, (service,)) as made:
        made.start()
        yield made


@pytest.fixture
def connections(lab: Lab) -> Iterator[list[Connection]]:
    with ExitStack() as cleanup:
        yield [cleanup.enter_context(Connection(lab)) for _ in range(CONNECTIONS)]


def wait_for_share(lab: Lab, backend: str, *, some: bool) -> None:
    """Wait until ``backend`` has some of the slots, or none, on both nodes."""
    for node in lab.nodes.values():
        eventually(
            lambda node=node: (node.api.shares("web")[backend] > 0) == some,
            within=10,
            what=f"{backend} is {'back' if some else 'out'} on {node.name}",
        )


def who_gets_new_ones(lab: Lab, count: int = 200) -> Counter:
    answers = Counter()
    for _ in range(count):
        with Connection(lab) as connection:
            answers[connection.backend] += 1
    return answers


def test_500_connections_survive_every_change_of_the_table(
    lab: Lab, connections: list[Connection]
) -> None:
    assert set(Counter(c.backend for c in connections)) == {"b1", "b2"}

    change(lab, "backend", "set", "web", "b3", "--weight", "2")  # added
    assert moved(connections) == []
    shares = who_gets_new_ones(lab)
    assert shares["b3"] == pytest.approx(100, abs=35)

    change(lab, "backend", "set", "web", "b1", "--weight", "5")  # within the transition
    assert moved(connections) == []

    change(lab, "backend", "drain", "web", "b2")
    assert moved(connections) == []
    assert who_gets_new_ones(lab, 60)["b2"] == 0

    change(lab, "backend", "set", "web", "b2", "--state", "active")
    assert moved(connections) == []


def test_a_killed_backend_breaks_its_own_connections_and_no_others(
    lab: Lab, connections: list[Connection]
) -> None:
    change(lab, "backend", "set", "web", "b3", "--weight", "1")
    own = [connection for connection in connections if connection.backend == "b1"]

    lab.kill_servers("b1")
    wait_for_share(lab, "b1", some=False)

    broken = moved(connections)
    assert Counter(broken) == {"b1": len(own)}
    assert "b1" not in who_gets_new_ones(lab, 60)

    lab.start_servers("b1")
    wait_for_share(lab, "b1", some=True)
    alive = [connection for connection in connections if connection.backend != "b1"]
    assert moved(alive) == []


def test_connections_survive_a_restart_of_guidewayd_in_a_transition(
    lab: Lab, connections: list[Connection]
) -> None:
    change(lab, "backend", "set", "web", "b3", "--weight", "2")
    node = lab.nodes["lb1"]

    node.guidewayd.kill()
    assert moved(connections) == []
    node.guidewayd.start()
    node.wait_until_ready()

    assert moved(connections) == []


@pytest.mark.parametrize("limits", [{"slots": 131_072}, {"records": 65_536}], ids=str)
def test_connections_begun_in_a_transition_survive_another_program(
    lab: Lab, limits: dict[str, int]
) -> None:
    change(lab, "backend", "set", "web", "b3", "--weight", "2")
    with ExitStack() as cleanup:
        begun = [Connection(lab) for _ in range(100)]
        for connection in begun:
            cleanup.callback(connection.close)
        assert "b3" in {connection.backend for connection in begun}
        node = lab.nodes["lb1"]

        node.guidewayd.stop()
        content = yaml.safe_load(node.paths.guidewayd_file.read_text())
        content["limits"].update(limits)
        node.paths.guidewayd_file.write_text(yaml.safe_dump(content))
        node.guidewayd.start()
        node.wait_until_ready()

        assert not node.api.status().adopted
        assert moved(begun) == []
