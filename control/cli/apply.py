"""``guideway apply``, ``validate`` and ``export``: the desired state as a file."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Unpack

import click

from control.api.v1 import configuration_pb2 as pb
from control.cli.change import ChangeOptions, change_options, tell
from control.cli.client import Failure
from control.cli.known_names import version_numbers
from control.cli.options import VERSION, output_option
from control.cli.session import Session, pass_session
from control.errors import ConfigError

if TYPE_CHECKING:
    from control.desired import DesiredState

_STDIN: Final = Path("-")
_STDIN_NAME: Final = "standard input"


@click.command(
    epilog="Example: guideway apply -f guideway.yaml --confirm 60s --comment 'new servers'"
)
@click.option(
    "-f",
    "--file",
    type=click.Path(path_type=Path),
    required=True,
    help="What is wanted; - reads it from standard input.",
)
@change_options
@output_option
@pass_session
def apply(session: Session, file: Path, **options: Unpack[ChangeOptions]) -> None:
    """Make the services of a file those that are balanced, and no others.

    The file has `services`, as `guideway export` prints them; of a whole configuration
    file, only these count. Says what changes, and what that does to flows. Applying it
    twice changes nothing more.
    """
    state, is_whole = read_services(file)
    if is_whole:
        click.echo(
            f"guideway: {file} is a whole configuration file: only its services are "
            "applied; the rest counts when guidewayd starts",
            err=True,
        )
    from control.api.convert_configuration import state_to_pb  # noqa: PLC0415 - slow

    request = pb.ApplyRequest(
        state=state_to_pb(state),
        expected_version=options["expected_version"],
        dry_run=session.dry_run,
        comment=session.comment,
        confirm_timeout=options["confirm"],
    )
    answer = session.client.configure(lambda stub: stub.Apply, request)
    tell(session, answer)


@click.command(epilog="Example: guideway validate guideway.yaml")
@click.argument("file", type=click.Path(path_type=Path))
@output_option
@pass_session
def validate(session: Session, file: Path) -> None:
    """Say whether `guideway apply` could read FILE; no daemon is asked.

    A whole configuration file is checked as a whole. `guidewayd --check` also knows whether
    the maps have room for it, and the host the programs that it names.
    """
    state, _ = read_services(file)
    name = _STDIN_NAME if file == _STDIN else file
    backends = sum(len(service.backends) for service in state)
    session.said(
        f"{name} is right; services: {len(state.services)}, backends: {backends}",
        services=len(state.services),
        backends=backends,
    )


@click.command(epilog="Example: guideway export > services.yaml")
@click.option(
    "--version",
    "number",
    type=VERSION,
    metavar="VERSION",
    shell_complete=version_numbers,
    help="As it was in this version; `guideway history` lists them.",
)
@output_option
@pass_session
def export(session: Session, number: int | None) -> None:
    """Print the desired state as YAML (or JSON) that `guideway apply` takes."""
    request = pb.ExportRequest(version=number)
    answer = session.client.configure(lambda stub: stub.Export, request)
    print_state(session, answer.state)


def print_state(session: Session, message: pb.DesiredState) -> None:
    """Print a desired state as an operator writes it."""
    from control.api.convert_configuration import state_from_pb  # noqa: PLC0415 - slow
    from control.document import dump, state_document  # noqa: PLC0415 - slow

    try:
        state = state_from_pb(message)
    except ConfigError as error:
        problem = f"guidewayd is of another release: {error}"
        raise Failure(problem) from error
    if session.output == "json":
        session.show(state_document(state), lambda: "")
    else:
        click.echo(dump(state), nl=False)


def read_services(file: Path) -> "tuple[DesiredState, bool]":
    """Return the services of a file, and whether it has more; raise Failure."""
    from control.config import parse_services  # noqa: PLC0415 - slow
    from control.yaml_text import read_stream, read_text  # noqa: PLC0415 - slow

    try:
        if file == _STDIN:
            return parse_services(read_stream(sys.stdin.buffer, _STDIN_NAME), _STDIN_NAME)
        return parse_services(read_text(file), str(file))
    except ConfigError as error:
        raise Failure(str(error)) from error
