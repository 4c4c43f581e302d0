"""Where the program under test believes to be.

    clients ── gateway ──── out ┐
                                ├ balancer
    backends ────────────── lo ─┘

A test run has its packets come in by loopback, so `lo` plays the interface that requests
and replies come in by; `out` is where the way to the clients leads.
"""

import socket
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

from bench.dataplane_under_test import IPAddress
from vagrant.lab.hosts import Host, link_index

Addresses = dict[int, IPAddress]  # by family, 4 or 6

LO: Final = 1  # ifindex
OUT: Final = 50  # ifindex

BALANCER_MAC: Final = bytes.fromhex("020000000001")
ROUTER_MAC: Final = bytes.fromhex("020000000002")
OUT_MAC: Final = bytes.fromhex("020000000003")
BACKEND_MAC: Final = bytes.fromhex("020000000101")

# The first of each kind; the low 20 bits of a client's address are the flow's
# number, the low 10 bits of a VIP its service's.
CLIENTS: Final[Addresses] = {4: IPv4Address("10.16.0.0"), 6: IPv6Address("2001:db8:1::")}
VIPS: Final[Addresses] = {4: IPv4Address("198.18.4.0"), 6: IPv6Address("2001:db8:2::")}
BACKENDS: Final[Addresses] = {4: IPv4Address("10.200.0.1"), 6: IPv6Address("2001:db8:3::1")}
STRANGERS: Final[Addresses] = {4: IPv4Address("198.18.8.0"), 6: IPv6Address("2001:db8:4::")}

_GATEWAYS: Final[dict[int, IPAddress]] = {
    socket.AF_INET: IPv4Address("192.0.2.2"),
    socket.AF_INET6: IPv6Address("2001:db8:5::2"),
}


def set_up(host: Host) -> None:
    """Give ``host`` the interface `out`, and a way to all clients by its gateway."""
    for interface in ("all", "default", "lo"):
        host.sysctl(f"net.ipv6.conf.{interface}.disable_ipv6", 0)
    with host.netlink() as ip:
        mac = OUT_MAC.hex(":")
        ip.link("add", index=OUT, ifname="out", kind="veth", peer="wire", address=mac)
        ip.link("set", index=link_index(ip, "wire"), state="up")
        ip.link("set", index=OUT, state="up")
        for family, gateway in _GATEWAYS.items():
            _add_gateway(ip, family, gateway)
    host.sysctl("net.ipv4.ip_forward", 1)
    host.sysctl("net.ipv6.conf.all.forwarding", 1)


def _add_gateway(ip: Any, family: int, gateway: IPAddress) -> None:
    """Route everything to ``gateway``, whose MAC is known for ever."""
    address = str(gateway)
    ip.neigh("add", index=OUT, dst=address, lladdr=ROUTER_MAC.hex(":"), state="permanent")
    ip.route(
        "add", dst="default", gateway=address, oif=OUT, family=family, flags=["onlink"]
    )
