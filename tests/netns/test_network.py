"""Reading the network: next hops, own addresses, and settings that NAT needs."""

import os
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest

from control.facts import Network, NextHop
from control.network import nat_warnings, survey
from tests.support.wait import eventually
from vagrant.lab.hosts import Host
from vagrant.lab.lab import Lab
from vagrant.lab.topology import NatTopology

BACKEND = NatTopology.backend_address("b1")
NOBODY = IPv4Address("10.20.0.99")
BEHIND = IPv4Address("198.51.100.7")  # behind b1, as a router
NOWHERE = IPv4Address("203.0.113.1")
DESTINATIONS = [BACKEND, NOBODY, BEHIND, NOWHERE]
INTERFACES = ["eth0", "eth1"]


@pytest.fixture(scope="module")
def node() -> Iterator[Host]:
    """Return a balancer on which nothing runs, with a route through b1."""
    with Lab(f"n{os.getpid()}", NatTopology) as lab:
        host = lab.topology.balancers["lb1"]
        host.run("ip", "route", "add", str(BEHIND), "via", str(BACKEND))
        yield host


def look(node: Host, before: Network, suspects=()) -> Network:
    with node.inside():
        return survey(INTERFACES, DESTINATIONS, suspects, before)


def learn(node: Host) -> Network:
    """Look until the kernel has resolved what it can."""
    network = Network()

    def resolved() -> bool:
        nonlocal network
        network = look(node, network)
        return network.next_hops[BACKEND].mac is not None

    eventually(resolved, within=5, what="b1 answers ARP")
    return network


def mac_of(node: Host, address: IPv4Address) -> bytes:
    text = node.run("ip", "neigh", "show", str(address)).split()
    return bytes.fromhex(text[text.index("lladdr") + 1].replace(":", ""))


def test_the_next_hop_of_a_neighbour_is_itself_and_is_resolved_by_looking(
    node: Host,
) -> None:
    hop = learn(node).next_hops[BACKEND]

    assert (hop.interface, hop.mac) == ("eth1", mac_of(node, BACKEND))


def test_the_next_hop_behind_a_router_is_the_routers(node: Host) -> None:
    network = learn(node)

    assert network.next_hops[BEHIND] == network.next_hops[BACKEND]


def test_who_does_not_answer_has_no_mac_and_what_has_no_route_no_hop(node: Host) -> None:
    network = learn(node)

    assert network.next_hops[NOBODY].mac is None
    assert NOWHERE not in network.next_hops


def test_a_neighbour_that_the_kernel_has_forgotten_keeps_its_mac_meanwhile(
    node: Host,
) -> None:
    before = learn(node)
    node.run("ip", "neigh", "flush", "dev", "eth1")

    assert look(node, before).next_hops[BACKEND] == before.next_hops[BACKEND]


def test_a_neighbour_that_has_failed_has_no_mac_any_more(node: Host) -> None:
    before = learn(node)
    last = before.next_hops[NOBODY]
    known = NextHop(last.interface, last.ifindex, last.source_mac, bytes(6))
    network = Network(next_hops={NOBODY: known})

    def failed() -> bool:
        nonlocal network
        network = look(node, network)
        return network.next_hops[NOBODY].mac is None

    eventually(failed, within=10, what="the kernel gives up asking", every=0.2)


def test_a_suspect_whose_mac_has_changed_is_known_by_the_new_one_soon(node: Host) -> None:
    network = learn(node)
    wrong = "02:00:00:00:00:99"
    node.run(
        "ip",
        "neigh",
        "replace",
        str(BACKEND),
        "lladdr",
        wrong,
        "dev",
        "eth1",
        "nud",
        "reachable",
    )
    network = look(node, network)
    assert network.next_hops[BACKEND].mac == bytes.fromhex(wrong.replace(":", ""))

    def mended() -> bool:
        nonlocal network
        network = look(node, network, suspects={BACKEND})
        return network.next_hops[BACKEND].mac != bytes.fromhex(wrong.replace(":", ""))

    eventually(mended, within=3, what="ARP was asked again")
    assert network.next_hops[BACKEND].mac == mac_of(node, BACKEND)


def test_interfaces_and_addresses_are_those_of_the_namespace(node: Host) -> None:
    network = learn(node)

    assert [interface.name for interface in network.interfaces] == INTERFACES
    own = NatTopology.balancer_addresses("lb1").values()
    assert network.addresses == {IPv4Address("127.0.0.1"), *own}


def test_settings_that_break_nat_are_named_with_their_remedy(node: Host) -> None:
    with node.inside():
        assert nat_warnings(["eth1"]) == ()
    node.sysctl("net.ipv4.conf.eth1.rp_filter", 1)
    node.sysctl("net.ipv4.conf.eth1.accept_local", 0)

    with node.inside():
        warnings = nat_warnings(["eth1"])

    assert [warning.split(",")[0] for warning in warnings] == [
        "NAT needs net.ipv4.conf.eth1.accept_local = 1",
        "NAT needs net.ipv4.conf.eth1.rp_filter = 0",
    ]
    assert all("`sysctl -w net.ipv4.conf.eth1." in warning for warning in warnings)
