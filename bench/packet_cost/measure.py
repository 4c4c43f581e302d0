"""The rows' figures: every packet has to go the way that its row names."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.dataplane_under_test import DataplaneUnderTest, loaded
from bench.packet_cost.cases import INTERFACES, Case
from bench.packet_cost.timing import (
    REPEAT,
    ROUNDS,
    Load,
    Samples,
    Timer,
    WrongVerdictError,
)
from dataplane import libbpf
from dataplane.libbpf import ProgramInfo

LOADS: Final = 3  # of the program: its place in memory matters, too


@dataclass(slots=True)
class Row:
    """What a case took; ``problem`` says why that is not a figure."""

    case: Case
    samples: Samples = field(default_factory=Samples)
    problem: str = ""


def measure(
    bpffs: Path, cases: Iterable[Case], loads: int = LOADS
) -> tuple[list[Row], ProgramInfo]:
    """Return a row for each case, and what the kernel tells of the program."""
    rows = [Row(case) for case in cases]
    sizes = [_measure_all(bpffs, rows) for _ in range(loads)]
    return rows, sizes[0]


def _measure_all(bpffs: Path, rows: Iterable[Row]) -> ProgramInfo:
    """Load the program and add to all rows; return what the kernel tells of it."""
    with loaded(bpffs) as dataplane:
        timer = Timer()
        for row in rows:
            _measure(dataplane, timer, row)
        return libbpf.program_info(dataplane.program)


def _measure(dataplane: DataplaneUnderTest, timer: Timer, row: Row) -> None:
    case = row.case
    dataplane.fill(INTERFACES, case.services())
    before = dataplane.counted()
    try:
        row.samples.add(timer.time(dataplane.program, _load(case), case.way.verdict))
    except WrongVerdictError as error:
        row.problem = str(error)
    counted = Counter(dataplane.counted())
    counted.subtract(before)
    row.problem = row.problem or _stray(case, counted, ROUNDS * REPEAT)


def _stray(case: Case, counted: Mapping[str, int], packets: int) -> str:
    """Say which packets of a case were counted elsewhere; nothing if none was."""
    gained = {reason: count for reason, count in counted.items() if count}
    if gained == {case.way.reason: packets}:
        return ""
    found = ", ".join(f"{count} {reason}" for reason, count in gained.items())
    return f"{packets} packets should be {case.way.reason}, but: {found or 'none'}"


def _load(case: Case) -> Load:
    return Load(case.template(), case.flows, case.vips)
