"""Real TCP and UDP over IPv6 through one balancer, in both modes."""

import hashlib
import os
import socket
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPException
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from control.model import Protocol
from tests.support.counted import counted
from tests.support.wait import eventually
from vagrant.lab.lab import Lab
from vagrant.lab.node import Node
from vagrant.lab.segment import ipv6_of
from vagrant.lab.topology import VIP as IPV4_VIP
from vagrant.lab.topology import DrTopology, NatTopology

VIP = ipv6_of(IPV4_VIP)


@pytest.fixture(scope="module", params=[DrTopology, NatTopology], ids=["dr", "nat"])
def lab(request) -> Iterator[Lab]:
    """Return a lab in which lb1 serves both families, and lb2 does nothing."""
    kind = request.param
    services = (
        kind.service(),
        kind.service("web6", ipv6=True),
        kind.service("echo6", 53, Protocol.UDP, ipv6=True),
    )
    with Lab(
        f"s{os.getpid()}{kind.mode}", kind, services, large_file_bytes=4 << 20
    ) as made:
        for backend in made.servers:
            made.start_servers(backend)
            made.wait_for_servers(backend)
        made.nodes["lb1"].guidewayd.start()
        made.nodes["lb1"].wait_until_ready()
        for service in services:
            made.nodes["lb1"].wait_until_serving(service.name)
        made.nodes["lb1"].vrrpd.start()
        made.nodes["lb1"].wait_until_state("active")
        eventually(lambda: answered(made), within=5, what="the VIP is there")
        yield made


@pytest.fixture
def node(lab: Lab) -> Node:
    return lab.nodes["lb1"]


def who_answers(lab: Lab) -> str:
    with lab.client.inside(), urlopen(f"http://[{VIP}]/", timeout=5) as answer:
        return answer.headers["X-Backend"]


def answered(lab: Lab) -> bool:
    """Whether one request is answered."""
    try:
        return bool(who_answers(lab))
    except (OSError, HTTPException):
        return False


def answers(lab: Lab, backend: str) -> bool:
    """Whether it is ``backend`` that answers one request."""
    try:
        return who_answers(lab) == backend
    except (OSError, HTTPException):
        return False


def test_every_request_is_answered_and_shares_follow_the_weights(lab: Lab) -> None:
    answered = Counter(who_answers(lab) for _ in range(600))

    for name, weight in (("b1", 3), ("b2", 2), ("b3", 1)):
        assert abs(answered[name] - 100 * weight) < 60, answered


def test_a_large_file_arrives_intact(lab: Lab) -> None:
    with lab.client.inside(), urlopen(f"http://[{VIP}]/{lab.large_file.name}") as answer:
        received = hashlib.sha256(answer.read()).digest()

    assert received == hashlib.sha256(lab.large_file.read_bytes()).digest()


@pytest.mark.parametrize("size", [0, 1, 512, 1400])
def test_datagrams_are_answered_by_the_vip(lab: Lab, size: int) -> None:
    names = set()
    for _ in range(100):
        with lab.client.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.connect((str(VIP), 53))  # takes answers of the VIP's only
            client.send(b"x" * size)
            name, _, data = client.recv(2048).partition(b" ")
        assert data == b"x" * size
        names.add(name)

    assert names == {b"b1", b"b2", b"b3"}


def test_a_port_without_a_service_is_refused_by_the_node_itself(lab: Lab) -> None:
    with lab.client.inside(), pytest.raises(URLError, match="Connection refused"):
        urlopen(f"http://[{VIP}]:81/", timeout=5)


def test_the_node_answers_pings_to_the_vip_and_to_itself(lab: Lab) -> None:
    own = ipv6_of(lab.topology.balancer_addresses("lb1")["eth0"])

    for address in (VIP, own):
        assert "1 received" in lab.client.run("ping", "-c1", "-W2", str(address))


def test_what_was_forwarded_is_counted_by_reason_service_and_backend(
    lab: Lab, node: Node
) -> None:
    reason = f"forwarded_{lab.topology.mode}"

    gained = counted(node, reason, lambda: who_answers(lab))

    assert gained[0] >= 5
    assert gained[0] == gained[1] == gained[2]


def test_a_client_whose_mac_the_node_has_forgotten_is_answered(
    lab: Lab, node: Node
) -> None:
    who_answers(lab)
    node.host.run("ip", "-6", "neigh", "flush", "dev", "eth0")

    assert who_answers(lab) in {"b1", "b2", "b3"}


def test_a_dead_backend_is_taken_out_and_put_back(lab: Lab, node: Node) -> None:
    lab.kill_servers("b2")
    eventually(lambda: node.api.shares("web6")["b2"] == 0, within=5, what="it is out")
    assert {who_answers(lab) for _ in range(100)} == {"b1", "b3"}

    lab.start_servers("b2")
    eventually(lambda: node.api.shares("web6")["b2"] > 0, within=10, what="it is back")
    eventually(lambda: answers(lab, "b2"), within=5, what="it answers")


def test_a_backend_with_another_mac_is_served_again_soon(lab: Lab, node: Node) -> None:
    mac = "02:00:00:00:00:77"
    lab.topology.backends["b1"].run("ip", "link", "set", "eth0", "address", mac)

    # Whether it is out in between depends on who asks for whom first.
    eventually(lambda: node.api.mac("web6", "b1") == mac, within=15, what="it is known")
    eventually(lambda: node.api.shares("web6")["b1"] > 0, within=8, what="it is in")
    eventually(lambda: answers(lab, "b1"), within=5, what="it answers")


def test_the_node_needs_no_mending(node: Node) -> None:
    eventually(lambda: not node.api.status().warnings, within=5, what="no warning")


def test_no_receiver_has_seen_a_wrong_checksum(lab: Lab) -> None:
    for host in (lab.client, *lab.topology.backends.values()):
        lines = host.run("cat", "/proc/net/snmp6").splitlines()
        counters = dict(line.split() for line in lines)
        # TCP counts for both families together.
        rows = host.run("cat", "/proc/net/snmp").splitlines()
        names, values = (row.split() for row in rows if row.startswith("Tcp:"))
        counters |= dict(zip(names, values, strict=True))
        wrong = {name: n for name, n in counters.items() if "CsumErrors" in name}
        assert set(wrong) >= {"InCsumErrors", "Udp6InCsumErrors", "Icmp6InCsumErrors"}
        assert set(wrong.values()) == {"0"}, (host.name, wrong)
