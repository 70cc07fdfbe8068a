"""How all pictures of the benchmarks look: colours, frame, SVG. Called by the modules that draw."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = {"client": "#3b6ea8", "database": "#d98b2b", "redis": "#b5493f", "broker": "#7a8b99"}
# Greys that are read on a white page and on a dark one.
INK, GRID = "#6e7781", "#9aa4ae55"
# Text stays text: the file is small, and the page's font is used.
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "upsertd",
    "font.size": 9,
    "font.family": "sans-serif",
}


class Picture:
    """A figure and its axes; `svg` is there when the context of `picture` has ended."""

    def __init__(self, figure: Figure, axes: Sequence[Axes]) -> None:
        self.figure = figure
        self.axes = axes
        self.svg = ""

    def legend(self, axes: Axes, columns: int = 4) -> None:
        """What the colours of `axes` mean, below everything."""
        self.figure.legend(
            *axes.get_legend_handles_labels(),
            loc="outside lower center",
            ncols=columns,
            frameon=False,
            labelcolor=INK,
        )


@contextmanager
def picture(
    height: float,
    *,
    columns: int = 1,
    rows: int = 1,
    heights: Sequence[float] | None = None,
    sharey: bool = False,
) -> Iterator[Picture]:
    """A picture as wide as a page, `height` inches high; the same drawing makes the same SVG.

    Its axes come row by row; `heights` are those of the rows, by proportion.
    """
    with mpl.rc_context(_STYLE):
        figure, axes = plt.subplots(
            rows, columns, figsize=(8.4, height), layout="constrained", squeeze=False, sharey=sharey,
            height_ratios=heights,
        )  # fmt: skip
        drawn = Picture(figure, list(axes.flat))
        try:
            yield drawn
            drawn.svg = _svg(figure)
        finally:
            plt.close(figure)


def frame(axes: Axes, title: str, grid: str = "x") -> None:
    """No box, a light grid along `grid`, the title at the left."""
    axes.set_title(title, fontsize=9, color=INK, loc="left")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.tick_params(colors=INK, length=0)
    axes.grid(axis=grid, color=GRID, linewidth=0.5)  # type: ignore[arg-type]  # one of three literals
    axes.set_axisbelow(True)


def _svg(figure: Figure) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"
