"""The policy of a pool, by HTTP through the program and real daemons."""

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from select import poll

import pytest

from control.api.v1 import guideway_pb2 as pb
from tests.support.connections import Connection
from tests.support.daemon import guideway, restart
from tests.support.operator import change, change_one
from tests.support.wait import eventually
from vagrant.lab.lab import Lab
from vagrant.lab.node import Node
from vagrant.lab.topology import VIP, DrTopology, NatTopology


@pytest.fixture(scope="module", params=[DrTopology, NatTopology], ids=["dr", "nat"])
def lab(request) -> Iterator[Lab]:
    """Return a lab whose service has b1 and b2, and b3 as its sorry server."""
    kind = request.param
    service = kind.service(weights=(1, 1, 1))
    with Lab(f"q{os.getpid()}{kind.mode}", kind, (service,)) as made:
        made.start()
        sorry = service.backends[2]
        change(made, "backend", "remove", "web", "b3")
        change(made, "service", "change", "web", "--sorry-server", sorry.identity)
        yield made


def who_answers(lab: Lab, count: int = 40) -> set[str]:
    """Return who answers new connections; each asks once."""
    found = set()
    for _ in range(count):
        with Connection(lab) as connection:
            found.add(connection.backend)
    return found


def pool(lab: Lab) -> dict[str, object]:
    (node, *_) = lab.nodes.values()
    shown = json.loads(guideway(node, "service", "show", "web", "-o", "json"))
    return shown["pool"]


def wait_for_sorry(lab: Lab, *, serves: bool) -> None:
    for node in lab.nodes.values():
        eventually(
            lambda node=node: node.api.service("web").pool.sorry == serves,
            within=10,
            what=f"the sorry server serves: {serves}",
        )


def test_a_pool_dies_and_comes_back_and_meanwhile_the_sorry_server_answers(
    lab: Lab,
) -> None:
    assert who_answers(lab) == {"b1", "b2"}

    for backend in ("b1", "b2"):
        lab.kill_servers(backend)
    wait_for_sorry(lab, serves=True)

    assert who_answers(lab) == {"b3"}
    (node, *_) = lab.nodes.values()
    assert "the sorry server serves" in guideway(node, "service", "list")
    listing = guideway(node, "service", "list", "-o", "ipvsadm")
    sorry = str(pool(lab)["sorry_server"])
    assert [line.split()[3] for line in listing.splitlines() if sorry in line] == ["1"]
    with Connection(lab) as connection:
        assert connection.backend == "b3"

        for backend in ("b1", "b2"):
            lab.start_servers(backend)
        wait_for_sorry(lab, serves=False)
        for node in lab.nodes.values():
            eventually(
                lambda node=node: all(node.api.shares("web").values()),
                within=10,
                what="b1 and b2 are back",
            )

        assert who_answers(lab) == {"b1", "b2"}
        assert connection.ask() == "b3"  # what it has, stays


@pytest.mark.parametrize("lab", [DrTopology], ids=["dr"], indirect=True)
def test_a_quorum_with_hysteresis_is_lost_late_and_comes_back_late(lab: Lab) -> None:
    change(lab, "backend", "set", "web", "b1", "--weight", "2")
    change(lab, "service", "change", "web", "--quorum", "2", "--hysteresis", "1")

    lab.kill_servers("b1")
    wait_for_health(lab, b1=False, b2=True)
    assert who_answers(lab) == {"b2"}  # a weight of 1 is below the quorum, and enough

    lab.kill_servers("b2")
    wait_for_sorry(lab, serves=True)
    lab.start_servers("b1")
    wait_for_health(lab, b1=True, b2=False)
    assert who_answers(lab) == {"b3"}  # and 2 is the quorum, and not enough

    lab.start_servers("b2")
    wait_for_sorry(lab, serves=False)
    wait_for_health(lab, b1=True, b2=True)
    assert who_answers(lab, count=24) == {"b1", "b2"}
    change(lab, "service", "change", "web", "--quorum", "1", "--hysteresis", "0")
    change(lab, "backend", "set", "web", "b1", "--weight", "1")


