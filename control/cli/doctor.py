"""``guideway doctor``: looks at the host that it runs on, and at guidewayd if it runs."""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from control.cli.client import Failure
from control.cli.options import output_option
from control.cli.ranges import Real
from control.cli.session import Session, pass_session

if TYPE_CHECKING:
    from rich.console import RenderableType

    from control.cli.doctor_sources import Sources
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
    type=click.Path(readable=False, path_type=Path),  # the doctor says why it is not
    default=Path("/etc/guideway/guideway.yaml"),
    show_default=True,
    help="The configuration file of guidewayd.",
)
@click.option(
    "--vrrp-config",
    "vrrp_path",
    type=click.Path(readable=False, path_type=Path),  # the doctor says why it is not
    default=Path("/etc/guideway/vrrp.yaml"),
    show_default=True,
    help="That of guideway-vrrpd, if it runs.",
)
@click.option(
    "--wait",
    type=Real(min=0.1, max=60),
    default=1.2,
    show_default=True,
    help="Seconds that drops are counted for; others have as long to answer.",
)
@output_option
@pass_session
def doctor(session: Session, path: Path, vrrp_path: Path, wait: float) -> None:
    """Look for what is wrong with this node, and say how to mend it.

    Looks at the host, at guidewayd, at guideway-vrrpd, and asks others by frames of its
    own: who has the VIPs, whether backends of DR have them and keep that to themselves,
    whether those of NAT send their replies here and compute checksums, and how long packets
    may be. Changes nothing, and takes --wait and a second, or up to ten seconds more if
    VRRP seems to stand still. Best run as root.
    """
    if session.client.remote is not None:
        raise Failure("doctor looks at the host that it runs on: leave --address out")
    from control.cli.doctor_sources import Sources  # noqa: PLC0415 - slow to import
    from control.doctor.examine import examine  # noqa: PLC0415

    node, told = _look(Sources(session.client, path, vrrp_path), wait)
    findings = sorted({*examine(node), *told}, key=lambda each: (-each.severity, each.code))
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


def _look(sources: "Sources", wait: float) -> tuple["Node", tuple["Finding", ...]]:
    """Return all that is known, and what is wrong by what others say; raise Failure."""
    from pyroute2 import NetlinkError  # noqa: PLC0415 - as above

    from control.doctor.asking import Told, ask_others  # noqa: PLC0415
    from control.doctor.examine import is_elsewhere  # noqa: PLC0415

    try:
        before = sources.counters()
        started = time.monotonic()
        node = sources.node()
        may_ask = node.host.is_root and not is_elsewhere(node)
        told = ask_others(node, wait / 2) if may_ask else Told()
        node = replace(node, overheard=told.overheard)
        time.sleep(max(0.0, started + wait - time.monotonic()))
        return sources.with_changes(node, before), told.findings
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
