"""Figures 11 and 12 of Eisenbud et al., "Maglev", NSDI'16, section 5.3, measured here.

``python -m bench.figures`` writes each as a chart and as a CSV file to docs/figures and
prints the numbers. The same code writes the same bytes, on every run.
"""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from rich.table import Table

from bench import balance, charts, disruption
from bench.balance import Balance
from bench.disruption import Disruption
from bench.report import add_numbers, make_console, make_table, print_tables

_FOLDER: Final = Path(__file__).resolve().parent.parent / "docs" / "figures"


def main() -> None:
    """Measure, write the files and print what is in them."""
    _FOLDER.mkdir(parents=True, exist_ok=True)
    console = make_console()

    balances = balance.measure()
    _write(_FOLDER / "figure-11-balance.csv", map(_balance_record, balances))
    charts.draw_balance(balances, _FOLDER / "figure-11-balance.png")
    print_tables(console, _balance_table(balances))

    disruptions = disruption.measure()
    _write(_FOLDER / "figure-12-disruption.csv", map(_disruption_record, disruptions))
    charts.draw_disruption(disruptions, _FOLDER / "figure-12-disruption.png")
    print_tables(console, _disruption_table(disruptions))

    console.print("\nThe charts and CSV files are in docs/figures.")


def _balance_record(row: Balance) -> dict[str, object]:
    return {
        "method": row.method,
        "size": row.size,
        "backends": balance.BACKENDS,
        "draws": balance.DRAWS,
        "busiest_over_average_percent": f"{row.busiest:.2f}",
        "busiest_over_average_least": f"{row.busiest_range[0]:.2f}",
        "busiest_over_average_greatest": f"{row.busiest_range[1]:.2f}",
        "idlest_under_average_percent": f"{row.idlest:.2f}",
        "paper_busiest_over_average_percent": _paper(row),
    }


def _disruption_record(row: Disruption) -> dict[str, object]:
    return {
        "size": row.size,
        "backends": disruption.BACKENDS,
        "failed": row.failed,
        "draws": disruption.DRAWS,
        "rebuilt_changed_percent": f"{row.rebuilt.changed:.3f}",
        "reference_simulation_changed_percent": f"{row.reference.changed:.3f}",
        "rebuilt_needless_percent": f"{row.rebuilt.needless:.3f}",
        "reference_simulation_needless_percent": f"{row.reference.needless:.3f}",
        "overlay_changed_percent": f"{row.overlay.changed:.3f}",
        "overlay_needless_percent": f"{row.overlay.needless:.3f}",
        "overlay_busiest_over_average": f"{row.overlay_busiest:.3f}",
        "overlay_busiest_over_average_least": f"{row.overlay_busiest_range[0]:.3f}",
        "overlay_busiest_over_average_greatest": f"{row.overlay_busiest_range[1]:.3f}",
        "reference_simulation_busiest_over_average": _reference_busiest(row),
    }


def _paper(row: Balance) -> str:
    return "close to 0" if row.paper is None else f"{row.paper:.1f}"


def _reference_busiest(row: Disruption) -> str:
    return "" if row.reference_busiest is None else f"{row.reference_busiest:.3f}"


def _write(path: Path, records: Iterable[dict[str, object]]) -> None:
    rows = list(records)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _balance_table(rows: Iterable[Balance]) -> Table:
    table = make_table(
        f"Load balance (Figure 11): {balance.BACKENDS} equal backends",
        f"Busiest over and idlest under the average, percent: means of {balance.DRAWS} "
        "tables, and the range of the busiest.",
    )
    table.add_column("method")
    add_numbers(table, "entries", "busiest", "range", "paper", "idlest")
    for row in rows:
        least, greatest = row.busiest_range
        table.add_row(
            row.method,
            str(row.size),
            f"{row.busiest:.1f}",
            f"{least:.1f}…{greatest:.1f}",
            _paper(row),
            f"{row.idlest:.1f}",
            end_section=row.size == balance.SIZES[-1],
        )
    return table


def _disruption_table(rows: Iterable[Disruption]) -> Table:
    table = make_table(
        f"Disruption (Figure 12): some of {disruption.BACKENDS} equal backends fail",
        f"Entries in percent of all, means of {disruption.DRAWS} draws. Needless: the "
        "owner is alive. Busiest: survivor over the survivors' average, and its range. "
        "Ref.: reference simulation.",
    )
    add_numbers(
        table,
        *("\nentries", "\nfailed"),
        *("rebuilt\nchanged", "\nref.", "\nneedless", "\nref."),
        *("overlay\nchanged", "\nneedless", "\nbusiest", "\nrange", "\nref."),
    )
    for row in rows:
        least, greatest = row.overlay_busiest_range
        table.add_row(
            str(row.size),
            str(row.failed),
            f"{row.rebuilt.changed:.3f}",
            f"{row.reference.changed:.3f}",
            f"{row.rebuilt.needless:.3f}",
            f"{row.reference.needless:.3f}",
            f"{row.overlay.changed:.3f}",
            f"{row.overlay.needless:.3f}",
            f"{row.overlay_busiest:.3f}",
            f"{least:.3f}…{greatest:.3f}",
            _reference_busiest(row),
            end_section=row.failed == disruption.FAILED[-1],
        )
    return table


if __name__ == "__main__":
    main()
