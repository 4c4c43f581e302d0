"""Answers as tables for the terminal, and as plain values for JSON."""

from typing import Any

from rich import box
from rich.table import Table

from maglev.compare import Shares
from maglev.whatif import Answer, Change


def as_tables(answer: Answer) -> list[Table]:
    """Return the shares and, if there are any, the changes."""
    shares = _table(
        f"Shares of {answer.backends} backends in {answer.size} slots",
        ["busiest", "idlest", "furthest from exact"],
    )
    shares.add_row(*_extremes(answer.shares), f"{answer.shares.rounding:.2f} slots")
    if not answer.changes:
        return [shares]
    changes = _table(
        "What changes, in shares of all slots",
        ["change", "table", "changed", "needlessly", "busiest", "idlest"],
    )
    for change in answer.changes:
        changes.add_row(*_row(change))
    return [shares, changes]


def as_values(answer: Answer) -> dict[str, Any]:
    """Return the same for JSON; shares as fractions, 0…1 or above."""
    return {
        "size": answer.size,
        "backends": answer.backends,
        **_values(answer.shares),
        "changes": [
            {
                "change": change.what,
                "table": change.how,
                "changed_slots": change.disruption.changed,
                "needless_slots": change.disruption.needless,
                **_values(change.shares),
            }
            for change in answer.changes
        ],
    }


def _table(title: str, columns: list[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        words = column in {"change", "table"}
        table.add_column(column, justify="left" if words else "right", no_wrap=True)
    return table


def _row(change: Change) -> tuple[str, ...]:
    disruption = change.disruption
    return (
        change.what,
        change.how,
        f"{disruption.changed_share:.3%}",
        f"{disruption.needless_share:.3%}",
        *_extremes(change.shares),
    )


def _extremes(shares: Shares) -> tuple[str, str]:
    # Adding 0 makes a negative zero a positive one.
    return f"{round(shares.over, 4) + 0:+.2%}", f"{round(-shares.under, 4) + 0:+.2%}"


def _values(shares: Shares) -> dict[str, float]:
    return {"over": shares.over, "under": shares.under, "rounding_slots": shares.rounding}
