"""Reading this host's network: interfaces, own addresses, next hops towards backends.

By netlink (pyroute2), in the namespace of the process. Blocking: the daemon calls it in a
thread. What nobody uses the kernel forgets, and XDP's packets do not count as use, so each
survey asks the kernel to resolve what is missing and to confirm what is stale.
"""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Interface
from pathlib import Path
from typing import Final

from pyroute2 import IPRoute
from pyroute2.ethtool import Ethtool
from pyroute2.netlink.exceptions import NetlinkDumpInterrupted, NetlinkError
from pyroute2.netlink.rtnl import ndmsg

from control.addresses import IpAddress
from control.desired import DesiredState
from control.errors import HostError
from control.facts import Interface, Link, Network, NextHop
from control.links import read_addresses, read_links
from control.model import Service
from control.netlink import Listener, Neighbour, Way, find_ways, read_neighbours, resolve
from control.vlans import find_vlans
from dataplane.records import SERVICE_VLAN, VLAN

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
# Features by which a driver takes VLAN tags off, by the tag's protocol: linux/ethtool.h.
_TAG_PARSERS: Final = {VLAN: "rx-vlan-hw-parse", SERVICE_VLAN: "rx-vlan-stag-hw-parse"}
# Features by which a card merges packets, and how `ethtool -K` calls them.
_MERGERS: Final = {"rx-lro": "lro", "rx-gro-hw": "rx-gro-hw"}
_EVERYTHING_INTERVAL: Final = 30.0  # seconds
_SYSCTL: Final = Path("/proc/sys/net")
_DOTS_AND_SLASHES: Final = str.maketrans("./", "/.")
_NOT_ROUTED: Final = "replies are not routed to the clients"


def survey(
    interfaces: Iterable[str],
    destinations: Iterable[IpAddress],
    suspects: Collection[IpAddress],
    before: Network,
) -> Network:
    """Return the network as it is now; interfaces that are gone are left out.

    A destination without a route has no next hop; one whose next hop does not answer ARP
    or neighbour discovery has one without a MAC. Where the kernel has just forgotten a
    neighbour, the MAC that it had in ``before`` counts until the kernel has asked again.
    Some 20 µs for each destination. Of ``suspects``, which do not answer, the kernel has
    to ask again who they are: they may have another MAC by now. If the network changes too
    fast to be read, ``before`` is returned.
    """
    with closing(Surveyor(interfaces)) as surveyor:
        return surveyor.survey(frozenset(destinations), suspects, before)


