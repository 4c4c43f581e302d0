"""Packets per second through a balancer on veth, and what gets lost.

``python -m bench.forwarding`` prints them; it needs root and takes three minutes. One core
does all the work: generator, balancer, interfaces, servers. So the figures compare ways of
forwarding with each other and say nothing about a network card. They judge nothing.
"""

import sys
from collections.abc import Sequence

from rich.table import Table

from bench.clock import settle
from bench.forwarding import nftables
from bench.forwarding.measure import FLOWS, RUNS, Row, measure
from bench.forwarding.ways import BARE, CONNTRACK
from bench.machine import describe
from bench.report import add_numbers, make_console, make_table, print_tables
from dataplane.errors import DataplaneError
from vagrant.lab.errors import LabError


def main() -> None:
    """Measure and print."""
    console = make_console()
    core = settle()
    console.print(f"{describe()}, core {core}")
    if not nftables.installed():
        console.print(nftables.MISSING)
    try:
        rows = measure()
    except (LabError, DataplaneError) as error:
        sys.exit(str(error))
    print_tables(console, _table(rows))


def _table(rows: Sequence[Row]) -> Table:
    table = make_table(
        "UDP in frames of 60 bytes through veth, millions of packets per second",
        f"Median of {RUNS} runs, in turns, on one core: generator, balancer, interfaces "
        "and servers together. Loss: of all runs. Of bare, of DNAT: the rate over that "
        f"of {BARE!r} and of {CONNTRACK!r} in the same turn, median. The kernel and "
        "nftables get their packets from an XDP program that passes everything. Targets: "
        "of bare.",
    )
    table.add_column("\n\nway", no_wrap=True)
    for flows in FLOWS:
        add_numbers(table, f"{flows:,}\nflows\nMpps", "\n\nloss", "of\nbare", "of\nDNAT")
    add_numbers(table, "\n\ntarget")
    references = _find(rows, BARE), _find(rows, CONNTRACK)
    for row in rows:
        cells = [cell for flows in FLOWS for cell in _cells(row, references, flows)]
        table.add_row(row.way.name, *cells, _target(row))
    return table


def _find(rows: Sequence[Row], name: str) -> Row | None:
    return next((row for row in rows if row.way.name == name), None)


def _cells(row: Row, references: Sequence[Row | None], flows: int) -> list[str]:
    loss = row.loss(flows)
    shares = (
        f"{row.share(reference, flows):.2f}" if reference else ""
        for reference in references
    )
    return [
        f"{row.rate(flows) / 1e6:.2f}",
        f"{100 * loss:.1f} %" if loss else "0",
        *shares,
    ]


def _target(row: Row) -> str:
    return f"≥ {row.way.target:g}" if row.way.target else ""


if __name__ == "__main__":
    main()
