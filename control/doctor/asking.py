"""Asking backends whether they do what their mode asks of them."""

from control.doctor.facts import Node
from control.doctor.findings import Finding, Severity
from control.doctor.paths import MOST, cases, judge, resets, unasked
from control.doctor.wire import ask, send


def ask_backends(node: Node, seconds: float) -> list[Finding]:
    """Return what is wrong with the backends of ``node``; they have ``seconds``, twice."""
    asked = cases(node)
    try:
        answers = ask([case.question for case in asked], seconds)
        for interface, frame in resets(asked, answers):
            send(interface, [frame])
    except OSError as error:
        why = f"backends could not be asked: {error.strerror or error}"
        return [Finding("not-asked", Severity.WARNING, why, "see the other findings")]
    findings = list(judge(asked, answers))
    if more := unasked(node):
        why = f"{MOST} backends were asked how they are reached, and {more} were not"
        findings.append(
            Finding("not-all-asked", Severity.NOTE, why, "nothing: it is a sample")
        )
    return findings
