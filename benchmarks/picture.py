"""The picture of the CPU time of an event, as a small SVG. Called by `report`."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from benchmarks.drawing import COLOURS, INK, frame, picture
from benchmarks.results import PARTS, Results
from benchmarks.summary import Comparison, Side, compare

_BAR = 0.36


def draw(results: Results) -> str:
    """Both consumers on one scale, and upsertd alone on a larger one; the same results, the same SVG."""
    comparisons = [each for each in compare(results) if "cold" not in each.scenario]
    with picture(0.9 + 0.46 * len(comparisons), columns=2, sharey=True) as drawn:
        both, alone = drawn.axes
        _draw_both(both, comparisons)
        _draw_alone(alone, comparisons)
        drawn.legend(alone)
    return drawn.svg


def _draw_both(axes: Axes, comparisons: Sequence[Comparison]) -> None:
    frame(axes, "CPU µs per event: naive above, upsertd below")
    axes.set_yticks(range(len(comparisons)), [_label(each.scenario) for each in comparisons])
    axes.invert_yaxis()
    for place, each in enumerate(comparisons):
        if each.ratio:
            _stack(axes, place - _BAR / 2, each.naive)
            _stack(axes, place + _BAR / 2, each.upsertd, f": {each.ratio.median:,.0f} times less")
    axes.margins(x=0.2)


def _draw_alone(axes: Axes, comparisons: Sequence[Comparison]) -> None:
    frame(axes, "upsertd alone, magnified")
    for place, each in enumerate(comparisons):
        _stack(axes, place, each.upsertd, named=place == 0)
    axes.margins(x=0.15)


def _stack(axes: Axes, place: float, side: Side, remark: str = "", *, named: bool = False) -> None:
    """Draw the parts of one side one after the other, with the sum behind; `named`: for the legend."""
    end = 0.0
    for part in PARTS:
        width = side.cpu_us_by_part[part]
        label = part if named else "_"
        axes.barh(place, width, _BAR, left=end, color=COLOURS[part], label=label)
        end += width
    text = f" {side.cpu_us.median:,.0f}{remark}"
    axes.text(end, place, text, va="center", color=INK, weight="bold" if remark else "normal")


def _label(scenario: str) -> str:
    kind, percent, *_ = scenario.split("-")
    return f"{kind}, {percent} % duplicates"
