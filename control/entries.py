"""Entries of the maps that say where packets go: backends, ports, VLANs. Pure.

A backend has an entry once its next hop is known, and keeps the last one when it is not any
more: packets that still come by an old ring take the way that they took.
"""

from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from typing import Final

from control.addresses import IpAddress, IpNetwork
from control.desired import DesiredState
from control.facts import Network, NextHop
from control.ids import BackendPlace
from control.model import Backend, Service
from dataplane import records
from dataplane.image import Image
from dataplane.records import Endpoint, Index, Port, Prefix, Segment, port_index

PRESENT: Final = Index(1)


def endpoint_of(service: Service) -> Endpoint:
    """Return the key of a service in the maps."""
    return Endpoint(service.vip, service.port, service.protocol.number)


def vlans(network: Network) -> dict[Segment, Port]:
    """Return the VLANs that the host has interfaces for, where the program can use them."""
    return {
        vlan.segment: Port(vlan.ifindex, vlan.segment, vlan.mac)
        for vlan in network.vlans.values()
        if vlan.segment
    }


def ports(network: Network, on_vlans: Iterable[Port]) -> dict[Index, Port]:
    """Return what the kernel's routes may lead to; whose place is taken is left out."""
    found = {
        port_index(one.ifindex): Port(one.ifindex, Segment(one.ifindex), one.mac)
        for one in network.interfaces
    }
    for port in on_vlans:
        found.setdefault(port_index(port.ifindex), port)
    return found


def next_hops(network: Network) -> dict[IpAddress, NextHop]:
    """Return the next hops that packets can be sent to, by backend."""
    attached = {interface.name for interface in network.interfaces}
    attached |= {vlan.name for vlan in network.vlans.values() if vlan.segment}
    return {
        address: hop
        for address, hop in network.next_hops.items()
        if hop.mac and hop.interface in attached
    }


def backends(
    numbers: Mapping[BackendPlace, int],
    hops: Mapping[IpAddress, NextHop],
    network: Network,
    known: Image,
) -> dict[Index, records.Backend]:
    """Return the entries of backends that we can reach, or once could."""
    return {
        Index(number): _record(
            place, hops.get(place.address), known.backends.get(Index(number)), network
        )
        for place, number in numbers.items()
    }


def _record(
    place: BackendPlace,
    hop: NextHop | None,
    old: records.Backend | None,
    network: Network,
) -> records.Backend:
    """Return a backend's entry; the last known way to it where there is none now."""
    if hop is None or hop.mac is None:
        assert old is not None  # noqa: S101 - else it would not have got a number
        return old
    vlan = network.vlans.get(hop.ifindex)
    segment = vlan.segment if vlan and vlan.segment else Segment(hop.ifindex)
    return records.Backend(
        place.service_id, place.address, place.port, segment, hop.mac, hop.source_mac
    )


def unreachable(backend: Backend, network: Network) -> str:
    """Say why packets cannot be sent to a backend; "" if they can."""
    hop = network.next_hops.get(backend.address)
    if hop is None:
        return f"this host has no route to {backend.address}"
    vlan = network.vlans.get(hop.ifindex)
    if vlan and vlan.problem:
        return f"it is reached by {vlan.name}, {vlan.problem}"
    if not vlan and hop.interface not in {one.name for one in network.interfaces}:
        return f"it is reached by {hop.interface}, which is not among `interfaces`"
    return "" if hop.mac else "nobody answers ARP or neighbour discovery for it"


def direct(
    desired: DesiredState, network: Network, prefixes: Iterable[IpNetwork]
) -> dict[Prefix, Index]:
    """Return where replies go untranslated: to the node itself and where the file says."""
    vips: set[IpAddress] = {service.vip for service in desired}
    own = (ip_network(address) for address in network.addresses - vips)
    return {Prefix(network): PRESENT for network in (*own, *prefixes)}
