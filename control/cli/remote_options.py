"""The options that lead to a guidewayd on another host."""

from pathlib import Path
from typing import Final, TypedDict

import click
from click.core import ParameterSource

from control.cli.decoration import Command, decorated
from control.cli.place import Remote, remote

_FILE: Final = click.Path(path_type=Path)


class RemoteOptions(TypedDict):
    """What :func:`remote_options` passes to a command."""

    address: str | None
    ca: Path | None
    cert: Path | None
    key: Path | None


def remote_options(command: Command) -> Command:
    """Give a command the options of a daemon that is reached over TCP."""
    options = (
        click.option(
            "--address",
            metavar="HOST:PORT",
            envvar="GUIDEWAY_ADDRESS",
            show_envvar=True,
            help="guidewayd on another host, over TCP; needs the three files.",
        ),
        click.option(
            "--ca",
            type=_FILE,
            envvar="GUIDEWAY_CA",
            show_envvar=True,
            help="The CA of its certificate (PEM).",
        ),
        click.option(
            "--cert",
            type=_FILE,
            envvar="GUIDEWAY_CERT",
            show_envvar=True,
            help="Your certificate (PEM).",
        ),
        click.option(
            "--key",
            type=_FILE,
            envvar="GUIDEWAY_KEY",
            show_envvar=True,
            help="The key of your certificate (PEM).",
        ),
    )
    return decorated(command, options)


def chosen_remote(context: click.Context, far: RemoteOptions) -> Remote | None:
    """Return the daemon on another host that is meant; None: the one at the socket.

    What is said on the command line comes before what the environment says. Raises
    click.UsageError.
    """
    spoken = [f"--{name}" for name in far if _is_spoken(context, name)]
    if _is_spoken(context, "socket"):
        if spoken:
            raise click.UsageError(f"--socket and {spoken[0]} are for two places")
        return None
    if far["address"] is None:
        if spoken:
            raise click.UsageError(f"{spoken[0]} goes with --address")
        return None
    return remote(far["address"], far["ca"], far["cert"], far["key"])


def _is_spoken(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE
