"""Whether backends do what their mode asks of them: what to ask, and what it means. Pure.

In DR a backend accepts packets for the VIP and never says that it has it; in NAT its way to
clients leads through this node. No health check sees either.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from control.addresses import IpAddress, with_port
from control.doctor.facts import Member, Node, Pool
from control.doctor.findings import Finding, Severity
from control.doctor.frames import Answer, Ends, Key, Question, echo, reset, syn, who_has
from control.facts import Link

MOST: Final = 512  # backends that are asked
_PORTS: Final = 61000  # ours: beyond those that Linux gives away by itself
# Somebody far away, whom nobody has: RFC 5737 (TEST-NET-1), RFC 6666 (discard only).
_FAR: Final[Mapping[int, IpAddress]] = {
    4: IPv4Address("192.0.2.1"),
    6: IPv6Address("100::1"),
}


@dataclass(frozen=True, slots=True)
class Case:
    """Something that is asked, and of whom."""

    pool: Pool
    member: Member
    question: Question
    ends: Ends
    is_return: bool = False  # of NAT: whether replies come here


def cases(node: Node) -> tuple[Case, ...]:
    """Return what there is to ask, of :data:`MOST` backends that may serve."""
    return tuple(
        case
        for number, (pool, member) in enumerate(_able(node)[:MOST])
        for case in _of(node, pool, member, number)
    )


def unasked(node: Node) -> int:
    """Return how many backends that may serve are beyond :data:`MOST`."""
    return max(0, len(_able(node)) - MOST)


def resets(
    asked: Iterable[Case], answers: Mapping[Key, tuple[Answer, ...]]
) -> Iterator[tuple[str, bytes]]:
    """Yield interface and frame of each connection that is to be taken back."""
    for case in asked:
        key = case.question.key
        for answer in answers.get(key, ()):
            if key.kind == "tcp" and answer.accepts:
                frame = reset(case.ends, key.speaker_port, key.number, answer.next)
                yield case.question.interface, frame


def judge(
    asked: Iterable[Case], answers: Mapping[Key, tuple[Answer, ...]]
) -> Iterator[Finding]:
    """Yield what the answers, or their absence, say."""
    for case in asked:
        heard = answers.get(case.question.key, ())
        if case.is_return:
            yield from _judge_return(case, heard)
        elif case.question.key.kind == "neighbour":
            yield from _judge_neighbour(case, heard)
        elif case.pool.mode == "dr":
            yield from _judge_vip(case, heard)
        else:
            yield from _judge_checksum(case, heard)


def _able(node: Node) -> list[tuple[Pool, Member]]:
    """Return the backends that may serve, each with its pool."""
    return [
        (pool, member)
        for pool in node.pools
        for member in pool.members
        if member.is_active and member.health != "down"
    ]


def _of(node: Node, pool: Pool, member: Member, number: int) -> Iterator[Case]:
    hop = node.host.network.next_hops.get(member.address)
    link = node.host.links.get(hop.interface) if hop else None
    if hop is None or hop.mac is None or link is None or not link.is_up:
        return
    own = _own(node, link, member.address)
    if own is None:
        return
    to = pool.vip if pool.mode == "dr" else member.address
    # A backend that routes would send a packet for a VIP that it does not have back to us.
    ends = Ends(link.mac, hop.mac, own, to, 1 if pool.mode == "dr" else 64)
    if pool.mode == "dr":
        yield _case(pool, member, link, ends, who_has(pool.vip, link.mac, own))
        question = echo(ends, number)
        if pool.protocol == "tcp" and member.port:
            question = syn(ends, member.port, _PORTS + number)
        yield _case(pool, member, link, ends, question)
        return
    if pool.protocol == "tcp" and member.port:
        question = syn(ends, member.port, _PORTS + number)
        yield _case(pool, member, link, ends, question)
    if _is_gateway(node):
        far = Ends(link.mac, hop.mac, _FAR[to.version], to)
        question = echo(far, number)
        yield _case(pool, member, link, far, question, is_return=True)


def _case(
    pool: Pool,
    member: Member,
    link: Link,
    ends: Ends,
    question: tuple[bytes, Key],
    *,
    is_return: bool = False,
) -> Case:
    return Case(pool, member, Question(link.name, *question), ends, is_return)


def _own(node: Node, link: Link, to: IpAddress) -> IpAddress | None:
    """Return the address of ``link`` to speak from: one of the backend's network, first."""
    vips = {each.vip for each in node.pools}
    candidates = [
        each
        for each in node.host.addresses.get(link.name, ())
        if each.version == to.version and each.ip not in vips and not each.is_link_local
    ]
    candidates.sort(key=lambda each: to not in each.network)
    return candidates[0].ip if candidates else None


def _is_gateway(node: Node) -> bool:
    """Tell whether backends send to this node what is for clients: where it is Active."""
    if node.routers is None:
        return True
    return any(router.state == "active" for router in node.routers.values())


def _judge_vip(case: Case, heard: tuple[Answer, ...]) -> Iterator[Finding]:
    name = _name(case)
    if not heard:
        length = case.pool.vip.max_prefixlen
        yield Finding(
            "vip-not-on-backend",
            Severity.ERROR,
            f"{name} does not answer packets for the VIP {case.pool.vip}",
            f"give it the VIP, on its loopback: `ip address add {case.pool.vip}/{length} "
            "dev lo`, and see that nothing filters",
        )
    elif case.question.key.kind == "tcp" and not any(each.accepts for each in heard):
        place = with_port(case.pool.vip, case.member.port)
        yield Finding(
            "vip-refused",
            Severity.ERROR,
            f"{name} has the VIP and refuses connections to {place}",
            "let its server listen on the VIP, too, or on every address",
        )


def _judge_neighbour(case: Case, heard: tuple[Answer, ...]) -> Iterator[Finding]:
    if any(answer.mac == case.ends.mac for answer in heard):
        yield Finding(
            "vip-claimed-by-backend",
            Severity.ERROR,
            f"{_name(case)} tells everybody that it has the VIP {case.pool.vip}: clients "
            "may reach it past this node, and it alone",
            "let it have the VIP on its loopback only, and there: `sysctl -w "
            "net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2`",
        )


def _judge_checksum(case: Case, heard: tuple[Answer, ...]) -> Iterator[Finding]:
    if any(not answer.checksum_is_right for answer in heard):
        interface = case.question.interface
        yield Finding(
            "checksum-offloaded",
            Severity.ERROR,
            f"{_name(case)} sends packets by {interface} whose checksums nobody has "
            "computed, as hosts do over veth and between virtual machines: NAT passes on "
            "what is wrong with them",
            "let it compute them: `ethtool -K eth0 tx off` there, or at the port of the "
            "bridge that leads here",
        )


def _judge_return(case: Case, heard: tuple[Answer, ...]) -> Iterator[Finding]:
    if not heard:
        yield Finding(
            "replies-elsewhere",
            Severity.ERROR,
            f"{_name(case)} does not send by this node what is for {case.ends.source}, "
            "and so for clients (or it answers no pings)",
            "let its default route lead to an address of this node, best to one that VRRP "
            "moves: `ip route replace default via ADDRESS`",
        )


def _name(case: Case) -> str:
    return f"backend {case.pool.service}/{case.member.name}"
