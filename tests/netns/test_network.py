"""Reading the network: next hops, own addresses, and settings that NAT needs."""

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, IPv6Interface, ip_address

import pytest

from control.addresses import IpAddress
from control.facts import Network, NextHop
from control.netlink import find_ways
from control.network import Surveyor, nat_warnings, source_warnings, survey
from tests.support.wait import eventually
from vagrant.lab.hosts import Host
from vagrant.lab.lab import Lab
from vagrant.lab.segment import ipv6_of
from vagrant.lab.topology import VIP, NatTopology, hold_ipv6_vip, route_replies

INTERFACES = ["eth0", "eth1"]
ROUTED_BY_IPV6 = IPv4Address("198.51.100.8")  # behind b1, by an IPv6 next hop


@dataclass(frozen=True)
class Places:
    """Destinations of one family."""

    backend: IpAddress
    nobody: IpAddress
    behind: IpAddress  # behind b1, as a router
    nowhere: IpAddress

    @property
    def all(self) -> list[IpAddress]:
        return [self.backend, self.nobody, self.behind, self.nowhere]


IPV4 = Places(
    NatTopology.backend_address("b1"),
    IPv4Address("10.20.0.99"),
    IPv4Address("198.51.100.7"),
    IPv4Address("203.0.113.1"),
)
IPV6 = Places(
    ipv6_of(NatTopology.backend_address("b1")),
    IPv6Address("2001:db8:20::99"),
    IPv6Address("2001:db8:7::7"),
    IPv6Address("2001:db8:ffff::1"),
)
DESTINATIONS = [*IPV4.all, *IPV6.all, ROUTED_BY_IPV6]


@pytest.fixture(params=[IPV4, IPV6], ids=["ipv4", "ipv6"])
def at(request) -> Places:
    """Return the destinations of each family in turn."""
    return request.param


@pytest.fixture
def node(balancer: Host) -> Host:
    """Return it with the settings that NAT needs, whatever a test before has left."""
    route_replies(balancer)
    balancer.sysctl("net.ipv6.conf.eth1.forwarding", 1)
    return balancer


@pytest.fixture(scope="module")
def balancer() -> Iterator[Host]:
    """Return a balancer on which nothing runs, with routes through b1."""
    with Lab(f"n{os.getpid()}", NatTopology) as lab:
        host = lab.topology.balancers["lb1"]
        hold_ipv6_vip(host)
        router = link_local(lab.topology.backends["b1"], "eth0")
        for route in (
            (str(IPV4.behind), "via", str(IPV4.backend)),
            (str(IPV6.behind), "via", str(router), "dev", "eth1"),
            (str(ROUTED_BY_IPV6), "via", "inet6", str(router), "dev", "eth1"),
        ):
            host.run("ip", "route", "add", *route)
        yield host


def link_local(host: Host, interface: str) -> IPv6Address:
    words = host.run("ip", "-6", "-brief", "address", "show", "dev", interface).split()
    addresses = (IPv6Interface(word).ip for word in words[2:])
    return next(address for address in addresses if address.is_link_local)


def look(node: Host, before: Network, suspects=()) -> Network:
    with node.inside():
        return survey(INTERFACES, DESTINATIONS, suspects, before)


def learn(node: Host) -> Network:
    """Look until the kernel has resolved what it can."""
    network = Network()

    def resolved() -> bool:
        nonlocal network
        network = look(node, network)
        there = (IPV4.backend, IPV6.backend, IPV6.behind)
        return all(network.next_hops[address].mac is not None for address in there)

    eventually(resolved, within=5, what="b1 says who it is")
    return network


def mac_of(node: Host, address: IpAddress) -> bytes:
    text = node.run("ip", "neigh", "show", str(address)).split()
    return bytes.fromhex(text[text.index("lladdr") + 1].replace(":", ""))


def test_the_next_hop_of_a_neighbour_is_itself_and_is_resolved_by_looking(
    node: Host, at: Places
) -> None:
    hop = learn(node).next_hops[at.backend]

    assert (hop.interface, hop.mac) == ("eth1", mac_of(node, at.backend))


