"""How long the table builder takes, beside its Python twin and the paper's algorithm.

``python -m bench.table`` prints it, and takes half a minute. It judges nothing: absolute
figures belong to a machine, and only ratios of one run can be compared.
"""

import platform
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rich.table import Table

from bench import building, changing, probes
from bench.building import Building, Case
from bench.changing import Changing
from bench.clock import Timing, settle
from bench.machine import processor
from bench.paper import Paper
from bench.report import add_numbers, make_console, make_table, print_tables
from maglev import Permutations

_WEIGHTS: Final = {1: "equal", 100: "1…100", 65535: "1…65535"}  # by the heaviest

# Published figures in milliseconds, measured on other machines.
_MAGLEV_PAPER: Final = {Case(65537, 1000, 1): "1.8", Case(655373, 1000, 1): "22.9"}
_KATRAN: Final = {1: "1.9…2.6", 100: "2.1…3.1"}  # by the heaviest
_KATRAN_SIZE: Final = 65537
_KATRAN_BACKENDS: Final = range(10, 5001)


def main() -> None:
    """Measure and print."""
    console = make_console()
    core = settle()
    paper = Paper()
    console.print(
        f"{processor()}, core {core}; Python {platform.python_version()}; {paper.compiler}"
    )
    buildings = list(building.measure(paper))
    print_tables(console, _building_table(buildings))
    changings = list(changing.measure(paper))
    print_tables(
        console,
        _changing_table(changings),
        _targets_table(buildings, changings),
        _probes_table(buildings),
    )


def _building_table(rows: Iterable[Building]) -> Table:
    table = make_table(
        "Building a table, ms",
        f"Best and median of {building.RUNS} runs. From nothing: maglev.build of a list of "
        "pairs, hashing included; lists kept: Permutations made before. C: the paper's "
        "pseudo-code 1 in plain C, equal weights, lists given; its best run, and how many "
        "times our best run with lists kept fits into it. Twin: the same in plain Python, "
        "and how many times our best from nothing fits into it. Maglev: the paper, section "
        "5.3; Katran: its C++; both published, from other machines.",
    )
    add_numbers(
        table,
        *("\nM", "\nN", "\nweights", "nothing\nbest", "\nmedian", "kept\nbest", "\nmedian"),
        *("C\nms", "\ntimes", "twin\nms", "\ntimes", "\nMaglev", "\nKatran"),
    )
    for row in rows:
        case = row.case
        table.add_row(
            str(case.size),
            str(case.backends),
            _WEIGHTS[case.heaviest],
            *_timing(row.from_nothing),
            *_timing(row.kept),
            f"{row.paper.best_ms:.2f}",
            f"{row.paper.best_ms / row.kept.best_ms:.2f}",
            f"{row.twin_ms:.0f}",
            f"{row.twin_ms / row.from_nothing.best_ms:.0f}",
            _MAGLEV_PAPER.get(case, ""),
            _katran(case),
            end_section=case.backends == building.BACKENDS[-1],
        )
    return table


def _katran(case: Case) -> str:
    if case.size != _KATRAN_SIZE or case.backends not in _KATRAN_BACKENDS:
        return ""
    return _KATRAN.get(case.heaviest, "")


def _changing_table(rows: Iterable[Changing]) -> Table:
    table = make_table(
        f"Following a change, ms: M = {changing.EQUAL.size}, N = {changing.EQUAL.backends}",
        "Weights 1…100 in the first two rows, equal ones with the overlay. C: the paper's "
        "algorithm has to build the whole table again, without those that are down. Twin: "
        "plain Python, which starts from nobody down.",
    )
    table.add_column("\nchange")
    add_numbers(
        table, "\nbest", "\nmedian", "C, rebuilt\nms", "\ntimes", "twin\nms", "\ntimes"
    )
    for row in rows:
        table.add_row(
            row.change,
            *_timing(row.ours),
            f"{row.paper.best_ms:.2f}",
            f"{row.paper.best_ms / row.ours.best_ms:.2f}",
            f"{row.twin_ms:.0f}",
            f"{row.twin_ms / row.ours.best_ms:.0f}",
        )
    return table


