"""Tables on a terminal, as all benchmarks print them."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table


def make_console() -> Console:
    """Return a console of 100 columns, into a pipe too: there, rich would take 80."""
    return Console(width=100, highlight=False)


def make_table(title: str, caption: str) -> Table:
    """Return a table without columns; ``caption`` explains them below it."""
    return Table(
        title=title,
        title_justify="left",
        caption=caption,
        caption_justify="left",
        box=SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )


def add_numbers(table: Table, *names: str) -> None:
    """Add columns of numbers."""
    for name in names:
        table.add_column(name, justify="right")


def print_tables(console: Console, *tables: Table) -> None:
    """Print tables, each with an empty line before it."""
    for table in tables:
        console.print()
        console.print(table)
