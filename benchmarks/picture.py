"""The picture of the CPU time of an event, as a small SVG. Called by `page`."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.results import PARTS, Results
from benchmarks.summary import Comparison, Side, compare

_COLOURS = {"client": "#3b6ea8", "database": "#d98b2b", "redis": "#b5493f", "broker": "#7a8b99"}
# Greys that are read on a white page and on a dark one.
_INK, _GRID = "#6e7781", "#9aa4ae55"
_BAR = 0.36
# Text stays text: the file is small, and the page's font is used.
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "upsertd",
    "font.size": 9,
    "font.family": "sans-serif",
}


def draw(results: Results) -> str:
    """Both consumers on one scale, and upsertd alone on a larger one; the same results, the same SVG."""
    comparisons = [each for each in compare(results) if "cold" not in each.scenario]
    with mpl.rc_context(_STYLE):
        height = 0.9 + 0.46 * len(comparisons)
        figure, (both, alone) = plt.subplots(1, 2, figsize=(8.4, height), sharey=True, layout="constrained")
        _draw_both(both, comparisons)
        _draw_alone(alone, comparisons)
        figure.legend(
            *alone.get_legend_handles_labels(),
            loc="outside lower center",
            ncols=4,
            frameon=False,
            labelcolor=_INK,
        )
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        plt.close(figure)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def _draw_both(axes: Axes, comparisons: Sequence[Comparison]) -> None:
    _frame(axes, "CPU µs per event: naive above, upsertd below")
    axes.set_yticks(range(len(comparisons)), [_label(each.scenario) for each in comparisons])
    axes.invert_yaxis()
    for place, each in enumerate(comparisons):
        _stack(axes, place - _BAR / 2, each.naive)
        _stack(axes, place + _BAR / 2, each.upsertd, f": {each.ratio.median:,.0f} times less")
    axes.margins(x=0.2)


def _draw_alone(axes: Axes, comparisons: Sequence[Comparison]) -> None:
    _frame(axes, "upsertd alone, magnified")
    for place, each in enumerate(comparisons):
        _stack(axes, place, each.upsertd, named=place == 0)
    axes.margins(x=0.15)


def _stack(axes: Axes, place: float, side: Side, remark: str = "", *, named: bool = False) -> None:
    """Draw the parts of one side one after the other, with the sum behind; `named`: for the legend."""
    end = 0.0
    for part in PARTS:
        width = side.cpu_us_by_part[part]
        label = part if named else "_"
        axes.barh(place, width, _BAR, left=end, color=_COLOURS[part], label=label)
        end += width
    text = f" {side.cpu_us.median:,.0f}{remark}"
    axes.text(end, place, text, va="center", color=_INK, weight="bold" if remark else "normal")


def _frame(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=9, color=_INK, loc="left")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.tick_params(colors=_INK, length=0)
    axes.grid(axis="x", color=_GRID, linewidth=0.5)
    axes.set_axisbelow(True)


def _label(scenario: str) -> str:
    kind, percent, *_ = scenario.split("-")
    return f"{kind}, {percent} % duplicates"
