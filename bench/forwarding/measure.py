"""Measuring the ways in turns."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from bench.dataplane_under_test import loaded
from bench.forwarding import network
from bench.forwarding.network import ENTRANCE_INDEX, HOSTS, LEGS
from bench.forwarding.traffic import Run, Traffic
from bench.forwarding.ways import Way, ways
from bench.place import place
from bench.xdp_programs import Programs
from dataplane import libbpf
from vagrant.lab.hosts import Host, link_index

FLOWS: Final = (1024, 1_000_000)
RUNS: Final = 9

_SECONDS: Final = 0.6  # of a run; each has some 25 ms beside the packets
_TRIAL_PACKETS: Final = 100_000  # to learn the rate, and to warm up
_SOURCE: Final = Path(__file__).with_name("programs.c")


@dataclass(slots=True)
class Row:
    """The runs of one way, by the number of flows."""

    way: Way
    runs: dict[int, list[Run]] = field(default_factory=lambda: {n: [] for n in FLOWS})

    def rate(self, flows: int) -> float:
        """Return the median of the packets per second that arrived."""
        return median(run.rate for run in self.runs[flows])

    def share(self, other: "Row", flows: int) -> float:
        """Return how often the rate of ``other`` fits in; the median of their turns."""
        pairs = zip(self.runs[flows], other.runs[flows], strict=True)
        return median(mine.rate / others.rate for mine, others in pairs)

    def loss(self, flows: int) -> float:
        """Return the share that did not arrive in all runs together."""
        runs = self.runs[flows]
        return 1 - sum(run.received for run in runs) / sum(run.sent for run in runs)


def measure() -> list[Row]:
    """Return a row for each way."""
    with place(*HOSTS) as (bpffs, (client, balancer, servers)), ExitStack() as cleanup:
        network.set_up(client, balancer, servers)
        dataplane = cleanup.enter_context(loaded(bpffs))
        programs = Programs(_SOURCE)
        entrance = _attach(programs, balancer, servers, cleanup)
        traffic = Traffic(programs, client)
        rows = [Row(way) for way in ways(programs, dataplane, balancer)]
        for flows in FLOWS:  # the many last: they fill the kernel's table of connections
            for row in _turns(rows):
                with _open(row.way, entrance):
                    _run(traffic, row, flows)
        return rows


def _turns(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield each row ``RUNS`` times: a slow moment of the machine hits not one alone."""
    for _ in range(RUNS):
        yield from rows


def _run(traffic: Traffic, row: Row, flows: int) -> None:
    """Add a run of about ``_SECONDS``."""
    trial, runs = traffic.send(_TRIAL_PACKETS, flows), row.runs[flows]
    last = runs[-1] if runs else trial
    runs.append(traffic.send(round(last.sent / last.seconds * _SECONDS), flows))


@contextmanager
def _open(way: Way, entrance: int) -> Iterator[None]:
    """Let packets go this way."""
    with way.set_up():
        libbpf.link_update(entrance, way.program)
        yield


def _attach(programs: Programs, balancer: Host, servers: Host, cleanup: ExitStack) -> int:
    """Let the servers receive; return the link of the program at the entrance."""
    receive = programs.load("receive")
    for leg in LEGS:
        with servers.netlink() as ip:
            index = link_index(ip, leg.interface)
        cleanup.callback(os.close, _link(servers, index, receive))
    entrance = _link(balancer, ENTRANCE_INDEX, programs.load("leave"))
    cleanup.callback(os.close, entrance)
    with balancer.inside():  # an index means something in a namespace only
        exits = (leg.exit_index.to_bytes(4, sys.byteorder) for leg in LEGS)
        programs.put("exits", dict(enumerate(exits)))
    return entrance


def _link(host: Host, ifindex: int, program: int) -> int:
    with host.inside():
        return libbpf.link_create(program, ifindex, native=True)