class Surveyor:
    """Looks at the network again and again, at what has changed only.

    The kernel tells that something has; and now and then everything is looked at, since
    some ways change without a word. Belongs to one thread at a time.
    """

    def __init__(self, interfaces: Iterable[str]) -> None:
        """Look at the network around ``interfaces``."""
        self._interfaces = frozenset(interfaces)
        self._listener = Listener()
        self._looked: float | None = None  # at everything, monotonic seconds
        self._links: Mapping[int, Link] = {}  # all of the host's, by index
        self._ways: dict[IpAddress, Way] = {}
        self._asked: frozenset[IpAddress] = frozenset()  # ways were asked for

    def close(self) -> None:
        """Look no more."""
        self._listener.close()

    def survey(
        self,
        destinations: frozenset[IpAddress],
        suspects: Collection[IpAddress],
        before: Network,
    ) -> Network:
        """Return the network as it is, as :func:`survey` does; ``before`` if it is that.

        What is in it is the same object as before where nothing has changed.
        """
        heard = self._listener.heard()
        now = time.monotonic()
        is_due = self._looked is None or now >= self._looked + _EVERYTHING_INTERVAL
        doubted = {
            (hop.ifindex, address): hop.mac
            for address in suspects
            if (hop := before.next_hops.get(address))
        }
        try:
            if heard.others or is_due:
                self._looked = None  # unless it comes to an end
                around = self._look_around()
                self._ways = find_ways(destinations)
                self._looked = now
            elif (
                heard.neighbours
                or (destinations is not self._asked and destinations != self._asked)
                or doubted
                or not all(hop.mac for hop in before.next_hops.values())
            ):
                around = before
                new = find_ways(destinations - self._asked)
                known = (
                    self._ways
                    if destinations >= self._asked
                    else _among(self._ways, destinations)
                )
                self._ways = known | new if new else known
            else:
                return before
            self._asked = destinations
            hops = self._next_hops(before.next_hops, doubted)
        except NetlinkDumpInterrupted:  # what was read may be half old and half new
            self._looked = None
            return before
        network = replace(around, next_hops=hops)
        return before if network == before else network

    def _look_around(self) -> Network:
        """Return the network without next hops; remember the links."""
        with IPRoute() as netlink:
            links, addresses = read_links(netlink), read_addresses(netlink)
        attached = [
            Interface(link.name, link.ifindex, link.mac, link.xdp)
            for link in links.values()
            if link.name in self._interfaces
        ]
        generic = any(interface.xdp == "generic" for interface in attached)
        if generic or any(link.tag for link in links.values()):
            attached = _with_offloads(attached)
        self._links = links
        return Network(
            interfaces=tuple(attached),
            addresses=frozenset(own.address.ip for own in addresses),
            sources=frozenset(
                (own.address, links[own.ifindex].name)
                for own in addresses
                if isinstance(own.address, IPv6Interface)
                and not own.is_deprecated
                and own.ifindex in links
            ),
            vlans=find_vlans(links, {each.ifindex: each for each in attached}),
        )

    def _next_hops(
        self,
        before: Mapping[IpAddress, NextHop],
        doubted: Mapping[tuple[int, IpAddress], bytes | None],
    ) -> Mapping[IpAddress, NextHop]:
        """Return the next hop of each destination; ask for those that are in question."""
        neighbours = read_neighbours()
        if wrong := [
            place
            for place, mac in doubted.items()
            if (entry := neighbours.get(place))
            and entry.state & _LEARNT
            and entry.mac == mac
        ]:
            with IPRoute() as netlink:
                for place in wrong:
                    _forget(netlink, *place)
                    del neighbours[place]
        unclear = set()
        hops = {}
        for destination, (ifindex, router, source) in self._ways.items():
            if (link := self._links.get(ifindex)) is None:
                continue
            place = (ifindex, router or destination)
            entry, last = neighbours.get(place), before.get(destination)
            if entry is None or entry.state & _IN_QUESTION:
                unclear.add(place)
            mac = _mac_by(entry, last, ifindex)
            if (
                last is None
                or (last.mac, last.ifindex, last.source) != (mac, ifindex, source)
                or ((last.interface, last.source_mac) != (link.name, link.mac))
            ):
                last = NextHop(link.name, ifindex, link.mac, mac, source)
            hops[destination] = last
        resolve(unclear)
        return hops


def _among(
    ways: Mapping[IpAddress, Way], destinations: frozenset[IpAddress]
) -> dict[IpAddress, Way]:
    return {address: way for address, way in ways.items() if address in destinations}


def _mac_by(entry: Neighbour | None, last: NextHop | None, ifindex: int) -> bytes | None:
    """Return the MAC of a neighbour; ``last`` is the next hop before."""
    if entry is not None and entry.state & _USABLE:
        return entry.mac
    if entry is not None and entry.state & ndmsg.NUD_FAILED:
        return None
    # forgotten, or being asked for
    return last.mac if last and last.ifindex == ifindex else None


def xdp_modes(interfaces: Collection[str]) -> dict[str, str]:
    """Return how XDP runs on each of ``interfaces`` that is there.

    "native", "generic", "offload", or "none".
    """
    with suppress(NetlinkDumpInterrupted), IPRoute() as netlink:
        links = read_links(netlink).values()
        return {link.name: link.xdp for link in links if link.name in interfaces}
    return {}


class Destinations:
    """The addresses of all backends of one state after another; quick if little changes."""

    def __init__(self) -> None:
        # By id; whoever is in here lives, so that nobody else has that one.
        self._known = dict[int, tuple[Service, frozenset[IpAddress]]]()
        self._state: DesiredState | None = None
        self._addresses = frozenset[IpAddress]()

    def of(self, state: DesiredState) -> frozenset[IpAddress]:
        """Return the addresses; the same object if they are the same."""
        if state is not self._state:
            known = self._known
            self._known = {
                id(service): known.get(id(service))
                or (service, frozenset(b.address for b in service.members))
                for service in state
            }
            found = frozenset[IpAddress]().union(*(a for _, a in self._known.values()))
            self._addresses = self._addresses if found == self._addresses else found
            self._state = state
        return self._addresses


