"""An explanation without a data plane."""

from dataclasses import replace
from ipaddress import ip_address

from control.explanation import Explanation, Question, SlotOwners
from control.model import Backend, Mode, Protocol, Service
from control.reasons import described
from dataplane.abi import REASONS, Reason
from dataplane.decision import Rule
from dataplane.frames import Headers

WEB = Service(
    "web",
    ip_address("192.0.2.1"),
    Protocol.TCP,
    80,
    Mode.NAT,
    (
        Backend("b1", ip_address("10.0.0.11"), 8080),
        Backend("b2", ip_address("10.0.0.12"), 8080),
    ),
)
SUMMARY = "forwarded to backend web/b2 10.0.0.12:8080 by NAT, out of interface eth1"
WHY = "slot 7 of 4093 is b2's now, and was b1's; the flow begins"


def reason(name: str) -> Reason:
    return next(each for each in REASONS if each.name == name)


def headers(question: Question) -> Headers:
    return Headers(
        bytes.fromhex("020000000000"),
        bytes.fromhex("020000000001"),
        question.tags,
        question.source,
        question.destination,
        64,
        question.protocol.number,
        question.source_port,
        question.destination_port,
    )


def forwarded(question: Question) -> Explanation:
    """Return that a packet goes to b2 by NAT, though b1 had its slot before."""
    received = headers(question)
    return Explanation(
        summary=SUMMARY,
        why=WHY,
        reason=described(reason("forwarded_nat")),
        interface=question.interface or "eth0",
        out="eth1",
        service=WEB,
        backend=WEB.backends[1],
        rule=Rule.NOW,
        slot=SlotOwners(7, 4093, "b2", "b1", in_transition=True),
        ring_in_transition=True,
        received=received,
        left=replace(
            received,
            source_mac=bytes.fromhex("020000000003"),
            destination_mac=bytes.fromhex("0200000000b2"),
            destination=ip_address("10.0.0.12"),
            destination_port=8080,
            ttl=63,
        ),
    )


def dropped(question: Question) -> Explanation:
    """Return that the service of a packet has nobody to serve it."""
    return replace(
        forwarded(question),
        summary="dropped: the service has no backend that can serve (service web)",
        why="",
        reason=described(reason("no_backend")),
        out="",
        backend=None,
        rule=Rule.NONE,
        slot=None,
        ring_in_transition=False,
        left=None,
    )


def passed(question: Question) -> Explanation:
    """Return that a packet belongs to no service."""
    return replace(
        dropped(question),
        summary=f"passed to the host: no service has {question.where}",
        reason=described(reason("not_ours")),
        service=None,
        left=headers(question),
    )
