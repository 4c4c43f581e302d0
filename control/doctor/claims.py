"""Who says that he has the VIPs: whom to ask, and what it means. Pure.

An address is at one place of a segment. Where this host has it on an interface, nobody else
may answer for it; backends of DR, which have the VIP too, may not anywhere.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from control.addresses import IpAddress
from control.doctor.answers import Advert, Answer
from control.doctor.facts import Node, Pool
from control.doctor.findings import Finding, Severity
from control.doctor.frames import Key, Question, who_has
from control.facts import Link

# Of virtual routers, whichever host is Active: RFC 9568, section 7.3.
_VIRTUAL: Final = (bytes.fromhex("00005e0001"), bytes.fromhex("00005e0002"))


@dataclass(frozen=True, slots=True)
class Claim:
    """An address, and the segment that is asked who has it."""

    address: IpAddress
    link: Link
    question: Question
    is_here: bool  # whether this host has the address on that segment


def claims(node: Node) -> tuple[Claim, ...]:
    """Return what there is to ask: once for each address and segment."""
    found: dict[tuple[IpAddress, str], Claim] = {}
    moving = _moving(node)
    for address, link, is_here in (*_held(node, moving), *_of_backends(node)):
        source = _source(node, link, address, moving)
        if not link.is_up or not any(link.mac) or source is None:
            continue
        question = Question(link.name, *who_has(address, link.mac, source))
        found.setdefault(
            (address, link.name), Claim(address, link, question, is_here=is_here)
        )
    return tuple(found.values())


def judge_claims(
    node: Node,
    asked: Iterable[Claim],
    answers: Mapping[Key, tuple[Answer, ...]],
    adverts: Iterable[Advert] = (),
) -> Iterator[Finding]:
    """Yield who claims what is not his, or what is ours.

    ``adverts`` were heard; they tell whose a MAC is, as the kernel's neighbours do.
    """
    names = dict(node.host.neighbours)
    for each in adverts:
        names[each.mac] = names.get(each.mac, frozenset()) | {each.source}
    own = {link.mac for link in node.host.links.values() if not is_virtual(link.mac)}
    for claim in asked:
        heard = {answer.mac for answer in answers.get(claim.question.key, ())} - own
        for mac in sorted(heard):
            name = _backend(node, claim.address, mac)
            if name:
                yield _claimed_by_backend(name, claim.address)
            elif claim.is_here:
                yield _held_twice(node, claim, mac, names.get(mac, frozenset()))


def is_virtual(mac: bytes) -> bool:
    """Tell whether it is the MAC of a virtual router, which moves with the addresses."""
    return mac.startswith(_VIRTUAL)


def _moving(node: Node) -> frozenset[IpAddress]:
    """Return the addresses that are at one place, now here and now there."""
    vips = frozenset(pool.vip for pool in node.pools)
    return vips.union(*(station.addresses for station in node.stations.values()))


def _held(
    node: Node, moving: frozenset[IpAddress]
) -> Iterator[tuple[IpAddress, Link, bool]]:
    """Yield the addresses that are here and should be nowhere else, each with its link."""
    by_index = {link.ifindex: link for link in node.host.links.values()}
    for name, addresses in node.host.addresses.items():
        link = node.host.links[name]
        # What another router says of that MAC comes back to this one only by the MAC of
        # the interface below.
        if is_virtual(link.mac) and link.lower is not None:
            link = by_index.get(link.lower, link)
        yield from ((each.ip, link, True) for each in addresses if each.ip in moving)


def _of_backends(node: Node) -> Iterator[tuple[IpAddress, Link, bool]]:
    for pool in node.pools:
        for member in pool.members if pool.mode == "dr" else ():
            hop = node.host.network.next_hops.get(member.address)
            link = node.host.links.get(hop.interface) if hop else None
            if link is not None and member.is_active and member.health != "down":
                yield pool.vip, link, False


def _source(
    node: Node, link: Link, address: IpAddress, moving: frozenset[IpAddress]
) -> IpAddress | None:
    """Return from where to ask; over IPv4 nobody is told."""
    if isinstance(address, IPv4Address):
        return address
    own = (each.ip for each in node.host.addresses.get(link.name, ()))
    return next((each for each in own if each.version == 6 and each not in moving), None)  # noqa: PLR2004


def _backend(node: Node, vip: IpAddress, mac: bytes) -> str:
    """Return the name of a backend of DR with that MAC; "" if it is somebody else."""
    for pool in node.pools:
        if pool.vip == vip and pool.mode == "dr" and (name := _member(node, pool, mac)):
            return f"backend {pool.service}/{name}"
    return ""


def _member(node: Node, pool: Pool, mac: bytes) -> str:
    hops = node.host.network.next_hops
    return next(
        (m.name for m in pool.members if (h := hops.get(m.address)) and h.mac == mac), ""
    )


def _claimed_by_backend(name: str, vip: IpAddress) -> Finding:
    remedy = (
        "let it have the VIP on its loopback only, and there: `sysctl -w "
        "net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2`"
    )
    if vip.version == 6:  # noqa: PLR2004
        remedy = "let it have the VIP on its loopback only, and answer for nobody else"
    return Finding(
        "vip-claimed-by-backend",
        Severity.ERROR,
        f"{name} tells everybody that it has the VIP {vip}: clients may reach it past this "
        "node, and it alone",
        remedy,
    )


def _held_twice(
    node: Node, claim: Claim, mac: bytes, names: frozenset[IpAddress]
) -> Finding:
    known = ", ".join(sorted(str(each) for each in names - {claim.address}))
    who = f"{mac.hex(':')} ({known})" if known else mac.hex(":")
    remedy = "find that host, and take the address from it"
    if node.routers:
        remedy = (
            "if that is the other node, both are Active: see that VRRP (IP protocol 112) "
            "passes between them, by firewalls and switches; else take the address from it"
        )
    return Finding(
        "vip-held-twice",
        Severity.ERROR,
        f"{claim.address} is on this node, and {who} answers for it on {claim.link.name} "
        "as well: some clients reach the one, some the other",
        remedy,
    )
