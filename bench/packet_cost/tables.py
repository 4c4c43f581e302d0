"""What was measured, as tables."""

from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from typing import Final

from rich.table import Table

from bench.packet_cost.cases import Case
from bench.packet_cost.marks import KATRAN, marks
from bench.packet_cost.measure import Row
from bench.packet_cost.prices import FLOWS, RUNS, Price
from bench.packet_cost.timing import ROUNDS, Cost
from bench.report import add_numbers, make_table
from dataplane.libbpf import ProgramInfo

_THOUSAND: Final = 1000


def rows_table(rows: Sequence[Row], program: ProgramInfo) -> Table:
    """Return the rows, each beside what there is to compare it with."""
    runs = max(len(row.samples.program) for row in rows)
    table = make_table(
        "The XDP program, net ns per packet",
        f"Best and median of {runs} runs in {runs // ROUNDS} loads of the program, less "
        "those of a program that does nothing with the same packets. All packets were "
        "counted under the reason that the row names. The program: "
        f"{program.instructions} BPF instructions, {program.machine_code} bytes of machine "
        "code. Flows go to all VIPs in turn; backends are those of each VIP. "
        f"{KATRAN}, beside how many times our median fits into its better figure; targets "
        "are for that Xeon, too.",
    )
    table.add_column("\nway")
    table.add_column("\npacket")
    add_numbers(table, "\nflows", "\nVIPs", "back-\nends", "\nbytes")
    add_numbers(table, "\nbest", "\nmedian", "\nKatran", "\ntimes", "\ntarget")
    for row, following in pairwise(chain(rows, [None])):
        if row is not None:
            after = following.case if following else None
            table.add_row(*_cells(row), end_section=_ends_section(row.case, after))
    return table


def prices_table(prices: Iterable[Price]) -> Table:
    """Return the price list."""
    table = make_table(
        "Price list, net ns per packet",
        f"Best and median of {RUNS} runs, measured as above, of programs that do this and "
        "nothing else. The first row is not net: it is what all others are net of.",
    )
    table.add_column("\npart")
    for flows in FLOWS:
        number = "1 flow" if flows == 1 else f"{_short(flows)} flows"
        add_numbers(table, f"{number}\nbest", "\nmedian")
    for price in prices:
        costs = (price.costs[flows] for flows in FLOWS)
        table.add_row(price.part, *chain.from_iterable(map(_cost, costs)))
    return table


def name(case: Case) -> str:
    """Return a row's name in a line of its own."""
    return " ".join((f"IPv{case.family}", *_labels(case)))


def _labels(case: Case) -> tuple[str, ...]:
    watched = ", watched" if case.watched else ""
    return case.way.value + watched, case.kind.value, _short(case.flows)


def _cells(row: Row) -> list[str]:
    case, found = row.case, marks(row.case)
    way, kind, flows = _labels(case)
    cells = [f"v{case.family} {way}", kind, flows, str(case.vips), str(case.backends)]
    cells.append(str(len(case.template().frame)))
    if row.problem:
        return [*cells, "error"]
    cost = row.samples.net
    if found.katran:
        katran = _range(*found.katran), _times(found.katran[0], cost)
    else:
        katran = "", ""
    return [*cells, *_cost(cost), *katran, f"≤ {found.target}" if found.target else ""]


def _ends_section(case: Case, following: Case | None) -> bool:
    return following is None or (case.family, case.way) != (following.family, following.way)


def _cost(cost: Cost) -> tuple[str, str]:
    return f"{cost.least:.0f}", f"{cost.median:.1f}"


def _range(least: int, most: int) -> str:
    return str(least) if least == most else f"{least}…{most}"


def _times(katran: int, cost: Cost) -> str:
    return f"{katran / cost.median:.1f}" if cost.median > 0 else ""


def _short(number: int) -> str:
    """Return a round number in few letters."""
    for unit in ("", "k", "M"):
        if number < _THOUSAND:
            return f"{number}{unit}"
        number //= _THOUSAND
    raise ValueError(f"too large: {number}")
