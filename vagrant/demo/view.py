"""The tour on a terminal: live, and at the end a table of what was claimed and measured."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from vagrant.demo.board import Board
from vagrant.demo.claims import Claim

_MARK_STYLES = {"✓": "green", "✗": "red", "▶": "yellow", "·": "dim"}
_HEIGHT = 17  # lines


class View:
    """Renders the board as it is when rich asks."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def __rich__(self) -> RenderableType:
        """Return the whole picture."""
        above = Layout(size=8)
        above.split_row(Layout(self._phases(), ratio=3), Layout(self._nodes(), ratio=2))
        picture = Layout()
        picture.split_column(above, Layout(self._answers()))
        return Panel(picture, title=f"guideway: {self._board.title}", height=_HEIGHT)

    def _phases(self) -> RenderableType:
        lines = Text()
        for phase in self._board.phases:
            lines.append(f"{phase.mark} ", _MARK_STYLES[phase.mark])
            lines.append(f"{phase.name}\n", "bold" if phase.mark == "▶" else "")
        return Panel(lines, title="phases")

    def _nodes(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        for node, state in self._board.vrrp_states().items():
            table.add_row(node, Text(state, "green" if state == "active" else ""))
        got = self._board.download
        if got is not None:
            bar = _bar(got.received / got.size, 14)
            table.add_row("download", bar)
            table.add_row("", f"{got.received / 2**20:.1f} MiB from {got.backend}")
        return Panel(table, title="nodes")

    def _answers(self) -> RenderableType:
        answers = self._board.answers_per_second()
        most = max(1, *answers.values()) if answers else 1
        table = Table.grid(padding=(0, 2))
        for backend, weight in self._board.weights.items():
            count = answers[backend]
            bar = _bar(count / most, 40)
            table.add_row(f"{backend} (weight {weight})", bar, f"{count}/s")
        style = "red" if answers[None] else ""
        failures = Text(f"{self._board.failed} failed so far", style)
        table.add_row("all", Text(f"{answers.total()} requests/s"), failures)
        return Panel(table, title="who answers")


def summary(claims: Sequence[tuple[str, Claim]]) -> Table:
    """Return the table of all claims, each with the title of its tour."""
    table = Table(title="What guideway claims, and what was measured", show_lines=True)
    table.add_column("mode")
    table.add_column("claim", ratio=3)
    table.add_column("measured", ratio=2)
    table.add_column("")
    for title, claim in claims:
        verdict = Text("held", "green") if claim.held else Text("FAILED", "bold red")
        table.add_row(title, claim.sentence, claim.measured, verdict)
    return table


def _bar(part: float, width: int) -> Text:
    """Return a bar of ``width`` characters, ``part`` (0 to 1) of it filled."""
    filled = round(part * width)
    return Text("█" * filled, "cyan").append("░" * (width - filled), "dim")
