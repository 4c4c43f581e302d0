"""``python -m vagrant.demo``: see guideway balance, lose a backend and lose a node."""

import sys
from contextlib import nullcontext
from functools import partial
from typing import Final

import click
from rich.console import Console
from rich.live import Live

from control.model import Mode
from vagrant.demo.board import Board
from vagrant.demo.claims import Claim
from vagrant.demo.tour import PHASES, Tour
from vagrant.demo.view import View, summary
from vagrant.lab import requirements
from vagrant.lab.errors import LabError
from vagrant.lab.lab import Lab
from vagrant.lab.signals import run, unwind_on_signals
from vagrant.lab.topology import DrTopology, NatTopology, Topology

_TOURS: Final[tuple[type[Topology], ...]] = (DrTopology, NatTopology)
_TITLES: Final = {Mode.DR: "DR", Mode.NAT: "NAT"}
_LARGE_FILE_BYTES: Final = 32 << 20
_INTERRUPTED: Final = 130  # exit code, as a shell has it after Ctrl-C
_NEXT: Final = """
To try it yourself:
  sudo make lab               the same network, left running, with commands to try in it
  sudo make lab MODE=nat      … with address translation
  sudo make lab-down          remove it
"""


@click.command()
@click.option(
    "--mode", type=click.Choice(["dr", "nat", "both"]), default="both", show_default=True
)
def main(mode: str) -> None:
    """Try what guideway promises, in network namespaces of this machine."""
    unwind_on_signals()
    problem = requirements.missing()
    if problem is not None:
        raise click.ClickException(problem)
    console = Console(highlight=False)
    measured: list[tuple[str, Claim]] = []
    try:
        for kind in _TOURS:
            if mode in (kind.mode.value, "both"):
                title = _TITLES[kind.mode]
                measured.extend((title, claim) for claim in _tour(kind, title, console))
    except LabError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        console.print("Interrupted; everything has been removed.")
        sys.exit(_INTERRUPTED)
    console.print(summary(measured))
    console.print(_NEXT, soft_wrap=True, markup=False)
    sys.exit(0 if all(claim.held for _, claim in measured) else 1)


def _tour(kind: type[Topology], title: str, console: Console) -> list[Claim]:
    """Make a lab, go through it, remove it, and return what was measured."""
    weights = {backend.name: backend.weight for backend in kind.service().backends}
    live = console.is_terminal
    say = partial(console.print, soft_wrap=True, markup=False)
    board = Board(title, weights, PHASES, _silent if live else say)
    view = Live(View(board), console=console, transient=True) if live else nullcontext()
    with view, Lab("demo", kind, large_file_bytes=_LARGE_FILE_BYTES) as lab:
        lab.start()
        board.nodes = lab.nodes
        run(Tour(lab, board).run())
    return board.claims


def _silent(line: str) -> None:
    """Say nothing: on a terminal the picture shows it."""


if __name__ == "__main__":
    main(prog_name="python -m vagrant.demo")
