"""Whether anything that is done to guidewayd costs a packet or a connection.

``python -m bench.chaos`` prints what was done and what was lost. It needs root, and takes
two minutes, or ``--seconds``; a busy machine needs more to get through 100 events, or as
many in proportion. It exits with 1 if anything was lost, or if a loss would not have been
seen.
"""

import sys
import time
from typing import Final

import click
from rich.table import Table

from bench.chaos.ledger import Row, total
from bench.chaos.run import Plan, Result, run
from bench.machine import describe
from bench.report import add_numbers, make_console, make_table, print_tables
from vagrant.lab import requirements
from vagrant.lab.errors import LabError
from vagrant.lab.signals import unwind_on_signals

_NAME: Final = "chaos"
_DETAILS: Final = 20  # of what was lost, as many are printed


@click.command()
@click.option("--seconds", type=click.FloatRange(1), default=120.0, show_default=True)
@click.option(
    "--seed", type=int, help="Of all that is random; by default another each time."
)
def main(seconds: float, seed: int | None) -> None:
    """Torment guidewayd under load, and count what gets lost."""
    unwind_on_signals()
    problem = requirements.missing()
    if problem is not None:
        raise click.ClickException(problem)
    console = make_console()
    chosen = time.time_ns() % 1_000_000 if seed is None else seed
    console.print(f"{describe()}; seed {chosen}")
    begun = time.monotonic()

    def tell(kind: str) -> None:
        if console.is_terminal:
            console.print(f"{time.monotonic() - begun:6.1f} s  {kind}")

    try:
        result = run(Plan(_NAME, seconds, chosen), tell)
    except LabError as error:
        sys.exit(f"seed {chosen}: {error}")
    print_tables(console, _table(result))
    for line in result.details()[:_DETAILS]:
        console.print(line, soft_wrap=True)
    for name, count in sorted(result.dropped.items()):
        console.print(f"the kernel counted, during calm and chaos: {name}: {count}")
    problems = result.problems()
    for sentence in problems:
        console.print(f"[red]wrong:[/red] {sentence}")
    if problems:
        sys.exit(f"seed {chosen}: not proved")
    console.print("Nothing was lost, and no connection broke.")


def _table(result: Result) -> Table:
    table = make_table(
        "What was done to guidewayd, and what it cost",
        "Sent, lost: UDP datagrams, answered by a backend through the VIP. Ended, broken: "
        "TCP connections. Sent again: TCP segments. The death of a backend may cost what "
        "was its own; detaching the program shows that a loss is seen.",
    )
    table.add_column("event", no_wrap=True)
    add_numbers(table, "times", "sent", "lost", "ended", "broken", "sent again")
    judged = result.chaos
    for row in judged:
        table.add_row(*_cells(row))
    table.add_section()
    table.add_row(*_cells(total(judged)))
    table.add_section()
    for row in result.rows:
        if row not in judged:
            table.add_row(*_cells(row))
    return table


def _cells(row: Row) -> tuple[str, ...]:
    numbers = (row.sent, row.lost, len(row.connections), row.broken, row.resent)
    return (row.kind, str(row.times), *map(str, numbers))


if __name__ == "__main__":
    main(prog_name="python -m bench.chaos")
