"""Nanoseconds per packet of the XDP program.

``python -m bench.packet_cost`` prints them; it needs root and takes two minutes. It judges
nothing: absolute figures belong to a machine, and only ratios of one run can be compared. A
row whose packets did not all go the way that it names is an error, and the exit code is 1.
"""

import sys
from itertools import chain

import click
from rich.console import Console

from bench.clock import settle
from bench.machine import describe
from bench.packet_cost import measure, network, prices
from bench.packet_cost.cases import FAMILIES, cases
from bench.packet_cost.tables import name, prices_table, rows_table
from bench.place import place
from bench.report import make_console, print_tables
from dataplane.errors import DataplaneError
from vagrant.lab.errors import LabError


@click.command()
@click.option(
    "--loads",
    type=click.IntRange(1, 10),
    default=measure.LOADS,
    show_default=True,
    help="How often the program is loaded: its place in memory matters, too.",
)
def main(loads: int) -> None:
    """Measure and print."""
    console = make_console()
    try:
        problems = _measure_and_print(console, loads)
    except (LabError, DataplaneError) as error:
        sys.exit(str(error))
    for problem in problems:
        console.print(problem)
    sys.exit(bool(problems))


def _measure_and_print(console: Console, loads: int) -> list[str]:
    """Return what went wrong, a sentence for each row."""
    core = settle()
    with place("node") as (bpffs, (node,)):
        network.set_up(node)
        with node.inside():
            console.print(f"{describe()}, core {core}")
            every = chain.from_iterable(map(cases, FAMILIES))
            rows, size = measure.measure(bpffs, every, loads)
            print_tables(console, rows_table(rows, size))
            print_tables(console, prices_table(prices.measure()))
    return [f"{name(row.case)}: {row.problem}" for row in rows if row.problem]


if __name__ == "__main__":
    main()
