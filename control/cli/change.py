"""What commands that change the desired state have in common."""

from collections.abc import Collection
from typing import TypeAlias, TypedDict

import click

from control.api.v1 import configuration_pb2 as pb
from control.api.v1 import guideway_pb2
from control.cli.client import Failure
from control.cli.convergence import wait_for
from control.cli.decoration import Command, decorated
from control.cli.differences import difference_view
from control.cli.durations import DurationParameter
from control.cli.known_names import version_numbers
from control.cli.options import VERSION, changing
from control.cli.plain_configuration import DifferencePlain, difference_plain
from control.cli.plain_node import PendingPlain, pending_plain
from control.cli.session import Session
from control.cli.tables import pending_sentence

Answer: TypeAlias = (
    guideway_pb2.AddServiceResponse
    | guideway_pb2.ChangeServiceResponse
    | guideway_pb2.RemoveServiceResponse
    | guideway_pb2.AddBackendResponse
    | guideway_pb2.SetBackendResponse
    | guideway_pb2.RemoveBackendResponse
)


class ChangeOptions(TypedDict):
    """What :func:`change_options` passes to a command."""

    confirm: float | None  # seconds
    expected_version: int | None


def change_options(command: Command) -> Command:
    """Give a command the options of how a whole state is changed."""
    options = (
        changing,
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
    )
    return decorated(command, options)


def news(subject: str, sentence: str, answer: Answer) -> str:
    """Return ``sentence``, of what a change did to ``subject``, if it did anything."""
    return f"{subject}: nothing changes" if answer.unchanged else sentence


def done(session: Session, sentence: str, answer: Answer, service: str = "") -> None:
    """Say what a change did, by ``sentence``, or would do; wait if that is asked for.

    Raise Failure if the wait takes long, or if nobody serves ``service`` then.
    """
    if session.dry_run:
        _foreseen(session, answer)
        return
    session.said(sentence, version=answer.version, changed=not answer.unchanged)
    if session.wait:
        wait_for(session, answer.version, [service] if service else [])


def tell(session: Session, answer: pb.ApplyResponse) -> None:
    """Say what a change of the whole state did or would do; wait if that is asked for."""
    difference = difference_plain(answer.difference)
    pending = pending_plain(answer.pending) if answer.HasField("pending") else None
    _show(session, answer.version, difference, pending=pending)
    if session.output == "table" and pending is not None:
        click.echo(pending_sentence(pending))
    if session.wait and not session.dry_run:
        wait_for(session, answer.version, _there(difference))


def _there(difference: DifferencePlain) -> Collection[str] | None:
    """Return the services that changed and are there; None, for all, if nothing changed."""
    if not difference["services"]:
        return None
    return [one["name"] for one in difference["services"] if one["change"] != "removed"]


def _foreseen(session: Session, answer: Answer) -> None:
    if not answer.HasField("difference"):
        raise Failure(
            "this guidewayd is of an earlier release, which knows no dry run of this: the "
            f"change has been made. `guideway rollback {answer.version - 1}` undoes it, if "
            f"the version before {answer.version} is what there was"
        )
    _show(session, answer.version, difference_plain(answer.difference))


def _show(
    session: Session,
    version: int,
    difference: DifferencePlain,
    **pending: PendingPlain | None,
) -> None:
    changed = bool(difference["services"] or difference["reordered"])
    if session.output == "table" and changed:
        session.show(None, lambda: difference_view(difference))
    session.said(
        _sentence(version, changed=changed, dry_run=session.dry_run),
        version=version,
        changed=changed,
        dry_run=session.dry_run,
        difference=difference,
        **pending,
    )


def _sentence(version: int, *, changed: bool, dry_run: bool) -> str:
    if not changed:
        return f"nothing changes: version {version} is the same"
    if dry_run:
        return f"this would change version {version}; nothing is changed"
    return f"this is version {version} now"
