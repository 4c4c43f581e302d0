"""What one run of ``guideway`` has: a daemon to talk to and a way to answer."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import click
from click.core import ParameterSource
from rich.console import Console, RenderableType

from control.cli.client import Client

PATIENCE: Final = 30.0  # seconds that a change may take to become what the node does
_PIPE_WIDTH: Final = 1000  # columns: whole lines for grep


@dataclass(slots=True)
class Session:
    """Made by the root command, passed to every other."""

    client: Client
    output: str  # "table", "json" …; a command's own -o comes after the root's
    comment: str = ""  # for the history: why something is changed
    dry_run: bool = False  # change nothing, but say what a change would do
    wait: bool = False  # until a change is what the node does
    patience: float = PATIENCE  # seconds, with ``wait``

    def patient(self, timeout: float) -> Client:
        """Return the client with another ``timeout``, unless --timeout says something."""
        root = click.get_current_context().find_root()
        if root.get_parameter_source("timeout") is not ParameterSource.DEFAULT:
            return self.client
        return replace(self.client, timeout=timeout)

    def show(
        self,
        plain: object,
        table: Callable[[], RenderableType],
        ipvsadm: Callable[[], str] | None = None,
    ) -> None:
        """Print ``plain`` for programs, or ``table()`` for people.

        ``ipvsadm()`` is what `ipvsadm -Ln` would print; few commands have that.
        """
        if self.output == "ipvsadm" and ipvsadm is not None:
            click.echo(ipvsadm())
            return
        if self._show_plain(plain):
            return
        console = Console(
            markup=False,  # a backend may be called ":cat:"
            emoji=False,
            highlight=False,
            width=None if sys.stdout.isatty() else _PIPE_WIDTH,
        )
        console.print(table())

    def refuse_ipvsadm(self) -> None:
        """Raise UsageError if the output is to be what one command alone has.

        Before anything is done: what was done could not be said.
        """
        if self.output == "ipvsadm":
            raise click.UsageError("-o ipvsadm is of `service list` alone")

    def said(self, sentence: str, **facts: object) -> None:
        """Say what was done; ``facts`` are for programs."""
        if not self._show_plain({"message": sentence, **facts}):
            click.echo(sentence)

    def _show_plain(self, plain: object) -> bool:
        """Print ``plain`` if it is for programs, and tell whether it is."""
        match self.output:
            case "json":
                click.echo(json.dumps(plain, indent=2))
            case "yaml":
                from control.cli.yaml_output import dump  # noqa: PLC0415 - rarely needed

                click.echo(dump(plain), nl=False)
            case _:
                return False
        return True


pass_session = click.make_pass_decorator(Session)