def test_the_next_hop_behind_a_router_is_the_routers(node: Host, at: Places) -> None:
    network = learn(node)

    assert network.next_hops[at.behind] == network.next_hops[at.backend]


def test_the_router_of_an_ipv4_route_may_be_known_by_ipv6(node: Host) -> None:
    network = learn(node)

    by_ipv6 = network.next_hops[IPV6.behind]
    own = network.next_hops[IPV4.behind].source
    assert network.next_hops[ROUTED_BY_IPV6] == replace(by_ipv6, source=own)


def test_who_does_not_answer_has_no_mac_and_what_has_no_route_no_hop(
    node: Host, at: Places
) -> None:
    network = learn(node)

    assert network.next_hops[at.nobody].mac is None
    assert at.nowhere not in network.next_hops


def test_a_neighbour_that_the_kernel_has_forgotten_keeps_its_mac_meanwhile(
    node: Host, at: Places
) -> None:
    before = learn(node)
    node.run("ip", "neigh", "flush", "dev", "eth1")

    assert look(node, before).next_hops[at.backend] == before.next_hops[at.backend]


def test_a_neighbour_that_has_failed_has_no_mac_any_more(node: Host, at: Places) -> None:
    before = learn(node)
    last = before.next_hops[at.nobody]
    known = NextHop(last.interface, last.ifindex, last.source_mac, bytes(6))
    network = Network(next_hops={at.nobody: known})

    def failed() -> bool:
        nonlocal network
        network = look(node, network)
        return network.next_hops[at.nobody].mac is None

    eventually(failed, within=10, what="the kernel gives up asking", every=0.2)


def test_a_suspect_whose_mac_has_changed_is_known_by_the_new_one_soon(
    node: Host, at: Places
) -> None:
    network = learn(node)
    wrong = "02:00:00:00:00:99"
    known = ("lladdr", wrong, "dev", "eth1", "nud", "reachable")

    def misled() -> bool:
        """Whether it believes it: an answer to a question of before may come in between."""
        nonlocal network
        node.run("ip", "neigh", "replace", str(at.backend), *known)
        network = look(node, network)
        return network.next_hops[at.backend].mac == bytes.fromhex(wrong.replace(":", ""))

    def mended() -> bool:
        nonlocal network
        network = look(node, network, suspects={at.backend})
        return network.next_hops[at.backend].mac != bytes.fromhex(wrong.replace(":", ""))

    eventually(misled, within=5, what="it has the wrong one")
    eventually(mended, within=10, what="it was asked again")
    assert network.next_hops[at.backend].mac == mac_of(node, at.backend)


def test_interfaces_and_addresses_are_those_of_the_namespace(node: Host) -> None:
    network = learn(node)

    assert [interface.name for interface in network.interfaces] == INTERFACES
    own = NatTopology.balancer_addresses("lb1").values()
    assert network.addresses == {
        ip_address("127.0.0.1"),
        ip_address("::1"),
        ipv6_of(VIP),
        *own,
        *map(ipv6_of, own),
        *(link_local(node, interface) for interface in INTERFACES),
    }


def test_a_vip_that_health_checks_may_come_from_is_named_with_the_remedy(
    node: Host,
) -> None:
    vip = IPv6Address("2001:db8:20::100")
    node.run("ip", "address", "add", f"{vip}/128", "dev", "eth1", "nodad")
    network = learn(node)
    assert source_warnings({ipv6_of(VIP)}, network) == ()

    (warning,) = source_warnings({ipv6_of(VIP), vip}, network)
    _, remedy, _ = warning.split("`")
    node.run(*remedy.split())

    assert warning.startswith("health checks may come from 2001:db8:20::100, and")
    assert source_warnings({vip}, learn(node)) == ()
    node.run("ip", "address", "del", f"{vip}/128", "dev", "eth1")


