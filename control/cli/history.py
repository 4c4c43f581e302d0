"""``guideway history``, ``show``, ``diff``, ``rollback`` and ``confirm``."""

from pathlib import Path
from typing import Unpack

import click
from rich.console import Group
from rich.text import Text

from control.api.v1 import configuration_pb2 as pb
from control.cli.apply import print_state, read_services
from control.cli.change import ChangeOptions, change_options, tell
from control.cli.differences import (
    confirmed_sentence,
    difference_view,
    moment,
    versions_table,
)
from control.cli.known_names import version_numbers
from control.cli.options import VERSION, output_option
from control.cli.plain_configuration import difference_plain, version_plain
from control.cli.plain_node import pending_plain
from control.cli.ranges import Whole
from control.cli.session import Session, pass_session
from control.cli.tables import pending_sentence


@click.command(epilog="Example: guideway history --limit 5")
@click.option(
    "--limit",
    type=Whole(1, 1000),
    default=20,
    show_default=True,
    help="So many versions at most.",
)
@click.option(
    "--before",
    type=VERSION,
    metavar="VERSION",
    shell_complete=version_numbers,
    help="Only older ones.",
)
@output_option
@pass_session
def history(session: Session, limit: int, before: int | None) -> None:
    """List the changes of the desired state, the newest first."""
    request = pb.ListVersionsRequest(limit=limit, before=before or 0)
    answer = session.client.configure(lambda stub: stub.ListVersions, request)
    versions = [version_plain(version) for version in answer.versions]
    pending = pending_plain(answer.pending) if answer.HasField("pending") else None
    plain = {"versions": versions, "current": answer.current, "pending": pending}
    waits = [Text(pending_sentence(pending), "yellow")] if pending else []
    session.show(plain, lambda: Group(versions_table(versions), *waits))


@click.command(epilog="Example: guideway show 7")
@click.argument("version", type=VERSION, shell_complete=version_numbers)
@output_option
@pass_session
def show(session: Session, version: int) -> None:
    """Show who made VERSION, when and why, and what it wants, as YAML."""
    request = pb.GetVersionRequest(version=version)
    answer = session.client.configure(lambda stub: stub.GetVersion, request)
    plain = version_plain(answer.version)
    if session.output == "json":
        from control.api.convert_configuration import state_from_pb  # noqa: PLC0415 - slow
        from control.document import state_document  # noqa: PLC0415 - slow

        session.show(plain | state_document(state_from_pb(answer.state)), lambda: "")
        return
    comment = f": {plain['comment']}" if plain["comment"] else ""
    click.echo(
        f"# version {plain['version']}, {moment(plain['time'])}, by {plain['author']} "
        f"({plain['source']}){comment}"
    )
    if plain["confirmed"] is not None:
        click.echo(f"# {confirmed_sentence(plain)}")
    print_state(session, answer.state)


@click.command(epilog="Examples: guideway diff 7; guideway diff 7 9; guideway diff -f FILE")
@click.argument("a", type=VERSION, required=False, shell_complete=version_numbers)
@click.argument("b", type=VERSION, required=False, shell_complete=version_numbers)
@click.option(
    "-f",
    "--file",
    type=click.Path(path_type=Path),
    help="Compare with the services of a file instead of B; - is standard input.",
)
@output_option
@pass_session
def diff(session: Session, a: int | None, b: int | None, file: Path | None) -> None:
    """Show what differs from version A to B, and what the step would do to flows now.

    Without B, it is the version now that A is compared with; without A, it is compared with
    the file.
    """
    if (a is None and file is None) or (b is not None and file is not None):
        raise click.UsageError("say what to compare: a version, two of them, or a file")
    request = pb.DiffRequest()
    if a is not None:
        setattr(request, "from", a)
    if b is not None:
        request.to_version = b
    if file is not None:
        from control.api.convert_configuration import state_to_pb  # noqa: PLC0415 - slow

        state, _ = read_services(file)
        request.to_state.CopyFrom(state_to_pb(state))
    answer = session.client.configure(lambda stub: stub.Diff, request)
    plain = difference_plain(answer.difference)
    if plain["services"] or plain["reordered"]:
        session.show({"difference": plain}, lambda: difference_view(plain))
    else:
        session.said("there is no difference", difference=plain)


@click.command(epilog="Example: guideway rollback 7 --dry-run")
@click.argument("version", type=VERSION, shell_complete=version_numbers)
@change_options
@output_option
@pass_session
def rollback(session: Session, version: int, **options: Unpack[ChangeOptions]) -> None:
    """Make the state of VERSION the desired state again; that is a new version."""
    request = pb.RollbackRequest(
        version=version,
        expected_version=options["expected_version"],
        dry_run=session.dry_run,
        comment=session.comment,
        confirm_timeout=options["confirm"],
    )
    answer = session.client.configure(lambda stub: stub.Rollback, request)
    tell(session, answer)


@click.command(epilog="Example: guideway confirm")
@click.argument("version", type=VERSION, required=False, shell_complete=version_numbers)
@output_option
@pass_session
def confirm(session: Session, version: int | None) -> None:
    """Keep the version that waits for it; VERSION, if that is given, and no other."""
    request = pb.ConfirmRequest(version=version)
    answer = session.client.configure(lambda stub: stub.Confirm, request)
    session.said(
        f"version {answer.version} is confirmed, and stays", version=answer.version
    )