def _targets_table(buildings: Sequence[Building], changings: Sequence[Changing]) -> Table:
    table = make_table("Targets, ms", "Met here: by the median run, on this machine.")
    table.add_column("what")
    add_numbers(table, "target", "best", "median", "met here")
    for what, target_ms, timing in _targets(buildings, changings):
        met = _met(timing, target_ms)
        table.add_row(what, f"{target_ms:g}", *_timing(timing), met)
    return table


def _targets(
    buildings: Sequence[Building], changings: Sequence[Changing]
) -> Iterator[tuple[str, float, Timing]]:
    """Yield what has a target, the target in milliseconds, and what was measured."""
    for size, target_ms in ((65537, 1.0), (655373, 12.0)):
        usual = next(row for row in buildings if row.case == Case(size, 1000, 1))
        rows = [row for row in buildings if row.case.size == size]
        slowest = max(rows, key=lambda row: row.from_nothing.median_ms)
        for row, rank in ((usual, ""), (slowest, ", the slowest")):
            case = row.case
            pool = f"M = {size}, N = {case.backends}, {_WEIGHTS[case.heaviest]}{rank}"
            yield f"{pool}: from nothing", target_ms, row.from_nothing
            yield f"{pool}: lists kept", target_ms, row.kept
    for change, target_ms in ((changing.ONE_DOWN, 0.1), (changing.HUNDRED_DOWN, 10.0)):
        ours = next(row.ours for row in changings if row.change == change)
        yield change, target_ms, ours


def _met(timing: Timing, target_ms: float) -> str:
    if timing.median_ms <= target_ms:
        return "yes"
    return "best run only" if timing.best_ms <= target_ms else "no"


def _probes_table(rows: Iterable[Building]) -> Table:
    table = make_table(
        "Where the time goes: slots looked at, N = 1000, equal weights",
        "While F slots are free, the next one in a list is M/(F+1) further on average. The "
        "paper's algorithm walks to the end; ours until K = √M slots are free, then each "
        "claim looks at all that are. The paper's reads 4 bytes per slot (256 KiB at M = "
        "65537), our walk 1 bit (8 KiB). Counted: in one table. Time: best run with lists "
        "kept, of the whole build.",
    )
    table.add_column("M", justify="right")
    table.add_column("algorithm")
    table.add_column("expected")
    add_numbers(table, "", "counted", "ms", "ns per slot")
    for row in rows:
        if row.case in _MAGLEV_PAPER:
            _add_probes(table, row)
    return table


def _add_probes(table: Table, row: Building) -> None:
    identities, weights = zip(*row.case.pairs(), strict=True)
    permutations = Permutations(identities, row.case.size)
    expected = probes.expect(row.case.size)
    counted = probes.count(permutations, permutations.build(weights))
    size = str(row.case.size)
    for algorithm, formula, expectation, number, best_ms in (
        ("paper's", "M·(ln M - 0.42)", expected.paper, counted.paper, row.paper.best_ms),
        ("ours, walking", "M·ln(M/K)", expected.walking, counted.walking, None),
        ("ours, searching", "K²/2", expected.searching, counted.searching, None),
        ("ours", "", expected.ours, counted.ours, row.kept.best_ms),
    ):
        table.add_row(
            size,
            algorithm,
            formula,
            f"{expectation:,.0f}",
            f"{number:,.0f}",
            f"{best_ms:.2f}" if best_ms else "",
            f"{best_ms * 1e6 / number:.2f}" if best_ms else "",
            end_section=algorithm == "ours",
        )


def _timing(timing: Timing) -> tuple[str, str]:
    return f"{timing.best_ms:.3f}", f"{timing.median_ms:.3f}"


if __name__ == "__main__":
    main()
