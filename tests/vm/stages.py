"""Stages: what is tried one after the other, how long each took, and the table of it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from rich.console import Console
from rich.table import Table

from vagrant.lab.errors import LabError


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "FAILED"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Stage:
    """Something to try; ``run`` returns what is worth knowing of it, or raises LabError."""

    title: str
    run: Callable[[], str]
    stands_alone: bool = False  # what follows does not need it


@dataclass(frozen=True, slots=True)
class Line:
    """What came of one stage."""

    title: str
    outcome: Outcome
    seconds: float = 0.0
    remark: str = ""


def run_all(stages: Sequence[Stage], console: Console) -> list[Line]:
    """Run them in order; where one fails that others stand on, those are not tried."""
    lines: list[Line] = []
    for number, stage in enumerate(stages):
        console.print(f"… {stage.title}", markup=False)
        line = _tried(stage)
        lines.append(line)
        said = f"  {line.outcome} after {line.seconds:.0f} s: {line.remark}"
        console.print(said, markup=False, soft_wrap=True)
        if line.outcome is Outcome.FAILED and not stage.stands_alone:
            left = stages[number + 1 :]
            return [*lines, *(Line(each.title, Outcome.NOT_TRIED) for each in left)]
    return lines


def _tried(stage: Stage) -> Line:
    begin = time.monotonic()
    made = Line(stage.title, Outcome.PASSED)
    try:
        made = replace(made, remark=stage.run())
    except LabError as error:
        made = replace(made, outcome=Outcome.FAILED, remark=str(error))
    return replace(made, seconds=time.monotonic() - begin)


def table(lines: Sequence[Line]) -> Table:
    """Return what came of them, with the sum of their durations."""
    drawn = Table(title="guideway on Debian's own kernel", show_lines=False)
    drawn.add_column("stage")
    drawn.add_column("")
    drawn.add_column("seconds", justify="right")
    drawn.add_column("")
    for line in lines:
        seconds = "" if line.outcome is Outcome.NOT_TRIED else f"{line.seconds:.0f}"
        remark = line.remark.splitlines()[0] if line.remark else ""
        drawn.add_row(line.title, line.outcome, seconds, remark)
    drawn.add_section()
    drawn.add_row("all", "", f"{sum(line.seconds for line in lines):.0f}")
    return drawn


def passed(lines: Sequence[Line]) -> bool:
    """Return whether there were stages, and all of them passed."""
    return bool(lines) and all(line.outcome is Outcome.PASSED for line in lines)
