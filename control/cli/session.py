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

_PIPE_WIDTH: Final = 1000  # columns: whole lines for grep


@dataclass(slots=True)
class Session:
    """Made by the root command, passed to every other."""

    client: Client
    output: str  # "table" or "json"; a command's own -o comes after the root's
    comment: str = ""  # for the history: why something is changed

    def patient(self, timeout: float) -> Client:
        """Return the client with another ``timeout``, unless --timeout says something."""
        root = click.get_current_context().find_root()
        if root.get_parameter_source("timeout") is not ParameterSource.DEFAULT:
            return self.client
        return replace(self.client, timeout=timeout)

    def show(self, plain: object, table: Callable[[], RenderableType]) -> None:
        """Print ``plain`` as JSON, or ``table()`` for people."""
        if self.output == "json":
            click.echo(json.dumps(plain, indent=2))
            return
        console = Console(
            markup=False,  # a backend may be called ":cat:"
            emoji=False,
            highlight=False,
            width=None if sys.stdout.isatty() else _PIPE_WIDTH,
        )
        console.print(table())

    def done(self, sentence: str, version: int) -> None:
        """Say what a change did; ``version`` of the desired state holds it."""
        self.said(sentence, version=version)

    def said(self, sentence: str, **facts: object) -> None:
        """Say what was done; ``facts`` are for programs."""
        if self.output == "json":
            click.echo(json.dumps({"message": sentence, **facts}, indent=2))
        else:
            click.echo(sentence)


pass_session = click.make_pass_decorator(Session)