def refuse_vlans(interfaces: Collection[str]) -> None:
    """Raise HostError if one of ``interfaces`` is a VLAN: it can have no native XDP."""
    # Where the links change too fast to be read, the kernel refuses, with fewer words.
    with suppress(NetlinkDumpInterrupted), IPRoute() as netlink:
        _refuse_vlans(interfaces, read_links(netlink))


def _refuse_vlans(interfaces: Collection[str], links: Mapping[int, Link]) -> None:
    for link in links.values():
        if link.name not in interfaces or not link.tag:
            continue
        lower = links.get(link.lower) if link.lower is not None else None
        instead = f"name {lower.name}" if lower else "name the interface that it is on"
        raise HostError(
            f"interface {link.name}: it is a VLAN, and native XDP is below those: "
            f"{instead} in `interfaces` instead, and guideway balances in all its VLANs; "
            "or set `xdp_mode: generic`"
        )


def source_warnings(vips: Collection[IpAddress], network: Network) -> tuple[str, ...]:
    """Say from which of ``vips`` health checks may be made, and how to prevent that.

    Of the addresses of the interface, the host speaks from that which is most like the
    backend's (RFC 6724), and to a VIP backends do not answer the host.
    """
    ways = {
        hop.interface
        for backend, hop in network.next_hops.items()
        if isinstance(backend, IPv6Address)
    }
    return tuple(
        f"health checks may come from {address.ip}, and the answers get lost: "
        f"`ip -6 address change {address} dev {name} preferred_lft 0`"
        for address, name in sorted(network.sources)
        if address.ip in vips and name in ways
    )


def nat_warnings(ways: Collection[tuple[int, str]]) -> tuple[str, ...]:
    """Say which kernel settings would break NAT, and how to set them.

    ``ways`` are those by which replies of NAT backends come in: IP version and interface.
    """
    names: dict[int, list[str]] = {4: [], 6: []}
    for version, name in sorted(ways):
        names[version].append(name.replace(".", "/"))  # as sysctl(8) has it within a key
    return tuple(
        f"NAT needs net.{key} = {value}, or else {harm}: `sysctl -w net.{key}={value}`"
        for key, value, harm in (*_ipv4_needs(names[4]), *_ipv6_needs(names[6]))
        if _sysctl(key) != value
    )


def _ipv4_needs(names: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Yield each setting, what it has to be, and the harm that is done otherwise."""
    if names:
        yield "ipv4.ip_forward", "1", _NOT_ROUTED
    for name in names:
        harm = "a reply whose next hop is not resolved yet is lost"
        yield f"ipv4.conf.{name}.accept_local", "1", harm
        for scope in ("all", name):
            harm = "the kernel drops translated replies as spoofed"
            yield f"ipv4.conf.{scope}.rp_filter", "0", harm


def _ipv6_needs(names: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Yield each setting, what it has to be, and the harm that is done otherwise.

    Packets from an address of its own the kernel takes here without being told to.
    """
    for name in ("all", *names) if names else ():
        yield f"ipv6.conf.{name}.forwarding", "1", _NOT_ROUTED


def _with_offloads(interfaces: Iterable[Interface]) -> list[Interface]:
    """Return ``interfaces`` with what their cards take off and put together."""
    with Ethtool() as ethtool:
        return [with_features(each, _enabled(ethtool, each.name)) for each in interfaces]


def with_features(interface: Interface, features: Collection[str]) -> Interface:
    """Return ``interface`` with what follows from the features that are on."""
    hides = (protocol for protocol, name in _TAG_PARSERS.items() if name in features)
    merges = (spelled for name, spelled in _MERGERS.items() if name in features)
    return replace(interface, hides=frozenset(hides), merges=frozenset(merges))


def _enabled(ethtool: Ethtool, name: str) -> frozenset[str]:
    try:
        features = ethtool.get_features(name).features
    except OSError:  # it is gone, or has no such thing
        return frozenset()
    return frozenset(name for name, feature in features.items() if feature.enable)


def _forget(netlink: IPRoute, index: int, address: IpAddress) -> None:
    with suppress(NetlinkError):  # it went by itself
        netlink.neigh("del", dst=str(address), ifindex=index)


def _sysctl(key: str) -> str:
    """Return the value of ``net.KEY``; sysctl(8) writes a dot within a name as a slash."""
    try:
        path = _SYSCTL / key.translate(_DOTS_AND_SLASHES)
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:  # the interface is gone
        return ""
