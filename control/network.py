"""Reading this host's network: interfaces, own addresses, next hops towards backends.

By netlink (pyroute2), in the namespace of the process. Blocking: the daemon calls it in a
thread. What nobody uses the kernel forgets, and XDP's packets do not count as use, so each
survey asks the kernel to resolve what is missing and to confirm what is stale.
"""

import errno
import socket
from collections.abc import Collection, Iterable
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkDumpInterrupted, NetlinkError
from pyroute2.netlink.rtnl import ndmsg

from control.facts import Interface, Network, NextHop

_USABLE: Final = (
    ndmsg.NUD_REACHABLE
    | ndmsg.NUD_STALE
    | ndmsg.NUD_DELAY
    | ndmsg.NUD_PROBE
    | ndmsg.NUD_NOARP
    | ndmsg.NUD_PERMANENT
)
_LEARNT: Final = ndmsg.NUD_REACHABLE | ndmsg.NUD_STALE | ndmsg.NUD_DELAY
_IN_QUESTION: Final = ndmsg.NUD_STALE | ndmsg.NUD_FAILED
# How the kernel says that a route leads nowhere: unreachable, blackhole, prohibit.
_NO_ROUTE: Final = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EINVAL, errno.EACCES}
# As pyroute2 names the values of IFLA_XDP_ATTACHED.
_XDP_MODES: Final = {"xdp": "native", "xdpgeneric": "generic", "xdpoffload": "offload"}
_ATTEMPTS: Final = 5
_IPV4_SYSCTL: Final = Path("/proc/sys/net/ipv4")


def survey(
    interfaces: Iterable[str],
    destinations: Iterable[IPv4Address],
    suspects: Collection[IPv4Address],
    before: Network,
) -> Network:
    """Return the network as it is now; interfaces that are gone are left out.

    A destination without a route has no next hop; one whose next hop does not answer ARP
    has one without a MAC. Where the kernel has just forgotten a neighbour, the MAC that it
    had in ``before`` counts until the kernel has asked again. Some 0.5 ms for each
    destination. Of ``suspects``, which do not answer, the kernel has to ask again who they
    are: they may have another MAC by now. If the network changes too fast to be read,
    ``before`` is returned.
    """
    for _ in range(_ATTEMPTS):
        try:
            return _look(interfaces, destinations, suspects, before)
        except NetlinkDumpInterrupted:  # what was read may be half old and half new
            continue
    return before


def _look(
    interfaces: Iterable[str],
    destinations: Iterable[IPv4Address],
    suspects: Collection[IPv4Address],
    before: Network,
) -> Network:
    with IPRoute() as netlink:
        doubted = {
            (hop.ifindex, str(address)): hop.mac
            for address, hop in before.next_hops.items()
            if address in suspects
        }
        links = {link["index"]: _interface(link) for link in netlink.get_links()}
        neighbours = {
            (entry["ifindex"], entry.get("dst")): entry
            for entry in netlink.get_neighbours(family=socket.AF_INET)
        }
        for (index, address), entry in list(neighbours.items()):
            known = _mac(entry.get("lladdr"))
            if entry["state"] & _LEARNT and doubted.get((index, address)) == known:
                _forget(netlink, index, address)
                del neighbours[index, address]
        wanted = set(interfaces)
        return Network(
            interfaces=tuple(link for link in links.values() if link.name in wanted),
            addresses=frozenset(
                IPv4Address(entry.get("IFA_LOCAL"))
                for entry in netlink.get_addr(family=socket.AF_INET)
            ),
            next_hops={
                destination: hop
                for destination in set(destinations)
                if (hop := _next_hop(netlink, links, neighbours, destination, before))
            },
        )


def nat_warnings(interfaces: Iterable[str]) -> tuple[str, ...]:
    """Say which kernel settings would break NAT, and how to set them.

    ``interfaces`` are those that replies of NAT backends come in by; none: no warnings.
    """
    names = sorted(interfaces)
    wrong = []
    if names and _sysctl("ip_forward") != "1":
        wrong.append(("ip_forward", "1", "replies are not routed to the clients"))
    for name in names:
        if _sysctl(f"conf/{name}/accept_local") != "1":
            harm = "a reply whose next hop is not resolved yet is lost"
            wrong.append((f"conf.{name}.accept_local", "1", harm))
        for scope in ("all", name):
            if _sysctl(f"conf/{scope}/rp_filter") != "0":
                harm = "the kernel drops translated replies as spoofed"
                wrong.append((f"conf.{scope}.rp_filter", "0", harm))
    return tuple(
        f"NAT needs net.ipv4.{key} = {value}, or else {harm}: "
        f"`sysctl -w net.ipv4.{key}={value}`"
        for key, value, harm in wrong
    )


def _interface(link: Any) -> Interface:
    xdp = link.get("xdp")
    mode = _XDP_MODES.get(str(xdp.get_attr("IFLA_XDP_ATTACHED")) if xdp else "", "none")
    return Interface(link.get("ifname"), link["index"], _mac(link.get("address")), mode)


def _mac(text: str | None) -> bytes:
    """Return six bytes; zeros for an interface without a MAC, such as a tunnel."""
    return bytes.fromhex(text.replace(":", "")) if text else bytes(6)


def _next_hop(
    netlink: IPRoute,
    links: dict[int, Interface],
    neighbours: dict[tuple[int, str], Any],
    destination: IPv4Address,
    before: Network,
) -> NextHop | None:
    try:
        route = netlink.route("get", dst=str(destination))[0]
    except NetlinkError as error:
        if error.code not in _NO_ROUTE:
            raise
        return None
    link = links.get(route.get("oif"))
    if link is None:
        return None
    via = route.get("gateway") or str(destination)
    entry = neighbours.get((link.ifindex, via))
    if entry is None or entry["state"] & _IN_QUESTION:
        _resolve(netlink, link, via)
    if entry is not None and entry["state"] & _USABLE:
        mac = _mac(entry.get("lladdr"))
    elif entry is not None and entry["state"] & ndmsg.NUD_FAILED:
        mac = None
    else:  # forgotten, or being asked for
        last = before.next_hops.get(destination)
        mac = last.mac if last and last.ifindex == link.ifindex else None
    return NextHop(link.name, link.ifindex, link.mac, mac)


def _resolve(netlink: IPRoute, link: Interface, neighbour: str) -> None:
    """Have the kernel send an ARP request, as a packet of ours would have."""
    try:
        netlink.neigh(
            "set", dst=neighbour, ifindex=link.ifindex, flags=ndmsg.NTF_USE, state=0
        )
    except (NetlinkError, OSError):
        # The interface went down a moment ago, or the neighbour table is full. The next
        # survey tries again, and who has no MAC says so.
        return


def _forget(netlink: IPRoute, index: int, address: str) -> None:
    with suppress(NetlinkError):  # it went by itself
        netlink.neigh("del", dst=address, ifindex=index)


def _sysctl(key: str) -> str:
    try:
        return (_IPV4_SYSCTL / key).read_text(encoding="ascii").strip()
    except FileNotFoundError:  # the interface is gone
        return ""
