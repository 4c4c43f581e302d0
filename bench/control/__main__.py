"""What guidewayd costs when there are many services, beside what it should.

``python -m bench.control`` prints it; it needs root and takes three minutes. A real
guidewayd with its data plane in a namespace, filled by ``guideway apply`` and changed by
the API. It exits with 1 where a target is missed.
"""

import sys
from dataclasses import dataclass
from typing import Final

import click
from rich.table import Table

from bench.control import topology
from bench.control.node import running
from bench.control.run import CHECKED, Plan, Result, measure, median, percentile
from bench.machine import describe
from bench.place import place
from bench.report import add_numbers, make_console, make_table, print_tables
from vagrant.lab.errors import LabError

_MEGABYTE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """A figure; where there is a ``target``, it has to be below."""

    what: str
    value: float
    unit: str
    target: float | None = None

    @property
    def missed(self) -> bool:
        """Whether it is not what it should be."""
        return self.target is not None and self.value >= self.target


@click.command()
@click.option("--services", default=1024, show_default=True, type=click.IntRange(16, 1500))
@click.option("--backends", default=16, show_default=True, type=click.IntRange(2, 256))
@click.option("--changes", default=30, show_default=True, type=click.IntRange(2, 1000))
@click.option("--idle", default=65.0, show_default=True, help="Seconds of rest.")
@click.option("--seed", default=1, show_default=True, help="Of what is changed, and when.")
def main(services: int, backends: int, changes: int, idle: float, seed: int) -> None:
    """Measure and print."""
    console = make_console()
    console.print(describe())
    plan = Plan(services, backends, changes, idle, seed)

    def tell(what: str) -> None:
        if console.is_terminal:
            console.print(what)

    try:
        with place("balancer", "router") as (bpffs, (balancer, router)):
            topology.set_up(balancer, router)
            with running(balancer, bpffs, bpffs.parent) as node:
                result = measure(node, plan, tell)
    except LabError as error:
        sys.exit(str(error))
    found = _rows(result)
    print_tables(console, _table(plan, found))
    if missed := [row.what for row in found if row.missed]:
        sys.exit(f"above the target: {', '.join(missed)}")


def _rows(result: Result) -> list[Row]:
    changes, failures, waits = (
        [1000 * each for each in some]
        for some in (result.changes, result.failures, result.waits)
    )
    return [
        Row("apply from nothing", result.applied, "s", 10),
        Row("a change of one backend, median", median(changes), "ms", 100),
        Row("… 95th percentile", percentile(changes, 0.95), "ms"),
        Row("… the longest", max(changes), "ms"),
        Row("… processor time", 1000 * result.processor, "ms"),
        Row("another call meanwhile, 99th percentile", percentile(waits, 0.99), "ms"),
        Row("… the longest", max(waits), "ms"),
        Row(f"{CHECKED} backends fail or recover, the last one", max(failures), "ms"),
        Row("memory at rest, without the maps", result.memory / _MEGABYTE, "MB", 300),
        Row("… right after another apply", result.grown / _MEGABYTE, "MB"),
        Row("processor time at rest", 100 * result.idle, "% of a core", 2),
    ]


def _table(plan: Plan, rows: list[Row]) -> Table:
    table = make_table(
        f"guidewayd with {plan.services} services of {plan.backends} backends each",
        f"Apply: `guideway apply --wait`, as a whole. A change: {plan.changes} backends "
        "are disabled and enabled again, each from the API call until packets go by it; "
        "the longer of both. Processor time is for both. A call: of the health service, "
        f"by somebody else. Failing: {CHECKED} backends' health checks, which are made "
        f"once a second. At rest: {plan.idle:g} seconds in which nothing happens.",
    )
    table.add_column("", no_wrap=True)
    add_numbers(table, "measured", "target")
    table.add_column("")
    for row in rows:
        target = "" if row.target is None else f"{row.target:g}"
        mark = " [red]missed[/red]" if row.missed else ""
        table.add_row(row.what, f"{row.value:.1f}", target, f"{row.unit}{mark}")
    return table


if __name__ == "__main__":
    main(prog_name="python -m bench.control")
