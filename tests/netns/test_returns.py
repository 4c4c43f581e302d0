"""NAT services that share backends, and one that knows its own replies: real TCP."""

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from control.checks import TcpCheck
from tests.support.connections import Connection
from tests.support.operator import change
from tests.support.wait import eventually
from vagrant.lab.lab import Lab
from vagrant.lab.topology import NatTopology

CONNECTIONS = 50
CHECK = TcpCheck(interval=0.5, timeout=2, rise=1, fall=2)
B1 = NatTopology.backend_address("b1")
INNER_PORT = 8080


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Return a lab whose service `web` is at port 80 of the VIP."""
    service = NatTopology.service(check=CHECK)
    with Lab(f"t{os.getpid()}", NatTopology, (service,)) as made:
        made.start()
        yield made


def connect(lab: Lab, cleanup: ExitStack, port: int) -> list[Connection]:
    return [cleanup.enter_context(Connection(lab, port=port)) for _ in range(CONNECTIONS)]


def add_second_service(lab: Lab) -> None:
    """Let `more`, at port 81 of the VIP, have the same backends."""
    backends = (f"{backend.address}:{backend.port}" for backend in lab.services[0].backends)
    options = (part for backend in backends for part in ("--backend", backend))
    vip = str(lab.services[0].vip)
    place = ("--vip", vip, "--port", "81", "--mode", "nat")
    change(lab, "service", "add", "more", *place, *options, "--no-check")
    for node in lab.nodes.values():
        node.wait_until_serving("more")


def test_services_that_share_backends_do_not_disturb_each_others_connections(
    lab: Lab,
) -> None:
    with ExitStack() as cleanup:
        first = connect(lab, cleanup, 80)
        add_second_service(lab)
        both = [*first, *connect(lab, cleanup, 81), *connect(lab, cleanup, 80)]

        assert [each.ask() for each in both] == [each.backend for each in both]

        change(lab, "service", "remove", "more")

        left = [*first, *both[-CONNECTIONS:]]
        assert [each.ask() for each in left] == [each.backend for each in left]


def test_a_service_of_every_port_shares_backends_with_one_of_a_port(lab: Lab) -> None:
    with ExitStack() as cleanup:
        web = connect(lab, cleanup, 80)
        backends = (str(backend.address) for backend in lab.services[0].backends)
        options = (part for backend in backends for part in ("--backend", backend))
        place = ("--vip", str(lab.services[0].vip), "--port", "0", "--mode", "nat")
        change(lab, "service", "add", "all", *place, *options, "--no-check")
        for node in lab.nodes.values():
            node.wait_until_serving("all")
        every = [*web, *connect(lab, cleanup, INNER_PORT), *connect(lab, cleanup, 80)]

        assert [each.ask() for each in every] == [each.backend for each in every]

        change(lab, "service", "remove", "web")

        left = every[CONNECTIONS:-CONNECTIONS]
        assert [each.ask() for each in left] == [each.backend for each in left]


def can_talk_to_b1_directly(lab: Lab) -> bool:
    try:
        with Connection(lab, B1, INNER_PORT, patience=1) as connection:
            return connection.backend == "b1"
    except OSError:
        return False


def test_with_tracked_returns_backends_can_be_reached_through_the_node_too(
    lab: Lab,
) -> None:
    gateway = NatTopology.balancer_addresses("lb1")["eth0"]
    lab.client.run("ip", "route", "add", f"{B1}/32", "via", str(gateway))
    with ExitStack() as cleanup:
        connections = connect(lab, cleanup, 80)
        assert not can_talk_to_b1_directly(lab)

        # Those connections are not written down yet, and may be silent for 15 minutes.
        change(lab, "service", "change", "web", "--returns", "tracked")
        assert [each.ask() for each in connections] == [c.backend for c in connections]

    change(lab, "service", "remove", "web")
    service = lab.services[0]
    place = ("--vip", str(service.vip), "--port", "80", "--mode", "nat")
    change(
        lab,
        "service",
        "add",
        "web",
        *place,
        "--returns",
        "tracked",
        "--backend",
        f"{B1}:{INNER_PORT}",
        "--no-check",
    )
    eventually(lambda: can_talk_to_b1_directly(lab), within=10, what="b1 answers as itself")
    with Connection(lab) as connection:
        assert connection.backend == "b1"
