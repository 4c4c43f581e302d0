"""The two figures as charts. Equal numbers give equal files, byte for byte."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FormatStrFormatter, NullLocator

from bench import balance, disruption
from bench.balance import Balance
from bench.disruption import Change, Disruption

# Okabe and Ito's palette, which those who are colour-blind can tell apart.
_BLUE: Final = "#0072B2"
_ORANGE: Final = "#E69F00"
_VERMILION: Final = "#D55E00"
_GREEN: Final = "#009E73"
_INK: Final = "#333333"

_DOTS_PER_INCH: Final = 110
_STYLE: Final[dict[str, Any]] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#999999",
    "axes.grid": True,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.08,  # inches
    "figure.constrained_layout.w_pad": 0.08,
    "figure.figsize": (8.6, 4.5),
    "font.size": 10,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}
_REBUILT_STYLES: Final[Sequence[dict[str, Any]]] = (
    {"color": _VERMILION, "marker": "o"},
    {"color": _BLUE, "marker": "s"},
)
_OVERLAY_STYLE: Final[dict[str, Any]] = {"color": _GREEN, "marker": "^"}
_PERCENT_TICKS: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10)


def draw_balance(rows: Sequence[Balance], path: Path) -> None:
    """Write Figure 11 as a PNG to ``path``."""
    with _style():
        figure = Figure()
        panels = figure.subplots(1, len(balance.SIZES), sharey=True)
        for axes, size in zip(panels, balance.SIZES, strict=True):
            _balance_panel(axes, [row for row in rows if row.size == size])
            axes.set_title(f"{size:,} table entries")
        panels[0].set_ylabel("difference from the average backend, %")
        _legend_below(figure, panels[0])
        _save(figure, path)


def _balance_panel(axes: Axes, rows: Sequence[Balance]) -> None:
    places = range(len(rows))
    busiest = [row.busiest for row in rows]
    idlest = [-row.idlest for row in rows]
    axes.bar(places, busiest, 0.55, color=_BLUE, label="busiest backend")
    axes.bar(places, idlest, 0.55, color=_ORANGE, label="idlest backend")
    axes.vlines(
        places,
        [row.busiest_range[0] for row in rows],
        [row.busiest_range[1] for row in rows],
        color=_INK,
        linewidth=1.2,
        label=f"range of {balance.DRAWS} tables",
    )
    axes.scatter(
        [place + 0.14 for place in places],
        [row.paper or 0 for row in rows],
        color=_VERMILION,
        edgecolor="white",
        linewidth=0.8,
        marker="D",
        s=42,
        zorder=3,
        label="busiest, in the paper",
    )
    for place, row in enumerate(rows):
        top = max(row.busiest_range[1], row.paper or 0)
        _number(axes, place, top, f"+{row.busiest:.1f} %", above=True)
        _number(axes, place, -row.idlest, f"\N{MINUS SIGN}{row.idlest:.1f} %", above=False)
    axes.axhline(0, color=_INK, linewidth=0.8)
    axes.set_xticks(places, [row.method for row in rows])
    axes.set_xlim(-0.5, len(rows) - 0.5)
    axes.set_ylim(-50, 68)
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False, axis="x")


def _number(axes: Axes, x: float, y: float, text: str, *, above: bool) -> None:
    axes.annotate(
        text,
        (x, y),
        xytext=(0, 5 if above else -5),
        textcoords="offset points",
        ha="center",
        va="bottom" if above else "top",
        fontsize=9,
    )


def draw_disruption(rows: Sequence[Disruption], path: Path) -> None:
    """Write Figure 12 as a PNG to ``path``."""
    with _style():
        figure = Figure()
        changed, needless = figure.subplots(1, 2)
        _disruption_panel(changed, rows, lambda change: change.changed)
        _percent_scale(changed, vertical=True)
        changed.set_title("table entries that changed")
        changed.set_ylabel("of all entries, %")
        _disruption_panel(needless, rows, lambda change: change.needless)
        needless.set_title("changed though their owner is alive")
        _legend_below(figure, changed)
        _save(figure, path)


def _disruption_panel(
    axes: Axes, rows: Sequence[Disruption], part: Callable[[Change], float]
) -> None:
    for size, style in zip(disruption.SIZES, _REBUILT_STYLES, strict=True):
        some = [row for row in rows if row.size == size]
        label = f"Maglev rebuilt, {size:,} entries"
        axes.plot(_failed(some), [part(row.rebuilt) for row in some], label=label, **style)
    # The overlay moves the same share at all sizes: that of those who failed.
    some = [row for row in rows if row.size == disruption.SIZES[0]]
    moved = [part(row.overlay) for row in some]
    axes.plot(_failed(some), moved, label="survivor overlay", **_OVERLAY_STYLE)
    _percent_scale(axes, vertical=False)
    axes.set_xlabel("failed backends, %")


def _failed(rows: Iterable[Disruption]) -> list[float]:
    return [100 * row.failed / disruption.BACKENDS for row in rows]


def _percent_scale(axes: Axes, *, vertical: bool) -> None:
    """Make a scale logarithmic, with plain numbers on it."""
    axis: Any
    if vertical:
        axes.set_yscale("log")
        axis = axes.yaxis
    else:
        axes.set_xscale("log")
        axis = axes.xaxis
    axis.set_major_locator(FixedLocator(_PERCENT_TICKS))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FormatStrFormatter("%g"))


def _style() -> AbstractContextManager[None]:
    return matplotlib.style.context(["default", _STYLE])


def _legend_below(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=_DOTS_PER_INCH, metadata={"Software": None})