def test_settings_that_break_nat_are_named_with_their_remedy(node: Host) -> None:
    with node.inside():
        assert nat_warnings({(4, "eth1"), (6, "eth1")}) == ()
    node.sysctl("net.ipv4.conf.eth1.rp_filter", 1)
    node.sysctl("net.ipv4.conf.eth1.accept_local", 0)
    node.sysctl("net.ipv6.conf.eth1.forwarding", 0)

    with node.inside():
        warnings = nat_warnings({(4, "eth1"), (6, "eth1")})

    assert [warning.split(",")[0] for warning in warnings] == [
        "NAT needs net.ipv4.conf.eth1.accept_local = 1",
        "NAT needs net.ipv4.conf.eth1.rp_filter = 0",
        "NAT needs net.ipv6.conf.eth1.forwarding = 1",
    ]
    assert all("`sysctl -w net.ipv" in warning for warning in warnings)


def test_each_family_is_warned_of_what_it_needs_only(node: Host) -> None:
    node.sysctl("net.ipv4.ip_forward", 0)
    node.sysctl("net.ipv6.conf.all.forwarding", 0)

    with node.inside():
        four, six = nat_warnings({(4, "eth0")}), nat_warnings({(6, "eth0")})

    assert not any("ipv6" in warning for warning in four)
    assert not any("ipv4" in warning for warning in six)
    assert "NAT needs net.ipv4.ip_forward = 1" in four[0]
    assert "NAT needs net.ipv6.conf.all.forwarding = 1" in six[0]


def test_a_name_with_a_dot_is_written_as_sysctl_takes_it(node: Host) -> None:
    node.run("ip", "link", "add", "eth1.7", "type", "veth", "peer", "name", "eth7")

    with node.inside():
        warnings = nat_warnings({(4, "eth1.7")})

    (remedy,) = (each.split("`")[1] for each in warnings if "accept_local" in each)
    node.run(*remedy.split())
    with node.inside():
        assert not any("accept_local" in each for each in nat_warnings({(4, "eth1.7")}))


def test_where_nothing_has_changed_the_network_is_the_same_object(node: Host) -> None:
    destinations = frozenset([IPV4.backend, IPV6.backend])
    with node.inside(), closing(Surveyor(INTERFACES)) as surveyor:
        network = Network()

        def unchanged() -> bool:
            nonlocal network
            before, network = network, surveyor.survey(destinations, (), network)
            return network is before and all(h.mac for h in network.next_hops.values())

        eventually(unchanged, within=5, what="all is resolved, and stays so")


def test_what_the_kernel_tells_of_is_looked_at(node: Host) -> None:
    far = IPv4Address("198.51.100.99")
    with node.inside(), closing(Surveyor(INTERFACES)) as surveyor:
        network = surveyor.survey(frozenset([IPV4.backend, far]), (), Network())
        assert far not in network.next_hops

        node.run("ip", "route", "add", str(far), "via", str(IPV4.backend))
        network = surveyor.survey(frozenset([IPV4.backend, far]), (), network)

        assert network.next_hops[far].interface == "eth1"
        node.run("ip", "route", "del", str(far))
        assert (
            far
            not in surveyor.survey(frozenset([IPV4.backend, far]), (), network).next_hops
        )


def test_what_is_asked_for_anew_is_found_beside_what_is_known(node: Host) -> None:
    with node.inside(), closing(Surveyor(INTERFACES)) as surveyor:
        network = surveyor.survey(frozenset([IPV4.backend]), (), learn(node))
        both = surveyor.survey(frozenset([IPV4.backend, IPV6.backend]), (), network)
        one = surveyor.survey(frozenset([IPV6.backend]), (), both)

    assert both.next_hops.keys() == {IPV4.backend, IPV6.backend}
    assert one.next_hops.keys() == {IPV6.backend}


def test_many_are_found_at_once(node: Host) -> None:
    many = [IPv4Address(f"10.20.0.{number}") for number in range(100, 250)]
    with node.inside():
        ways = find_ways([*many, IPV4.nowhere])

    assert list(ways) == many
    assert {(way.ifindex, way.via) for way in ways.values()} == {
        (learn(node).next_hops[IPV4.backend].ifindex, None)
    }
