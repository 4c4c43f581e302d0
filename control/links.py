"""Interfaces of this host and their addresses, as netlink (pyroute2) has them. Blocking."""

import socket
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import Any, Final, NamedTuple

from pyroute2.netlink.rtnl.ifaddrmsg import IFA_F_DEPRECATED
from pyroute2.netlink.rtnl.ifinfmsg import IFF_UP

from control.facts import Link
from dataplane.records import Tag

_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)
# As pyroute2 names the values of IFLA_XDP_ATTACHED.
_XDP_MODES: Final = {"xdp": "native", "xdpgeneric": "generic", "xdpoffload": "offload"}


class Own(NamedTuple):
    """An address of the host."""

    ifindex: int
    address: IPv4Interface | IPv6Interface
    is_deprecated: bool  # the host does not speak from it by itself


def read_links(netlink: Any) -> dict[int, Link]:
    """Return all interfaces by index; ``netlink`` is an IPRoute.

    Raises NetlinkDumpInterrupted where they change too fast to be read.
    """
    return {link["index"]: _link(link) for link in netlink.get_links()}


def read_addresses(netlink: Any) -> list[Own]:
    """Return all addresses of the host, IPv4 first; ``netlink`` is an IPRoute.

    Raises NetlinkDumpInterrupted where they change too fast to be read.
    """
    return [_own(one) for family in _FAMILIES for one in netlink.get_addr(family=family)]


def _link(found: Any) -> Link:
    mac = found.get("address")
    xdp = found.get("xdp")
    mode = str(xdp.get_attr("IFLA_XDP_ATTACHED")) if xdp else ""
    return Link(
        name=found.get("ifname"),
        ifindex=found["index"],
        mac=bytes.fromhex(mac.replace(":", "")) if mac else bytes(6),
        is_up=bool(found["flags"] & IFF_UP),
        has_carrier=bool(found.get("carrier")),
        mtu=found.get("mtu"),
        receive_queues=found.get("num_rx_queues") or 1,
        xdp=_XDP_MODES.get(mode, "none"),
        tag=_tag(found),
        # An index of another namespace says nothing here.
        lower=found.get("link") if found.get("link_netnsid") is None else None,
    )


def _tag(found: Any) -> Tag | None:
    if found.get(("linkinfo", "kind")) != "vlan":
        return None
    data = ("linkinfo", "data")
    return Tag(found.get((*data, "vlan_id")), found.get((*data, "vlan_protocol")))


def _own(found: Any) -> Own:
    """Return the host's end; IPv6 has it apart only where there is a peer's."""
    address = found.get("IFA_LOCAL") or found.get("IFA_ADDRESS")
    return Own(
        found["index"],
        ip_interface((address, found["prefixlen"])),
        bool(found["flags"] & IFA_F_DEPRECATED),
    )
