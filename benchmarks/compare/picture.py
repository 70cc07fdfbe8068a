"""The ratios of all rounds as dots around 1, as a small SVG. Called by `report`."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from benchmarks.compare.ratios import SUM, Pair
from benchmarks.drawing import COLOURS, INK, frame, picture


def draw(found: Sequence[Pair]) -> str:
    """A row for each scenario and part, with a dot for each round; the same results, the same SVG."""
    with picture(0.8 + 0.24 * len(found)) as drawn:
        [axes] = drawn.axes
        frame(axes, "B's CPU time divided by A's, round by round")
        axes.axvline(1, color=INK, linewidth=1, zorder=1)
        axes.set_yticks(range(len(found)), [_label(pair) for pair in found])
        axes.invert_yaxis()
        for place, pair in enumerate(found):
            _draw_pair(axes, place, pair)
    return drawn.svg


def _draw_pair(axes: Axes, place: int, pair: Pair) -> None:
    colour = COLOURS.get(pair.measure, INK)
    width = 2.5 if pair.measure == SUM else 1.5
    axes.scatter(pair.ratios, [place] * len(pair.ratios), 18, color=colour, alpha=0.6, linewidths=0)
    axes.vlines(pair.ratio.median, place - 0.35, place + 0.35, color=colour, linewidth=width)


def _label(pair: Pair) -> str:
    return pair.scenario if pair.measure == SUM else pair.measure
