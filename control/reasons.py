"""Why packets left the program, and what an operator may do about it.

Name, verdict and meaning of a reason are its comment in ``dataplane/bpf/abi.h``; what to do
is said here. Everybody who tells of reasons (``guideway stats``, ``guideway explain``, the
table in docs/guideway.md) has it from here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from dataplane.abi import REASONS, Reason

_NOTHING: Final = "nothing: all is well"
REMEDIES: Final = {
    "not_ours": "nothing; if it should be balanced, compare address, protocol and port "
    "with `guideway service list`",
    "forwarded_dr": _NOTHING,
    "forwarded_nat": _NOTHING,
    "replied_nat": _NOTHING,
    "replied_by_host": "nothing if it happens now and then; if always, see that the next "
    "hop to clients is behind an interface of `interfaces`",
    "reply_direct": "nothing: health checks are answered this way; if clients get no "
    "replies, they are within a prefix of `direct`",
    "reply_unknown": "nothing: the backend speaks for itself; after a failover, clients "
    "have to connect anew",
    "icmp_answered": _NOTHING,
    "icmp_forwarded": "nothing: it says unreachable, time exceeded or packet too big",
    "icmp_replied": "nothing: it says unreachable, time exceeded or packet too big",
    "icmp_passed": "nothing: the host may answer it",
    "other_station": "see why frames for others come here: a flooding switch, or a "
    "neighbour with an old MAC for the VIP",
    "no_backend": "see `guideway backend list`: it says why each backend gets nothing",
    "malformed": "nothing, unless it is a client of yours: then see what cuts its packets",
    "martian": "filter what cannot be a source (0.0.0.0/8, loopback, multicast) at the "
    "border; if it is a VIP, look for a host that speaks as one",
    "hairpin": "let backends reach each other by their own addresses, not by the VIP",
    "fragment": "see that fragments take one way and come in order, within 30 s, or lower "
    "the sender's MTU",
    "ttl_exceeded": "look for a routing loop, or for somebody's traceroute",
    "foreign_vlan": "give the host an interface in the VLAN that clients are in",
    "no_headroom": "use another driver or `xdp_mode: generic`, or let backends be in the "
    "VLAN of the clients",
    "port_gone": "see `guideway status`: an interface of `interfaces` is missing",
}


@dataclass(frozen=True, slots=True)
class Described:
    """A reason, as operators are told of it."""

    name: str  # stable, for programs
    verdict: str  # "forward", "pass" or "drop"
    meaning: str  # what happened
    remedy: str  # what to do about it


def described(reason: Reason) -> Described:
    """Return all there is to say of a reason."""
    remedy = REMEDIES[reason.name]
    return Described(reason.name, reason.verdict.value, reason.meaning, remedy)


def markdown() -> Iterator[str]:
    """Yield the lines of the table in docs/guideway.md.

    ``python -m control.reasons`` prints them.
    """
    yield "| reason | verdict | what happened | what to do |"
    yield "|---|---|---|---|"
    for reason in map(described, REASONS):
        cells = f"`{reason.name}`", reason.verdict, reason.meaning, reason.remedy
        yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print("\n".join(markdown()))  # noqa: T201
