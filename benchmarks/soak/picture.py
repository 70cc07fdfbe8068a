"""The picture of a soak: each series over time, below one another. Called by `report`."""

from __future__ import annotations

from matplotlib.axes import Axes

from benchmarks.drawing import COLOURS, GRID, INK, frame, picture
from benchmarks.soak.results import Soak
from benchmarks.soak.verdict import SERIES, Finding, Series, behind_warm_up, findings

# Memory and connections are what leaks; the other two are what its users and its bill would notice.
_SHOWN = ("memory", "connections", "delay p99", "client CPU")
_HEIGHT = 2.3


def draw(soak: Soak) -> str:
    """Four of the series, the warm-up in the shade, the slope as a line."""
    shown = [series for series in SERIES if series.name in _SHOWN]
    found = {finding.series.name: finding for finding in findings(soak.samples)}
    with picture(_HEIGHT, columns=len(shown)) as drawn:
        for axes, series in zip(drawn.axes, shown, strict=True):
            _draw(axes, series, found[series.name], soak)
    return drawn.svg


def _draw(axes: Axes, series: Series, finding: Finding, soak: Soak) -> None:
    frame(axes, f"{series.name}{f', {series.unit}' if series.unit else ''}", grid="y")
    points = series.points(soak.samples)
    axes.plot(
        [each.at / 60 for each in points], [each.value for each in points], color=COLOURS["client"], lw=1
    )
    axes.set_ylim(0, 1.25 * max((each.value for each in points), default=1) or 1)
    axes.set_xlabel("minutes", color=INK, fontsize=8)
    axes.text(0.97, 0.97, finding.verdict, transform=axes.transAxes, ha="right", va="top", color=INK)
    counted = behind_warm_up(soak.samples)
    if counted and finding.slope is not None:
        begin, end = counted[0].at_seconds, counted[-1].at_seconds
        axes.axvspan(0, begin / 60, color=GRID, linewidth=0)
        reach = finding.slope.middle * (end - begin) / 2
        ends = (finding.median - reach, finding.median + reach)
        axes.plot((begin / 60, end / 60), ends, color=COLOURS["database"], lw=1.5)
