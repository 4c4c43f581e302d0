"""``guideway doctor``: looks at the host that it runs on, and at guidewayd if it runs."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from control.cli.client import Failure
from control.cli.options import output_option
from control.cli.ranges import Real
from control.cli.session import Session, pass_session

if TYPE_CHECKING:
    from rich.console import RenderableType

    from control.doctor.facts import Node
    from control.doctor.findings import Finding

_WARNED: Final = 3  # exit codes
_BROKEN: Final = 4


@click.command(
    epilog="Exit codes: 0, nothing but notes; 3, warnings; 4, errors; 1, it could not "
    "look. Example: guideway doctor -o json"
)
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default=Path("/etc/guideway/guideway.yaml"),
    show_default=True,
    help="The configuration file of guidewayd.",
)
@click.option(
    "--wait",
    type=Real(min=0.1, max=60),
    default=1.2,
    show_default=True,
    help="Seconds that drops are counted for; backends have as long to answer.",
)
@output_option
@pass_session
def doctor(session: Session, path: Path, wait: float) -> None:
    """Look for what is wrong with this node, and say how to mend it.

    Looks at the host, at guidewayd, at guideway-vrrpd, and asks backends by frames of its
    own: whether those of DR have the VIP and keep it to themselves, whether those of NAT
    send their replies here and compute checksums. Changes nothing. Best run as root.
    """
    if session.client.remote is not None:
        raise Failure("doctor looks at the host that it runs on: leave --address out")
    from control.doctor.examine import examine  # noqa: PLC0415 - slow to import

    node, on_the_wire = _look(session, path, wait)
    findings = sorted(
        {*examine(node), *on_the_wire}, key=lambda each: (-each.severity, each.code)
    )
    plain = [
        {
            "code": finding.code,
            "severity": finding.severity.name.lower(),
            "problem": finding.problem,
            "remedy": finding.remedy,
        }
        for finding in findings
    ]
    session.show({"findings": plain}, lambda: _view(findings))
    sys.exit(_exit_code(findings))


def _look(session: Session, path: Path, wait: float) -> tuple["Node", list["Finding"]]:
    """Return all that is known, and what backends answer; raise Failure."""
    from pyroute2 import NetlinkError  # noqa: PLC0415 - as above

    from control.cli.doctor_sources import Sources  # noqa: PLC0415
    from control.doctor.asking import ask_backends  # noqa: PLC0415
    from control.doctor.examine import is_elsewhere  # noqa: PLC0415

    sources = Sources(session.client, path)
    try:
        before = sources.counters()
        started = time.monotonic()
        node = sources.node()
        may_ask = node.host.is_root and not is_elsewhere(node)
        on_the_wire = ask_backends(node, wait / 2) if may_ask else []
        time.sleep(max(0.0, started + wait - time.monotonic()))
        return sources.with_changes(node, before), on_the_wire
    except (OSError, NetlinkError) as error:
        raise Failure(f"cannot look at this host: {error}") from error


def _exit_code(findings: list["Finding"]) -> int:
    from control.doctor.findings import Severity, worst  # noqa: PLC0415 - as above

    codes = {Severity.ERROR: _BROKEN, Severity.WARNING: _WARNED}
    found = worst(tuple(findings))
    return codes.get(found, 0) if found else 0


def _view(findings: list["Finding"]) -> "RenderableType":
    from rich.console import Group  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    if not findings:
        return Text("nothing is wrong", "green")
    styles = {"error": "red", "warning": "yellow", "note": ""}
    lines = []
    for finding in findings:
        severity = finding.severity.name.lower()
        lines.append(Text.assemble((f"{severity}: ", styles[severity]), finding.problem))
        lines.append(Text(f"  → {finding.remedy}"))
    return Group(*lines)
