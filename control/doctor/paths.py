"""Whether backends do what their mode asks of them: what to ask, and what it means. Pure.

In DR a backend accepts packets for the VIP; in NAT its way to clients leads through this
node; in both it takes packets as long as those that clients send. No health check sees it.

A backend need not answer pings. Where an answer is missing, what it says to a ping at its
own address tells whether that means anything.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from control.addresses import IpAddress, with_port
from control.doctor.answers import Answer
from control.doctor.facts import Member, Node, Pool
from control.doctor.findings import Finding, Severity
from control.doctor.frames import Ends, Key, Question, echo, reset, syn
from control.facts import Link

MOST: Final = 512  # backends that are asked
_PORTS: Final = 61000  # ours: beyond those that Linux gives away by itself
_DISCARD: Final = 9  # a port that hardly anybody listens at
# Somebody far away, whom nobody has: RFC 5737 (TEST-NET-1), RFC 6666 (discard only).
_FAR: Final[Mapping[int, IpAddress]] = {
    4: IPv4Address("192.0.2.1"),
    6: IPv6Address("100::1"),
}


class Subject(Enum):
    """What a backend is asked for."""

    VIP = auto()  # DR: a connection at the VIP; if it is none of TCP, a ping there
    KNOCK = auto()  # DR, besides that ping: whoever refuses a connection has the VIP, too
    SERVER = auto()  # NAT: a connection at its own address
    RETURN = auto()  # NAT: a ping from afar, of which the answer should come here
    PING = auto()  # at its own address
    LARGE = auto()  # the same, as long as the interface here allows


@dataclass(frozen=True, slots=True)
class Asked:
    """One thing that a backend is asked, and from where to where."""

    question: Question
    ends: Ends


@dataclass(frozen=True, slots=True)
class Case:
    """A backend, and what it is asked."""

    pool: Pool
    member: Member
    link: Link  # that leads there
    asked: Mapping[Subject, Asked]

    @property
    def name(self) -> str:
        """What an operator calls it."""
        return f"backend {self.pool.service}/{self.member.name}"


Answers = Mapping[Key, tuple[Answer, ...]]


def cases(node: Node) -> tuple[Case, ...]:
    """Return what there is to ask, of :data:`MOST` backends that may serve."""
    found = []
    pings: dict[IpAddress, Mapping[Subject, Asked]] = {}
    for number, (pool, member) in enumerate(_able(node)[:MOST]):
        hop = node.host.network.next_hops.get(member.address)
        link = node.host.links.get(hop.interface) if hop else None
        if hop is None or hop.mac is None or link is None or not link.is_up:
            continue
        own = _own(node, link, member.address)
        if own is None or not any(link.mac):
            continue
        ends = Ends(link.mac, hop.mac, own, member.address)
        case = Case(pool, member, link, {})
        asked = dict(_of_dr(case, ends, number))
        if pool.mode == "nat":
            asked = dict(_of_nat(case, ends, number, is_gateway=_is_gateway(node, pool)))
        if member.address in pings:  # it is asked once how long packets may be
            asked[Subject.PING] = pings[member.address][Subject.PING]
        else:
            pings[member.address] = _pings(link, ends, number)
            asked |= pings[member.address]
        found.append(replace(case, asked=asked))
    return tuple(found)


def questions(asked: Iterable[Case]) -> tuple[Question, ...]:
    """Return each question once."""
    return tuple(
        dict.fromkeys(one.question for case in asked for one in case.asked.values())
    )


def unasked(node: Node) -> int:
    """Return how many backends that may serve are beyond :data:`MOST`."""
    return max(0, len(_able(node)) - MOST)


def resets(asked: Iterable[Case], answers: Answers) -> Iterator[tuple[str, bytes]]:
    """Yield interface and frame of each connection that is to be taken back."""
    for one in (each for case in asked for each in case.asked.values()):
        key = one.question.key
        for answer in answers.get(key, ()):
            if key.kind == "tcp" and answer.accepts:
                frame = reset(one.ends, key.speaker_port, key.number, answer.next)
                yield one.question.interface, frame


def judge(asked: Iterable[Case], answers: Answers) -> Iterator[Finding]:
    """Yield what the answers, or their absence, say."""
    for case in asked:
        heard = {
            subject: answers.get(one.question.key, ())
            for subject, one in case.asked.items()
        }
        if Subject.VIP in heard:
            yield from _judge_vip(case, heard)
        if Subject.SERVER in heard:
            yield from _judge_checksum(case, heard[Subject.SERVER])
        if Subject.RETURN in heard and not heard[Subject.RETURN]:
            yield _judge_return(case, heard)
        if Subject.LARGE in heard and heard[Subject.PING]:
            yield from _judge_length(case, heard[Subject.LARGE])


def _able(node: Node) -> list[tuple[Pool, Member]]:
    """Return the backends that may serve, each with its pool."""
    return [
        (pool, member)
        for pool in node.pools
        for member in pool.members
        if member.is_active and member.health != "down"
    ]


def _of_dr(case: Case, ends: Ends, number: int) -> Iterator[tuple[Subject, Asked]]:
    port = case.member.port
    # A backend that routes would send a packet for a VIP that it does not have back to us.
    to_vip = Ends(ends.source_mac, ends.mac, ends.source, case.pool.vip, hops=1)
    knock = _asked(case.link, to_vip, syn(to_vip, port or _DISCARD, _PORTS + number))
    if case.pool.protocol == "tcp" and port:
        yield Subject.VIP, knock
    else:
        yield Subject.VIP, _asked(case.link, to_vip, echo(to_vip, number))
        yield Subject.KNOCK, knock


def _of_nat(
    case: Case, ends: Ends, number: int, *, is_gateway: bool
) -> Iterator[tuple[Subject, Asked]]:
    port = case.member.port
    if case.pool.protocol == "tcp" and port:
        yield Subject.SERVER, _asked(case.link, ends, syn(ends, port, _PORTS + number))
    if is_gateway:
        source = _FAR[ends.address.version]
        far = Ends(ends.source_mac, ends.mac, source, ends.address)
        yield Subject.RETURN, _asked(case.link, far, echo(far, number))


def _pings(link: Link, ends: Ends, number: int) -> Mapping[Subject, Asked]:
    return {
        Subject.PING: _asked(link, ends, echo(ends, MOST + number)),
        Subject.LARGE: _asked(link, ends, echo(ends, 2 * MOST + number, link.mtu)),
    }


def _asked(link: Link, ends: Ends, question: tuple[bytes, Key]) -> Asked:
    return Asked(Question(link.name, *question), ends)


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


def _is_gateway(node: Node, pool: Pool) -> bool:
    """Tell whether backends send to this node what is for clients of that pool.

    They do where it is Active for them: of several instances, each has VIPs of its own.
    """
    if pool.vip in node.host.network.addresses:
        return True
    states = {router.state for router in (node.routers or {}).values()}
    return states == {"active"}  # and the VIP is routed here


def _judge_vip(
    case: Case, heard: Mapping[Subject, tuple[Answer, ...]]
) -> Iterator[Finding]:
    vip = case.pool.vip
    if not heard[Subject.VIP] and not heard.get(Subject.KNOCK):
        if Subject.KNOCK in heard and not heard[Subject.PING]:
            yield Finding(
                "vip-unknown",
                Severity.NOTE,
                f"{case.name} answers no pings: whether it has the VIP {vip} is not known",
                f"look there: `ip address show to {vip}` should name its loopback",
            )
            return
        yield Finding(
            "vip-not-on-backend",
            Severity.ERROR,
            f"{case.name} does not answer packets for the VIP {vip}",
            f"give it the VIP, on its loopback: `ip address add {vip}/{vip.max_prefixlen} "
            "dev lo`, and see that nothing filters",
        )
    elif Subject.KNOCK not in heard and not any(a.accepts for a in heard[Subject.VIP]):
        place = with_port(vip, case.member.port)
        yield Finding(
            "vip-refused",
            Severity.ERROR,
            f"{case.name} has the VIP and refuses connections to {place}",
            "let its server listen on the VIP, too, or on every address",
        )


def _judge_checksum(case: Case, heard: tuple[Answer, ...]) -> Iterator[Finding]:
    if any(not answer.checksum_is_right for answer in heard):
        yield Finding(
            "checksum-offloaded",
            Severity.ERROR,
            f"{case.name} sends packets by {case.link.name} whose checksums nobody has "
            "computed, as hosts do over veth and between virtual machines: NAT passes on "
            "what is wrong with them",
            "let it compute them: `ethtool -K eth0 tx off` there, or at the port of the "
            "bridge that leads here",
        )


def _judge_return(case: Case, heard: Mapping[Subject, tuple[Answer, ...]]) -> Finding:
    far = case.asked[Subject.RETURN].ends.source
    remedy = (
        "let its default route lead to an address of this node, best to one that VRRP "
        "moves: `ip route replace default via ADDRESS`"
    )
    if heard[Subject.PING]:
        return Finding(
            "replies-elsewhere",
            Severity.ERROR,
            f"{case.name} does not send by this node what is for {far}, and so for clients",
            remedy,
        )
    return Finding(
        "replies-unknown",
        Severity.NOTE,
        f"{case.name} answers no pings: whether it sends by this node what is for clients "
        "is not known",
        f"look there: `ip route get {far}` should name an address of this node",
    )


def _judge_length(case: Case, heard: tuple[Answer, ...]) -> Iterator[Finding]:
    limits = {answer.limit for answer in heard if answer.limit}
    if limits:
        what = f"somebody on the way takes {min(limits)} at most"
    elif not heard:
        what = "a ping of that length gets no answer, and a short one does"
    elif not any(answer.is_whole for answer in heard):
        what = "it answers in pieces, for its own MTU is smaller"
    else:
        return
    yield Finding(
        "backend-mtu",
        Severity.WARNING,
        f"packets of {case.link.mtu} bytes, the MTU of {case.link.name}, are too long for "
        f"{case.name}: {what}",
        f"give all of that segment the same MTU: `ip link set eth0 mtu {case.link.mtu}` "
        "there, and see switches and routers between",
    )
