"""``guideway``: the root command."""

import math
import os
import sys
from pathlib import Path
from typing import Final, Unpack

import click

from control.api.address import DEFAULT_SOCKET
from control.cli.apply import apply, export, validate
from control.cli.backend import backend
from control.cli.client import Client
from control.cli.completion import completion
from control.cli.dataplane import dataplane
from control.cli.doctor import doctor
from control.cli.explain import explain
from control.cli.history import confirm, diff, history, rollback, show
from control.cli.importing import import_
from control.cli.options import OUTPUT_OF_SERVICES
from control.cli.ranges import Real
from control.cli.remote_options import RemoteOptions, chosen_remote, remote_options
from control.cli.service import service
from control.cli.session import Session
from control.cli.stats import stats
from control.cli.status import status
from control.cli.vrrp import vrrp
from control.cli.watch import watch

_EXAMPLES: Final = """\b
Examples:
  guideway status
  guideway service list
  guideway backend drain web 10.0.0.3
  guideway apply -f guideway.yaml --dry-run
  guideway rollback 7
  guideway -o json stats
  guideway explain tcp 198.51.100.7:40000 192.0.2.10:80
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EXAMPLES)
@click.version_option(package_name="guideway", message="guideway %(version)s")
@click.option(
    "--socket",
    type=click.Path(readable=False, path_type=Path),  # who may not open it is told so
    envvar="GUIDEWAY_SOCKET",
    default=DEFAULT_SOCKET,
    show_default=True,
    show_envvar=True,
    help="Where guidewayd listens.",
)
@remote_options
@click.option(
    "--timeout",
    type=Real(min=0.1, max=3600),
    default=10.0,
    show_default=True,
    help="Seconds to wait for an answer.",
)
@click.option(
    "-o",
    "--output",
    type=OUTPUT_OF_SERVICES,
    default="table",
    show_default=True,
    help="A table for people, JSON or YAML for programs; commands take it too. `service "
    "list` has ipvsadm, too.",
)
@click.pass_context
def guideway(
    context: click.Context,
    socket: Path,
    timeout: float,
    output: str,
    **far: Unpack[RemoteOptions],
) -> None:
    """Look at and change what a node balances."""
    if math.isnan(timeout):
        raise click.UsageError("--timeout nan is no number of seconds")
    session = Session(Client(socket, timeout, chosen_remote(context, far)), output)
    if context.invoked_subcommand != "service":
        session.refuse_ipvsadm()
    context.obj = session


for _command in (
    service,
    backend,
    explain,
    stats,
    status,
    dataplane,
    vrrp,
    apply,
    export,
    validate,
    history,
    show,
    diff,
    rollback,
    confirm,
    import_,
    completion,
    watch,
    doctor,
):
    guideway.add_command(_command)


def main() -> None:
    """Run the command line; the entry point."""
    try:
        guideway(prog_name="guideway")
    except OSError as error:
        # Nobody else catches this one: the output. What is left of it would be tried again
        # at the end, and be said once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        click.echo(f"guideway: cannot write its output: {error.strerror}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