@pytest.mark.parametrize("lab", [DrTopology], ids=["dr"], indirect=True)
def test_a_draining_backend_keeps_its_connections_until_its_deadline(lab: Lab) -> None:
    with ExitStack() as cleanup:
        connections = [cleanup.enter_context(Connection(lab)) for _ in range(16)]
        own = next(one for one in connections if one.backend == "b2")

        change(lab, "backend", "drain", "web", "b2", "--deadline", "10m")
        assert who_answers(lab) == {"b1"}
        assert own.ask() == "b2"

        change(lab, "backend", "drain", "web", "b2", "--deadline", "1s")
        for node in lab.nodes.values():
            eventually(
                lambda node=node: "deadline" in reasons(node)["b2"],
                within=15,
                what=f"{node.name} cuts the flows of b2",
            )
        with pytest.raises(OSError, match=r".*"):
            own.ask()
        assert {one.ask() for one in connections if one.backend == "b1"} == {"b1"}
    change(lab, "backend", "set", "web", "b2", "--state", "active")


@pytest.mark.parametrize("lab", [DrTopology], ids=["dr"], indirect=True)
def test_a_drain_is_waited_for_until_nobody_talks_to_the_backend(lab: Lab) -> None:
    (node, *_) = lab.nodes.values()

    said = guideway(node, "backend", "drain", "web", "b2", "--wait", "--quiet", "1s")

    assert "b2 is drained: nobody has sent it anything for 1s" in said
    guideway(node, "backend", "set", "web", "b2", "--state", "active")


@pytest.mark.parametrize("lab", [DrTopology], ids=["dr"], indirect=True)
def test_a_drain_is_waited_for_though_guidewayd_is_restarted(lab: Lab) -> None:
    (node, *_) = lab.nodes.values()
    drain = ("backend", "drain", "web", "b2", "--wait", "--quiet", "4s")

    def drains() -> bool:
        return reasons(node)["b2"] == "draining"

    with ThreadPoolExecutor(1) as worker:
        waiting = worker.submit(guideway, node, *drain)
        eventually(drains, within=10, what="b2 drains")
        restart(node)
        said = waiting.result(timeout=60)

    assert "b2 is drained: nobody has sent it anything for 4s" in said
    guideway(node, "backend", "set", "web", "b2", "--state", "active")


@pytest.mark.parametrize("lab", [DrTopology], ids=["dr"], indirect=True)
def test_a_backend_whose_clients_get_no_answer_is_suspected_until_they_do(
    lab: Lab,
) -> None:
    change(lab, "service", "change", "web", "--watch-handshakes")
    (active,) = (one for one in lab.nodes.values() if one.vrrp_state() == "active")

    with unanswered(lab, "b2"):
        until(lab, lambda: suspected(active) == ["b2"])
        until(lab, lambda: 0.1 < active.api.shares("web")["b2"] < 0.3)

        # Its checks, of its own address, pass all the time.
        states = {one.backend.name: one.health for one in backends(active)}
        assert states["b1"] == states["b2"]
        assert "b2 is suspected: " in guideway(active, "backend", "list", "web")

    until(lab, lambda: not suspected(active))
    until(lab, lambda: 0.4 < active.api.shares("web")["b2"] < 0.6)
    change(lab, "service", "change", "web", "--ignore-handshakes")


@contextmanager
def unanswered(lab: Lab, name: str) -> Iterator[None]:
    """Lose what a backend answers to clients that want to connect."""
    host = lab.topology.backends[name]
    hook = "{ type filter hook output priority 0; }"
    answers = f"ip saddr {VIP} tcp flags & (syn|ack) == syn|ack drop"
    table = f"add table ip lost; add chain ip lost out {hook}"
    host.run("nft", f"{table}; add rule ip lost out {answers}")
    try:
        yield
    finally:
        host.run("nft", "delete table ip lost")


def until(lab: Lab, condition: Callable[[], bool]) -> None:
    """Wait until it is so, while a client tries to connect forty times at a time."""

    def found() -> bool:
        with ExitStack() as cleanup:
            poller = poll()
            for _ in range(40):
                one = cleanup.enter_context(lab.client.socket())
                one.setblocking(False)  # noqa: FBT003
                one.connect_ex((str(VIP), 80))
                poller.register(one)
            poller.poll(100)
        return condition()

    eventually(found, within=20, what="handshakes are judged")


def suspected(node: Node) -> list[str]:
    return [one.backend.name for one in backends(node) if one.suspected]


def backends(node: Node):
    return node.api.service("web").backends


def reasons(node: Node) -> dict[str, str]:
    return {one.backend.name: one.reason for one in node.api.service("web").backends}


