"""A node that takes over knows the flows of the one before, amid a transition too."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from control.checks import TcpCheck
from tests.support.connections import Connection, moved
from tests.support.daemon import guideway
from tests.support.peers import follow_each_other
from tests.support.wait import eventually
from vagrant.lab.lab import Lab
from vagrant.lab.node import Node
from vagrant.lab.topology import DrTopology, NatTopology
from vrrp.inquiry import ask
from vrrp.requests import SOCKET_NAME, Failover

pytestmark = pytest.mark.alone

CONNECTIONS = 500
# Patient: a backend that a busy machine makes slow would rightly lose its connections.
CHECK = TcpCheck(interval=0.5, timeout=2, rise=1, fall=2)


@pytest.fixture(params=[DrTopology, NatTopology], ids=["dr", "nat"])
def lab(request) -> Iterator[Lab]:
    """Return a lab whose nodes follow each other, and whose service has b3 at hand."""
    kind = request.param
    service = kind.service(weights=(1, 1, 0), check=CHECK)
    with Lab(f"p{os.getpid()}{kind.mode}", kind, (service,)) as made:
        follow_each_other(made)
        made.start()
        yield made


def give_weight(node: Node, backend: str, weight: int) -> None:
    guideway(node, "backend", "set", "web", backend, "--weight", str(weight))
    eventually(node.api.answers, within=5, what="the kernel has the change")


def hand_over(node: Node, to: Node) -> None:
    socket = node.paths.vrrp_status.with_name(SOCKET_NAME)
    eventually(
        lambda: not ask(socket, Failover("lab"), 5).problem,
        within=5,
        what="the peer has taken over; one too busy to answer in time may be asked again",
    )
    to.wait_until_state("active")


def heard(node: Node) -> int:
    """Return how many flows a node was told, if it has heard everything a moment ago."""
    (peer,) = node.api.status().peers
    return peer.flows if peer.synced else 0


def test_500_connections_in_the_middle_of_a_transition_survive_every_failover(
    lab: Lab,
) -> None:
    one, two = lab.nodes["lb1"], lab.nodes["lb2"]
    with ExitStack() as cleanup:
        old = [cleanup.enter_context(Connection(lab)) for _ in range(CONNECTIONS // 2)]
        hand_over(one, two)  # nothing changes hands yet
        assert moved(old) == []
        hand_over(two, one)

        # Where the flows are it is said first; what they had before is known there only.
        give_weight(one, "b1", 3)
        give_weight(one, "b3", 2)
        new = [cleanup.enter_context(Connection(lab)) for _ in range(CONNECTIONS // 2)]
        assert Counter(each.backend for each in new)["b3"] > 0
        connections = old + new
        give_weight(two, "b3", 2)
        give_weight(two, "b1", 3)
        assert moved(connections) == []  # which leaves a record of each
        eventually(lambda: heard(two) >= CONNECTIONS // 4, within=5, what="flows are told")

        hand_over(one, two)
        assert moved(connections) == []

        one.power_off()
        one.power_on()  # with maps that have never seen a flow
        one.wait_until_ready()
        one.wait_until_state("active")
        assert heard(one) >= CONNECTIONS // 4
        assert moved(connections) == []

        one.power_off()
        two.wait_until_state("active")
        assert moved(connections) == []


@pytest.fixture
def sharing() -> Iterator[Lab]:
    """Return a lab with NAT services at two ports of the VIP, and the same backends."""
    web = NatTopology.service(check=CHECK)
    services = (web, replace(web, name="more", port=81))
    with Lab(f"p{os.getpid()}shared", NatTopology, services) as made:
        follow_each_other(made)
        made.start()
        yield made


@contextmanager
def servers_that_think(lab: Lab) -> Iterator[None]:
    """Let no server answer until the end; their hosts go on acknowledging."""
    programs = {each for servers in lab.servers.values() for each in servers.values()}
    pids = [program.pid for program in programs if program.pid is not None]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_an_answer_that_comes_after_a_failover_is_of_the_vip_that_was_asked(
    sharing: Lab,
) -> None:
    one, two = sharing.nodes["lb1"], sharing.nodes["lb2"]
    with ExitStack() as cleanup:
        connections = [
            cleanup.enter_context(Connection(sharing, port=port))
            for port in (80, 81)
            for _ in range(50)
        ]
        eventually(lambda: heard(two) >= len(connections), within=5, what="they are told")

        with servers_that_think(sharing):
            for each in connections:
                each.send()
            eventually(
                lambda: not any(each.unacknowledged for each in connections),
                within=5,
                what="clients have nothing more to say",
            )
            one.power_off()
            two.wait_until_state("active")

        assert [each.answer() for each in connections] == [c.backend for c in connections]
