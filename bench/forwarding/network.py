"""The network that everything is measured on.

    client                    balancer                     servers
    eth0 ─────────────────── c0      b1 ────────────────── s1
                                     b2 ────────────────── s2
                                     b3 ────────────────── s3

Three network namespaces and four veth pairs. All MACs are known beforehand: nobody asks.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any, Final

from bench.dataplane_under_test import Server
from vagrant.lab import xdp_pass
from vagrant.lab.hosts import Host, link_index

HOSTS: Final = ("client", "balancer", "servers")
VIP: Final = IPv4Address("10.100.0.1")
PORT: Final = 80
CLIENT: Final = IPv4Address("10.16.0.0")  # the first: a flow's number fills the low bits
CLIENT_MAC: Final = bytes.fromhex("020000000001")
ENTRANCE: Final = "c0"  # of the balancer
ENTRANCE_MAC: Final = bytes.fromhex("020000000002")
ENTRANCE_INDEX: Final = 10


@dataclass(frozen=True, slots=True)
class Leg:
    """A server, and the balancer's interface towards it."""

    number: int  # from 1

    @property
    def exit(self) -> str:
        """The balancer's interface."""
        return f"b{self.number}"

    @property
    def exit_index(self) -> int:
        """The index of that."""
        return 20 + self.number

    @property
    def exit_mac(self) -> bytes:
        """The MAC of that."""
        return bytes((2, 0, 0, 0, 1, self.number))

    @property
    def interface(self) -> str:
        """The server's interface."""
        return f"s{self.number}"

    @property
    def mac(self) -> bytes:
        """The server's MAC."""
        return bytes((2, 0, 0, 0, 2, self.number))

    @property
    def address(self) -> IPv4Address:
        """The server's address."""
        return IPv4Address(f"10.2.{self.number}.2")

    def server(self) -> Server:
        """Return the server as the balancer's program has it."""
        return Server(self.address, self.exit_index, self.mac, self.exit_mac)


LEGS: Final = (Leg(1), Leg(2), Leg(3))
INTERFACES: Final = {
    ENTRANCE_INDEX: ENTRANCE_MAC,
    **{leg.exit_index: leg.exit_mac for leg in LEGS},
}


def set_up(client: Host, balancer: Host, servers: Host) -> None:
    """Connect the hosts; nothing receives yet."""
    with balancer.netlink() as ip:
        peer = _peer("eth0", CLIENT_MAC, client)
        _add(ip, ENTRANCE, ENTRANCE_INDEX, ENTRANCE_MAC, peer)
        for leg in LEGS:
            peer = _peer(leg.interface, leg.mac, servers)
            _add(ip, leg.exit, leg.exit_index, leg.exit_mac, peer)
            _add_routes(ip, leg)
    _raise(client, "eth0")
    for leg in LEGS:
        _raise(servers, leg.interface)
    balancer.sysctl("net.ipv4.ip_forward", 1)
    for interface in ("all", ENTRANCE):  # clients' addresses are nobody's
        balancer.sysctl(f"net.ipv4.conf.{interface}.rp_filter", 0)
    # Live frames leave by an interface whose receive queue runs XDP.
    xdp_pass.attach(client, "eth0")


@contextmanager
def routed(balancer: Host) -> Iterator[None]:
    """Let the kernel forward what goes to the VIP, to the first server.

    Without this it drops what no rule takes: no way can get credit for another's work.
    """
    route = {"dst": f"{VIP}/32", "gateway": str(LEGS[0].address), "oif": LEGS[0].exit_index}
    with balancer.netlink() as ip:
        ip.route("add", **route, flags=["onlink"])
        try:
            yield
        finally:
            ip.route("del", **route)


def _peer(name: str, mac: bytes, host: Host) -> dict[str, str]:
    return {"ifname": name, "address": mac.hex(":"), "net_ns_fd": host.namespace}


def _add(ip: Any, name: str, index: int, mac: bytes, peer: dict[str, str]) -> None:
    ip.link("add", ifname=name, index=index, kind="veth", address=mac.hex(":"), peer=peer)
    ip.link("set", index=index, state="up")


def _add_routes(ip: Any, leg: Leg) -> None:
    """Let the kernel know the way to a server, and its MAC for ever."""
    ip.route(
        "add",
        dst=f"{leg.address}/32",
        oif=leg.exit_index,
        family=socket.AF_INET,
        scope="link",
    )
    ip.neigh(
        "add",
        index=leg.exit_index,
        dst=str(leg.address),
        lladdr=leg.mac.hex(":"),
        state="permanent",
    )


def _raise(host: Host, interface: str) -> None:
    with host.netlink() as ip:
        ip.link("set", index=link_index(ip, interface), state="up")
