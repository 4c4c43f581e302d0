"""Real TCP and UDP through the balancer, in both modes."""

import hashlib
import json
import os
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from control.model import Protocol
from tests.support.counted import counted
from tests.support.daemon import guideway
from vagrant.lab.lab import Lab
from vagrant.lab.node import Node
from vagrant.lab.topology import CLIENT, VIP, DrTopology, NatTopology

pytestmark = pytest.mark.waiting


@pytest.fixture(scope="module", params=[DrTopology, NatTopology], ids=["dr", "nat"])
def lab(request) -> Iterator[Lab]:
    """Return a lab with a web service and a UDP one, everything running."""
    kind = request.param
    services = (kind.service(), kind.service("echo", 53, Protocol.UDP))
    with Lab(
        f"f{os.getpid()}{kind.mode}", kind, services, large_file_bytes=4 << 20
    ) as made:
        made.start()
        yield made


def who_answers(lab: Lab) -> str:
    with lab.client.inside(), urlopen(f"http://{VIP}/", timeout=5) as answer:
        return answer.headers["X-Backend"]


def test_every_request_is_answered_and_shares_follow_the_weights(lab: Lab) -> None:
    answers = Counter(who_answers(lab) for _ in range(600))

    for name, weight in (("b1", 3), ("b2", 2), ("b3", 1)):
        assert abs(answers[name] - 100 * weight) < 60, answers


def test_a_large_file_arrives_intact(lab: Lab) -> None:
    with lab.client.inside(), urlopen(f"http://{VIP}/{lab.large_file.name}") as answer:
        received = hashlib.sha256(answer.read()).digest()

    assert received == hashlib.sha256(lab.large_file.read_bytes()).digest()


@pytest.mark.parametrize("size", [0, 1, 512, 1400])
def test_datagrams_are_answered_by_the_vip(lab: Lab, size: int) -> None:
    names = set()
    for _ in range(100):
        with lab.client.socket(kind=socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.connect((str(VIP), 53))  # takes answers of the VIP's only
            client.send(b"x" * size)
            name, _, data = client.recv(2048).partition(b" ")
        assert data == b"x" * size
        names.add(name)

    assert names == {b"b1", b"b2", b"b3"}


def test_all_datagrams_of_one_socket_go_to_one_backend(lab: Lab) -> None:
    with lab.client.socket(kind=socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect((str(VIP), 53))
        names = set()
        for _ in range(30):
            client.send(b"?")
            names.add(client.recv(64))

    assert len(names) == 1


def test_a_port_without_a_service_is_refused_by_the_node_itself(lab: Lab) -> None:
    with lab.client.inside(), pytest.raises(URLError, match="Connection refused"):
        urlopen(f"http://{VIP}:81/", timeout=5)


def test_the_node_answers_pings_to_the_vip_and_to_itself(lab: Lab) -> None:
    for address in (VIP, lab.topology.balancer_addresses("lb1")["eth0"]):
        assert "1 received" in lab.client.run("ping", "-c1", "-W2", str(address))


def test_no_receiver_has_seen_a_wrong_checksum(lab: Lab) -> None:
    hosts = [lab.client, *lab.topology.backends.values()]

    wrong = {host.name: host.run("cat", "/proc/net/snmp") for host in hosts}

    for name, text in wrong.items():
        rows = [
            line.split() for line in text.splitlines() if line.startswith(("Tcp:", "Udp:"))
        ]
        for header, values in zip(rows[::2], rows[1::2], strict=True):
            counters = dict(zip(header, values, strict=True))
            assert counters["InCsumErrors"] == "0", (name, header[0])


def test_what_was_forwarded_is_counted_by_reason_service_and_backend(lab: Lab) -> None:
    node = lab.nodes["lb1"]
    reason = f"forwarded_{lab.topology.mode}"

    gained = counted(node, reason, lambda: who_answers(lab))

    assert gained[0] >= 5
    assert gained[0] == gained[1] == gained[2]


def test_a_connection_goes_to_the_backend_that_explain_has_named(lab: Lab) -> None:
    # No port that a connection before this one may have had.
    node, ports, named = lab.nodes["lb1"], range(20001, 20004), {}
    before = flows(node)
    for port in ports:
        words = ("-o", "json", "explain", "tcp", f"{CLIENT}:{port}", f"{VIP}:80")
        named[port] = json.loads(guideway(node, *words))["backend"]["name"]
    assert flows(node) == before

    assert {port: who_answers_from(lab, port) for port in ports} == named


def test_explain_says_what_becomes_of_a_packet_to_no_service(lab: Lab) -> None:
    node, flow = lab.nodes["lb1"], (f"{CLIENT}:40001", f"{VIP}:81")

    said = guideway(node, "explain", "tcp", *flow)

    assert said.startswith(f"passed to the host: no service has {VIP}:81/tcp\n")


def flows(node: Node) -> int:
    """Return how many SYNs were counted, for whatever reason."""
    return sum(each.traffic.flows for each in node.api.statistics().reasons)


def who_answers_from(lab: Lab, port: int) -> str | None:
    connection = HTTPConnection(str(VIP), timeout=5, source_address=(str(CLIENT), port))
    with lab.client.inside(), closing(connection):
        connection.request("GET", "/")
        return connection.getresponse().getheader("X-Backend")
