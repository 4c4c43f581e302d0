"""Which tags frames of the host's VLAN interfaces have where the program sees them. Pure.

The program is attached to whole interfaces. Routes, neighbours and addresses belong to the
VLAN interfaces on them, which the kernel makes of the tags later.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from control.facts import Interface, Link, Network, Vlan
from dataplane.abi import VLANS
from dataplane.records import SERVICE_VLAN, VLAN, Segment, Tag, port_index

_TAGS: Final = 2  # as many as the program reads
# How ethtool(8) calls the taking off of tags.
_OFFLOADS: Final = {VLAN: "rxvlan", SERVICE_VLAN: "rx-vlan-stag-hw-parse"}


def find_vlans(
    links: Mapping[int, Link], attached: Mapping[int, Interface]
) -> dict[int, Vlan]:
    """Return those of ``links`` (by index) that are VLANs of others, and are up.

    ``attached`` are the interfaces that the program is attached to; one of these is never
    a VLAN to the program, which sees its frames without the tag.
    """
    vlans = {
        index: _vlan(link, links, attached)
        for index, link in sorted(links.items())
        if link.tag and link.is_up and index not in attached
    }
    usable = [index for index, vlan in vlans.items() if vlan.segment]
    for index in usable[VLANS:]:
        problem = f"one VLAN too many: the maps hold {VLANS}"
        vlans[index] = replace(vlans[index], segment=None, problem=problem)
    return vlans


def vlan_warnings(network: Network) -> tuple[str, ...]:
    """Say by which VLANs services are not, or not rightly, balanced, and what helps."""
    return (*_unusable(network), *_hidden(network), *_displaced(network))


def offload(protocol: int) -> str:
    """Return how ethtool(8) calls that tags of this protocol are taken off."""
    return _OFFLOADS.get(protocol, "rxvlan")


def _vlan(link: Link, links: Mapping[int, Link], attached: Mapping[int, Interface]) -> Vlan:
    tags: tuple[Tag, ...] = ()
    at: Link | None = link
    while at and at.tag and at.ifindex not in attached:
        tags = (at.tag, *tags)
        at = links.get(at.lower) if at.lower is not None else None
    below = attached.get(at.ifindex) if at else None
    problem = _problem(link, tags, at, below)
    segment = Segment(below.ifindex, tags) if below and not problem else None
    return Vlan(link.name, link.ifindex, link.mac, at.name if at else "", segment, problem)


def _problem(
    link: Link, tags: tuple[Tag, ...], at: Link | None, below: Interface | None
) -> str:
    if at is None:
        return "a VLAN of an interface in another network namespace"
    if below is None:
        return f"a VLAN of {at.name}, which is not among `interfaces`"
    if len(tags) > _TAGS:
        return f"whose frames have {len(tags)} VLAN tags; guideway reads {_TAGS}"
    if below.xdp == "generic" and tags[0].protocol in below.hides:
        # What is not in the frame the kernel keeps beside it, and adds to what we send.
        return (
            f"whose tag {below.name} hides from generic XDP: put {link.name} into "
            f"`interfaces`, or `ethtool -K {below.name} {offload(tags[0].protocol)} off`"
        )
    return ""


def _unusable(network: Network) -> Iterator[str]:
    """Yield a sentence for each VLAN of an attached interface that cannot be used."""
    names = {interface.name for interface in network.interfaces}
    for vlan in network.vlans.values():
        if vlan.problem and vlan.lower in names:
            yield f"services are not balanced by {vlan.name}, {vlan.problem}"


def _hidden(network: Network) -> Iterator[str]:
    """Yield a sentence for each interface whose driver takes tags off that matter."""
    for interface in network.interfaces:
        for protocol in sorted(interface.hides):
            vlans = [
                vlan.name
                for vlan in network.vlans.values()
                if vlan.segment
                and vlan.segment.ifindex == interface.ifindex
                and vlan.segment.tags[0].protocol == protocol
            ]
            if vlans:
                yield (
                    f"{interface.name} takes the tags of {', '.join(vlans)} off before XDP "
                    "sees the frames, so pings of a VIP are answered without, and a MAC "
                    "that only a VLAN has is not known for ours: "
                    f"`ethtool -K {interface.name} {offload(protocol)} off`"
                )


def _displaced(network: Network) -> Iterator[str]:
    """Yield a sentence for each VLAN whose place in ``ports`` another interface has."""
    places = {port_index(each.ifindex): each.name for each in network.interfaces}
    for vlan in network.vlans.values():
        if not vlan.segment:
            continue
        other = places.setdefault(port_index(vlan.ifindex), vlan.name)
        if other != vlan.name:
            yield (
                f"what NAT backends answer by {vlan.name} goes through the host, which is "
                f"slower: its index {vlan.ifindex} falls together with that of {other}; "
                f"delete {vlan.name} and add it again"
            )
