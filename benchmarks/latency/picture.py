"""The pictures of both: delay by offered rate, and delay over time around bursts. Called by `report`."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from benchmarks.drawing import COLOURS, GRID, INK, frame, picture
from benchmarks.latency.results import Bursts, Rising
from benchmarks.latency.table import rates

_LINES = (("p99", COLOURS["redis"]), ("p90", COLOURS["database"]), ("p50", COLOURS["client"]))
_TICKS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)
_HEIGHT = 2.9


def draw_rising(rising: Rising) -> str:
    """One line for each percentile; rates that saturated stand in the shade."""
    steps = rates(rising)
    with picture(_HEIGHT) as drawn:
        (axes,) = drawn.axes
        frame(axes, "delay from due to visible, by offered events a second", grid="y")
        for name, colour in _LINES:
            values = [[getattr(step.delays, f"{name}_ms") for step in each] for each in steps.values()]
            axes.plot(list(steps), [median(each) for each in values], "o-", ms=3, color=colour, label=name)
            axes.fill_between(
                list(steps), [min(each) for each in values], [max(each) for each in values],
                color=colour, alpha=0.2, linewidth=0,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.set_xticks(list(steps), [_short(rate) for rate in steps])
        axes.minorticks_off()
        _delays_axis(axes, [step.delays.p99_ms for step in rising.steps] + [1])
        _shade(axes, rising)
        drawn.legend(axes)
    return drawn.svg


def draw_bursts(bursts: Bursts) -> str:
    """The median and the worst delay of each moment, with the bursts named."""
    at = [moment.at_seconds for moment in bursts.moments]
    with picture(_HEIGHT) as drawn:
        (axes,) = drawn.axes
        frame(axes, "delay of what was due, over seconds", grid="y")
        worst, half = ([getattr(each, name) for each in bursts.moments] for name in ("worst_ms", "median_ms"))
        axes.plot(at, worst, color=COLOURS["redis"], linewidth=0.8, label="worst")
        axes.plot(at, half, color=COLOURS["client"], linewidth=1.2, label="median")
        for burst in bursts.bursts:
            axes.axvline(burst.at_seconds, color=GRID, linewidth=0.8)
            axes.annotate(
                f" {burst.size:,} at once,\n worked off in {burst.catch_up_seconds:.2f} s",
                (burst.at_seconds, 1), xycoords=("data", "axes fraction"), va="top", color=INK, fontsize=8,
            )  # fmt: skip
        # Room for what is written at the top.
        _delays_axis(axes, [*half, 8 * max(worst)])
        drawn.legend(axes)
    return drawn.svg


def _shade(axes: Axes, rising: Rising) -> None:
    saturated = [step.per_second for step in rising.steps if step.is_saturated]
    if saturated:
        left, right = axes.get_xlim()
        axes.axvspan(min(saturated) * 0.87, right, color=GRID, linewidth=0)
        axes.set_xlim(left, right)


def _delays_axis(axes: Axes, values_ms: Sequence[float]) -> None:
    axes.set_yscale("log")
    axes.set_ylim(min(values_ms) / 1.3, max(values_ms) * 1.3)
    axes.set_yticks([each for each in _TICKS_MS if min(values_ms) / 1.3 <= each <= max(values_ms) * 1.3])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: _duration(value)))
    axes.minorticks_off()


def _duration(milliseconds: float) -> str:
    return f"{milliseconds / 1000:g} s" if milliseconds >= 1000 else f"{milliseconds:g} ms"


def _short(rate: float) -> str:
    return f"{rate / 1000:g} k" if rate >= 1000 else f"{rate:g}"
