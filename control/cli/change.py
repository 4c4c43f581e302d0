"""What ``guideway apply`` and ``guideway rollback`` have in common."""

from collections.abc import Callable
from functools import reduce
from typing import TypedDict, TypeVar

import click

from control.api.v1 import configuration_pb2 as pb
from control.cli.convergence import wait_for
from control.cli.differences import difference_view
from control.cli.durations import DurationParameter
from control.cli.known_names import version_numbers
from control.cli.options import VERSION, comment_option, wait_option
from control.cli.plain import pending_plain
from control.cli.plain_configuration import difference_plain
from control.cli.session import Session
from control.cli.tables import pending_sentence

Command = TypeVar("Command", bound=Callable[..., None])


class ChangeOptions(TypedDict):
    """What :func:`change_options` passes to a command."""

    dry_run: bool
    confirm: float | None  # seconds
    expected_version: int | None


def change_options(command: Command) -> Command:
    """Give a command the options of how the desired state is changed."""
    options = (
        click.option("--dry-run", is_flag=True, help="Only say what would change."),
        comment_option,
        click.option(
            "--confirm",
            type=DurationParameter(),
            metavar=DurationParameter.name,
            help="Undo it unless `guideway confirm` is said so soon: 60s, 5m, 1h.",
        ),
        click.option(
            "--expected-version",
            type=VERSION,
            metavar="VERSION",
            shell_complete=version_numbers,
            help="Refuse if the desired state is another version by now.",
        ),
        wait_option,
    )
    return reduce(lambda decorated, option: option(decorated), reversed(options), command)


def tell(session: Session, answer: pb.ApplyResponse, options: ChangeOptions) -> None:
    """Say what a change did or would do; wait for the kernel if that is asked for."""
    difference = difference_plain(answer.difference)
    pending = pending_plain(answer.pending) if answer.HasField("pending") else None
    changed = bool(difference["services"] or difference["reordered"])
    if session.output != "json" and changed:
        session.show(None, lambda: difference_view(difference))
    session.said(
        _sentence(answer, changed=changed, dry_run=options["dry_run"]),
        version=answer.version,
        changed=changed,
        dry_run=options["dry_run"],
        difference=difference,
        pending=pending,
    )
    if session.output != "json" and pending is not None:
        click.echo(pending_sentence(pending))
    if session.wait and not options["dry_run"]:
        names = [one["name"] for one in difference["services"]]
        wait_for(session.client, answer.version, names)


def _sentence(answer: pb.ApplyResponse, *, changed: bool, dry_run: bool) -> str:
    if not changed:
        return f"nothing changes: version {answer.version} is the same"
    if dry_run:
        return f"this would change version {answer.version}; nothing is changed"
    return f"this is version {answer.version} now"
