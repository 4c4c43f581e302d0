"""A price list: what the parts of a data plane cost on this machine."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bench.packet_cost.cases import MILLION, Case, Way
from bench.packet_cost.timing import ROUNDS, Cost, Load, Timer
from dataplane import libbpf

FLOWS: Final = (1, MILLION)
RUNS: Final = 2 * ROUNDS

_PARTS: Final = {  # functions of prices.c
    "one_counter": "a per-CPU counter: lookup, two additions",
    "three_counters": "three of them",
    "slot": "a slot: array of 65,536, by a multiplication hash",
    "slot_of_many": "a slot: array of 8,388,608, which no cache holds",
    "hash_8": "hash lookup, key of 8 bytes, found",
    "hash_20": "hash lookup, key of 20 bytes, found",
    "macs": "the MACs read and written",
    "redirect": "redirect_map",
    "ticks": "the kernel's ticks",
    "coarse_clock": "the coarse clock",
    "clock": "the clock",
}
_XDP_TX: Final = 3  # enum xdp_action
_DEST: Final = slice(30, 34)  # an IPv4 frame's destination


@dataclass(frozen=True, slots=True)
class Price:
    """What a part costs, by the number of flows."""

    part: str
    costs: dict[int, Cost]


def measure() -> Iterator[Price]:
    """Yield what an empty program costs, the feeder included, then the parts' prices."""
    timer = Timer()
    loads = {flows: Load(Case(4, Way.DR).template(), flows) for flows in FLOWS}
    _fill(timer, loads[1].template.frame[_DEST])
    floors: dict[int, Cost] = {}
    prices = []
    for name, part in _PARTS.items():
        program, costs = timer.parts.load(name), {}
        for flows, load in loads.items():
            samples = timer.time(program, load, _XDP_TX, rounds=RUNS)
            floors[flows], costs[flows] = samples.floor, samples.net
        prices.append(Price(part, costs))
    yield Price("an empty program, feeder and test run included", floors)
    yield from prices


def _fill(timer: Timer, dest: bytes) -> None:
    """Enter the address that all frames go to, which prices.c puts last in its keys."""
    for name, size in (("hash8", 8), ("hash20", 20)):
        libbpf.map_update(timer.parts.map(name), dest.rjust(size, b"\0"), bytes(4))