@pytest.mark.parametrize("lab", [DrTopology], ids=["dr"], indirect=True)
def test_a_backend_that_comes_back_gets_its_share_in_steps(lab: Lab) -> None:
    (node, *_) = lab.nodes.values()
    before = node.api.shares("web")
    change_one(node, "service", "change", "web", "--slow-start", "2s")
    assert node.api.shares("web") == before  # whoever serves has its whole weight
    found: list[float] = []

    def whole() -> bool:
        share = node.api.shares("web")["b2"]
        if share and (not found or share != found[-1]):
            found.append(share)
        return share == before["b2"]

    with ExitStack() as cleanup:
        kill(lab, "b2")
        connections = [cleanup.enter_context(Connection(lab)) for _ in range(16)]
        lab.start_servers("b2")
        eventually(whole, within=15, what="b2 has its whole share")
        assert {one.ask() for one in connections} == {"b1"}

    assert found == sorted(found)
    assert found[0] < 0.35
    assert len(found) > 2
    assert node.api.shares("web") == before


@pytest.mark.parametrize("lab", [DrTopology], ids=["dr"], indirect=True)
def test_a_restart_does_not_begin_a_slow_start_anew_and_does_not_end_it(lab: Lab) -> None:
    (node, *_) = lab.nodes.values()
    whole = node.api.shares("web")["b2"]
    change_one(node, "service", "change", "web", "--slow-start", "20s")
    kill(lab, "b2")
    lab.start_servers("b2")
    eventually(lambda: node.api.shares("web")["b2"], within=10, what="b2 serves")
    first = node.api.shares("web")["b2"]
    later = eventually(
        lambda: (share := node.api.shares("web")["b2"]) > first and share,
        within=15,
        what="the second step",
    )

    restart(node)

    (ramp,) = (one.ramp for one in node.api.service("web").backends if one.ramp)
    assert ramp < 1
    assert later <= node.api.shares("web")["b2"] < whole
    change_one(node, "service", "change", "web", "--slow-start", "0")
    assert node.api.shares("web")["b2"] == whole


def kill(lab: Lab, backend: str) -> None:
    """Kill a backend's server, and wait until no node gives it anything."""
    lab.kill_servers(backend)
    for node in lab.nodes.values():
        eventually(
            lambda node=node: not node.api.shares("web")[backend],
            within=10,
            what=f"{backend} is out on {node.name}",
        )


@pytest.mark.parametrize("lab", [DrTopology], ids=["dr"], indirect=True)
def test_when_checks_fail_for_no_reason_policies_say_who_serves_and_who_keeps_flows(
    lab: Lab,
) -> None:
    web = ("service", "change", "web")
    with ExitStack() as cleanup:
        connections = [cleanup.enter_context(Connection(lab)) for _ in range(16)]
        nobody_listens = ("--check", "tcp,port=81,interval=0.2,timeout=0.2,fall=1")
        policy = ("--sorry-server", "", "--slow-start", "0", "--keep-flows")
        change(lab, *web, *policy, "--when-all-down", "all", *nobody_listens)
        wait_for_kept(lab, "when_all_down: all", {"b1", "b2"})
        assert who_answers(lab) == {"b1", "b2"}

        change(lab, *web, "--when-all-down", "sorry", "--max-ejected", "0.5")
        (left,) = wait_for_kept(lab, "max_ejected")
        assert who_answers(lab) == {left}
        assert [one.ask() for one in connections] == [one.backend for one in connections]

        change(lab, *web, "--move-flows")
        others = [one for one in connections if one.backend != left]
        assert 0 < len(others) < len(connections)
        for one in others:
            with pytest.raises(OSError, match=r".*"):
                one.ask()


def wait_for_health(lab: Lab, **up: bool) -> None:
    """Wait until every node knows who of the backends is up, and its tables do."""

    def found(node: Node) -> bool:
        backends = node.api.service("web").backends
        well = {one.backend.name: one.health == pb.HEALTH_UP for one in backends}
        return well == up and not any(
            one.share for one in backends if not up[one.backend.name]
        )

    for node in lab.nodes.values():
        eventually(lambda node=node: found(node), within=15, what=f"who is up: {up}")


def wait_for_kept(lab: Lab, why: str, wanted: set[str] | None = None) -> set[str]:
    """Wait until every node keeps these backends, or else a single one, and return them."""
    found: set[str] = set()

    def kept(node: Node) -> bool:
        backends = node.api.service("web").backends
        found.clear()
        found.update(one.backend.name for one in backends if f"({why})" in one.kept)
        return found == wanted if wanted else len(found) == 1

    for node in lab.nodes.values():
        eventually(lambda node=node: kept(node), within=10, what=f"who is kept by {why}")
    return found
