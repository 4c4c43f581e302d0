"""How long clients wait for a VIP when its node dies, and when it is handed over.

``python -m bench.failover`` prints it; it needs root and takes ten minutes. Two nodes and a
client in namespaces; the client pings the VIP every millisecond. keepalived, where it is
installed, has its turns in the same run.
"""

import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from rich.table import Table

from bench.failover.nodes import PRIORITIES, VIP, Keepalived, Pair, pair
from bench.failover.probe import pinging
from bench.machine import describe
from bench.report import add_numbers, make_console, make_table, print_tables
from vagrant.lab.errors import LabError

_INTERVALS: Final = (1.0, 0.2, 0.1, 0.01)  # seconds between advertisements
_AFTERWARDS: Final = 0.2  # seconds of pings when all is well again


@dataclass(frozen=True)
class Row:
    """What was measured of one daemon at one interval; seconds."""

    daemon: str
    interval: float
    deaths: Sequence[float]  # from the death until the VIP answers
    hand_overs: Sequence[float]  # in which the VIP answered nobody

    @property
    def promised(self) -> float:
        """What the Backup waits by RFC 9568, its down interval."""
        return (3 + (256 - PRIORITIES[1]) / 256) * self.interval


@click.command()
@click.option("--runs", default=20, show_default=True, type=click.IntRange(2, 1000))
@click.option("--seed", default=1, show_default=True, help="Of the moments of death.")
def main(runs: int, seed: int) -> None:
    """Measure and print."""
    console = make_console()
    console.print(describe())
    daemons = ["guideway", "keepalived"] if Keepalived.installed() else ["guideway"]
    moments = random.Random(seed)  # noqa: S311 (no secret)
    rows = []
    try:
        with tempfile.TemporaryDirectory(prefix="guideway-failover-") as name:
            for interval in _INTERVALS:
                for daemon in daemons:
                    prefix = f"guideway-f{os.getpid()}-"
                    with pair(daemon, interval, prefix, Path(name)) as nodes:
                        rows.append(_measure(daemon, interval, nodes, runs, moments))
    except LabError as error:
        sys.exit(str(error))
    print_tables(console, _table(rows, runs))


def _measure(
    daemon: str, interval: float, nodes: Pair, runs: int, moments: random.Random
) -> Row:
    deaths = []
    for _ in range(runs):
        with pinging(nodes.client, VIP) as probe:
            # At any time between two advertisements.
            time.sleep(_AFTERWARDS + moments.random() * interval)
            died = time.monotonic()
            nodes.die()
            time.sleep(5 * interval + _AFTERWARDS)
        answered = probe.first_answer_after(died)
        deaths.append(float("inf") if answered is None else answered - died)
        nodes.revive()
        time.sleep(2 * interval)
    hand_overs = []
    for _ in range(runs if daemon == "guideway" else 0):
        for source in (nodes.one, nodes.two):
            with pinging(nodes.client, VIP) as probe:
                time.sleep(_AFTERWARDS)
                source.hand_over()
                time.sleep(_AFTERWARDS)
            hand_overs.append(probe.longest_silence())
    return Row(daemon, interval, deaths, hand_overs)


def _table(rows: Sequence[Row], runs: int) -> Table:
    table = make_table(
        f"Milliseconds without an answer of the VIP, {runs} runs each",
        "Death: the cable of the Active is pulled and its daemon killed, until the VIP "
        "answers again. Promised: the Backup's down interval, 3 intervals and its skew; "
        "over: the 95th percentile less that. Planned: the longest silence during "
        "`guideway vrrp failover`, there and back; a ping is sent every millisecond.",
    )
    for name in ("\ndaemon", "interval\nms"):
        table.add_column(name, no_wrap=True)
    add_numbers(table, "promised\n", "death\nmedian", "\np95", "\nmax", "\nover")
    add_numbers(table, "planned\nmedian", "\nmax")
    for row in rows:
        p95 = _percentile(row.deaths, 0.95)
        planned = [f(row.hand_overs) for f in (statistics.median, max) if row.hand_overs]
        numbers = [row.promised, statistics.median(row.deaths), p95, max(row.deaths)]
        cells = [f"{1000 * each:.0f}" for each in (*numbers, p95 - row.promised)]
        table.add_row(
            row.daemon,
            f"{1000 * row.interval:g}",
            *cells,
            *(f"{1000 * each:.1f}" for each in planned),
        )
    return table


def _percentile(values: Sequence[float], share: float) -> float:
    """Return the least value that ``share`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


if __name__ == "__main__":
    main()
