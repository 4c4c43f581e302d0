"""Jumbo frames, which lie in several buffers, through the balancer in both modes."""

import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from socket import AF_INET6

import pytest

from control.addresses import IpAddress
from vagrant.lab.hosts import Host
from vagrant.lab.lab import Lab
from vagrant.lab.segment import ipv6_of
from vagrant.lab.topology import VIP, DrTopology, NatTopology
from vagrant.lab.wait import PATIENCE

MTU = 9000
WITHIN = 20 * PATIENCE  # seconds
ONE_BUFFER = 3520  # bytes, on veth with pages of 4096 bytes
SENT = Random(9).randbytes(8 << 20)
SERVICES = {"sink": VIP, "sink6": ipv6_of(VIP)}


@pytest.fixture(scope="module", params=[DrTopology, NatTopology], ids=["dr", "nat"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Return a lab with an MTU of 9000 in which lb1 and b1 serve."""
    kind = request.param
    services = tuple(
        kind.service(name, 80, weights=(1,), check=None, ipv6=vip.version == 6)
        for name, vip in SERVICES.items()
    )
    with Lab(f"j{os.getpid()}{kind.mode}", kind, services) as made:
        topology = made.topology
        hosts = made.client, *topology.balancers.values(), *topology.backends.values()
        for host in (*(segment.switch for segment in topology.segments), *hosts):
            allow_jumbo_frames(host)
        node = made.nodes["lb1"]
        node.start()
        for name in SERVICES:
            node.wait_until_serving(name)
        node.wait_until_state("active")
        yield made


def allow_jumbo_frames(host: Host) -> None:
    with host.netlink() as ip:
        for link in ip.get_links():
            if link.get("ifname") not in {"lo", "bridge"}:  # that one takes its legs'
                ip.link("set", index=link["index"], mtu=MTU)


def traffic(lab: Lab, name: str) -> tuple[int, int]:
    """Return the packets and bytes that went to a service."""
    stats = lab.nodes["lb1"].api.statistics()
    found = next(each.traffic for each in stats.services if each.service == name)
    return found.packets, found.bytes


def listener(lab: Lab) -> socket.socket:
    """Listen where b1 serves."""
    kind = type(lab.topology)
    port = kind.service(weights=(1,)).backends[0].port
    with lab.topology.backends["b1"].inside():
        return socket.create_server(("", port), family=AF_INET6, dualstack_ipv6=True)


def serve_once(server: socket.socket) -> bytes:
    """Take what one client sends, and send it back, the last byte first."""
    with server:
        server.settimeout(WITHIN)
        connection, _ = server.accept()
    with connection:
        connection.settimeout(WITHIN)
        came = receive(connection)
        connection.sendall(came[::-1])
    return came


def send(lab: Lab, vip: IpAddress) -> bytes:
    """Send everything to a VIP; return what comes back."""
    with lab.client.inside():
        connection = socket.create_connection((str(vip), 80), timeout=WITHIN)
    with connection:
        connection.sendall(SENT)
        connection.shutdown(socket.SHUT_WR)
        return receive(connection)


def receive(connection: socket.socket) -> bytes:
    parts = iter(lambda: connection.recv(1 << 20), b"")
    return b"".join(parts)


@pytest.mark.parametrize("name", SERVICES)
def test_a_connection_in_jumbo_frames_carries_all_bytes_both_ways(
    lab: Lab, name: str
) -> None:
    before = traffic(lab, name)

    with ThreadPoolExecutor() as pool:
        serving = pool.submit(serve_once, listener(lab))
        came_back = send(lab, SERVICES[name])
    arrived = serving.result()

    after = traffic(lab, name)
    packets, size = (now - then for now, then in zip(after, before, strict=True))
    assert arrived == SENT
    assert came_back == SENT[::-1]
    assert size > len(SENT) + packets * 50  # every byte is counted, with its headers
    assert len(SENT) / packets > ONE_BUFFER / 2  # half of them may be bare ACKs
