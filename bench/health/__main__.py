"""What it takes to check many backends by TCP, and how soon a dead one is found.

``python -m bench.health`` prints it; it needs root, two cores and two minutes. guidewayd's
own monitor probes backends that accept, refuse or are silent, in a namespace of its own;
what connecting alone costs is measured in the same run.
"""

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import median
from typing import Final, ParamSpec, TypeVar

import click
import structlog
from rich.table import Table

from bench.health import bare
from bench.health.detection import KEEPALIVED, OURS, Death, detect
from bench.health.keepalived import detect_by_keepalived, has_ipvs, is_there
from bench.health.scale import Scale, run
from bench.health.servers import NETWORK, accepting, refusing, silent
from bench.machine import describe
from bench.place import place
from bench.report import add_numbers, make_console, make_table, print_tables
from control.status import Health
from vagrant.lab.errors import LabError
from vagrant.lab.hosts import Host

_LOAD: Final = 0.6  # of a core: the target
_LATE: Final = 0.2  # seconds, at the 99th percentile: the target
_FOUND: Final = 6.0  # seconds until a backend that is silent is down: the target
_DYING: Final = 30  # backends
_ACCEPTED: Final = 65535  # connections that wait for the server
_ERRORS: Final = 40  # structlog's level: verdicts by the thousand are no news here
Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")


@click.command()
@click.option(
    "--backends", default=10_000, show_default=True, type=click.IntRange(1, 200_000)
)
@click.option("--interval", default=2.0, show_default=True, help="Seconds between probes.")
@click.option(
    "--keepalived",
    is_flag=True,
    help="Let keepalived find dead ones, too, and guidewayd by its defaults: 10 minutes.",
)
@click.option(
    "--seconds", default=10.0, show_default=True, help="To measure, of each kind."
)
def main(backends: int, interval: float, seconds: float, *, keepalived: bool) -> None:
    """Measure and print."""
    if keepalived and not is_there():
        sys.exit("--keepalived needs keepalived: apt-get install keepalived")
    console = make_console()
    console.print(describe())
    try:
        with place("node") as (_, (node,)):
            _many_addresses(node)
            with node.inside():
                tables = (
                    *_measure(backends, interval, seconds),
                    _detection_table(keepalived=keepalived),
                )
    except LabError as error:
        sys.exit(str(error))
    print_tables(console, *tables)


def _many_addresses(node: Host) -> None:
    node.run("ip", "link", "set", "lo", "up")
    node.run("ip", "route", "add", "local", str(NETWORK), "dev", "lo")
    node.sysctl("net.core.somaxconn", _ACCEPTED)
    node.sysctl("net.ipv4.tcp_max_syn_backlog", _ACCEPTED)


def _measure(backends: int, interval: float, seconds: float) -> tuple[Table, Table]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(_ERRORS))
    *_, servers, ours = sorted(os.sched_getaffinity(0)) * 2
    count = min(backends, int(seconds / interval * backends))
    with accepting(servers) as port:
        costs = {
            "the system calls": _alone(bare.sockets, ours, count, port) / count,
            "asyncio's streams": _alone(bare.asyncio_streams, ours, count, port) / count,
        }
        scales = {"accept": _alone(run, ours, backends, interval, seconds, port)}
    for name, kind in (("refuse", refusing), ("are silent", silent)):
        with kind() as port:
            scales[name] = _alone(run, ours, backends, interval, seconds, port)
    costs["a probe by guidewayd"] = scales["accept"].price
    return _scale_table(scales, backends, interval), _price_table(
        costs, backends / interval
    )


def _alone(
    measure: Callable[Arguments, Returned],
    *arguments: Arguments.args,
    **settings: Arguments.kwargs,
) -> Returned:
    """Measure in a process of its own: of what came before, nothing is left there."""
    with ProcessPoolExecutor(1, get_context("fork")) as pool:
        return pool.submit(measure, *arguments, **settings).result()


def _scale_table(scales: dict[str, Scale], backends: int, interval: float) -> Table:
    table = make_table(
        f"{backends:,} backends, each probed by TCP every {interval:g} s, on one core",
        f"Targets, for those that accept: less than {_LOAD:.0%} of the core; less than "
        f"{_LATE * 1000:g} ms late at the 99th percentile. "
        "Core: what those that are due take. Made: of those; where that is less "
        "than all, others had the core, and what is late says nothing. Crowd: probes begun "
        "within 100 ms of the start-up. Verdicts: right ones.",
    )
    table.add_column("backends")
    add_numbers(
        table,
        "core",
        "made",
        "late, ms: p99",
        "most",
        "descriptors",
        "crowd",
        "verdicts",
        "met",
    )
    for name, scale in scales.items():
        right = Health.UP if name == "accept" else Health.DOWN
        due = backends / interval
        load, made = scale.price * due, scale.probes / scale.seconds / due
        met = load < _LOAD and scale.late < _LATE
        table.add_row(
            name,
            f"{load:.1%}",
            f"{made:.0%}",
            f"{scale.late * 1000:.1f}",
            f"{scale.latest * 1000:.1f}",
            f"{scale.descriptors:,}",
            f"{scale.crowd:,}",
            f"{scale.verdicts[right]:,}",
            ("yes" if met else "no") if name == "accept" else "",
        )
    return table


def _detection_table(*, keepalived: bool) -> Table:
    stand_in = keepalived and not has_ipvs()
    table = make_table(
        "Seconds until a backend that dies is down, by TCP",
        f"{_DYING} backends, checked at points of time spread over an interval. Target, by "
        f"our defaults: {_FOUND:g} s."
        + (" For keepalived, IPVS is there in name only." if stand_in else ""),
    )
    table.add_column("checked by")
    table.add_column("a backend that")
    add_numbers(table, "best", "median", "worst", "met")
    ways = {"our defaults": OURS}
    if keepalived:
        ways["guidewayd, with keepalived's"] = KEEPALIVED
    for name, check in ways.items():
        for death in Death:
            times = _alone(detect, check, death, _DYING).times
            met = "yes" if times[-1] <= _FOUND else "no"
            table.add_row(name, death.value, *_spread(times), met if check is OURS else "")
    for death in Death if keepalived else ():
        times = _alone(detect_by_keepalived, death, _DYING).times
        table.add_row("keepalived, with its defaults", death.value, *_spread(times), "")
    return table


def _spread(times: Sequence[float]) -> tuple[str, ...]:
    """Return the least, the median and the most."""
    return tuple(f"{time:.2f}" for time in (times[0], median(times), times[-1]))


def _price_table(costs: dict[str, float], rate: float) -> Table:
    table = make_table(
        "What a connection costs", f"CPU time of the client; at {rate:,.0f} a second."
    )
    table.add_column("by")
    add_numbers(table, "us", "core")
    for name, seconds in costs.items():
        table.add_row(name, f"{seconds * 1e6:.1f}", f"{seconds * rate:.1%}")
    return table


if __name__ == "__main__":
    main()
