"""Asking others: backends whether they do as their mode asks, and all who has the VIPs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from control.addresses import IpAddress
from control.doctor.claims import claims, judge_claims
from control.doctor.facts import Node
from control.doctor.findings import Finding, Severity
from control.doctor.paths import MOST, cases, judge, questions, resets, unasked
from control.doctor.vrrp import overheard
from control.doctor.wire import ask, send


@dataclass(frozen=True, slots=True)
class Told:
    """What others have told."""

    findings: tuple[Finding, ...] = ()
    overheard: Mapping[str, frozenset[IpAddress]] = field(default_factory=dict)


def ask_others(node: Node, seconds: float) -> Told:
    """Return what is wrong around ``node``; the others have ``seconds``, twice."""
    asked, claimed = cases(node), claims(node)
    links = node.host.links
    listened = {
        station.interface
        for station in node.stations.values()
        if (link := links.get(station.interface)) is not None and link.is_up
    }
    every = (*questions(asked), *(claim.question for claim in claimed))
    try:
        heard = ask(every, seconds, listened)
        for interface, frame in resets(asked, heard.answers):
            send(interface, [frame])
    except OSError as error:
        why = f"others could not be asked: {error.strerror or error}"
        return Told(
            (Finding("not-asked", Severity.WARNING, why, "see the other findings"),)
        )
    findings = [
        *judge(asked, heard.answers),
        *judge_claims(node, claimed, heard.answers, (each for _, each in heard.adverts)),
    ]
    if more := unasked(node):
        why = f"{MOST} backends were asked how they are reached, and {more} were not"
        findings.append(
            Finding("not-all-asked", Severity.NOTE, why, "nothing: it is a sample")
        )
    return Told(tuple(findings), overheard(node, heard.adverts))
