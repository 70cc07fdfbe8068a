"""The picture of what an event costs each peer, load by load, as a small SVG. Called by `__main__`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from matplotlib.axes import Axes

from benchmarks.contenders import NAIVE, UPSERTD
from benchmarks.drawing import COLOURS, INK, frame, picture
from benchmarks.peers.report import LABELS, LOADS
from benchmarks.peers.results import Results
from benchmarks.peers.summary import Line, lines
from benchmarks.results import PARTS

_BAR = 0.62


def draw(results: Results) -> str:
    """A panel for each load, all on one scale; the naive consumer would not fit and is told in words."""
    drawable = lines(results)
    panels = [list(panel) for _, panel in groupby(drawable, key=lambda line: line.scenario)]
    bars = [line for line in drawable if line.contender != NAIVE]
    # Of all panels, so that the names at the left are those of every one.
    places = {name: place for place, name in enumerate(dict.fromkeys(map(_label, bars)))}
    with picture(2.3, columns=len(panels), sharey=True) as drawn:
        for axes, panel in zip(drawn.axes, panels, strict=True):
            _draw_panel(axes, panel, places)
            # Room for the figures behind the bars.
            axes.set_xlim(0, max(line.cpu_us.median for line in bars) * 1.5)
        drawn.axes[0].invert_yaxis()
        drawn.legend(drawn.axes[0])
    return drawn.svg


def _draw_panel(axes: Axes, panel: Sequence[Line], places: Mapping[str, int]) -> None:
    frame(axes, LOADS.get(panel[0].scenario, panel[0].scenario))
    axes.set_yticks(list(places.values()), list(places))
    remark = ""
    for line in panel:
        if line.contender == NAIVE:
            remark = f"; naive: {line.cpu_us.median:,.0f}"
        else:
            _stack(axes, places[_label(line)], line)
    axes.set_xlabel(f"CPU µs per event{remark}", color=INK)


def _stack(axes: Axes, place: int, line: Line) -> None:
    """The parts of one bar one after the other, their sum behind, and how many times upsertd's it is."""
    end = 0.0
    for part in PARTS:
        width = line.cpu_us_of(part)
        # Of several bars the first one names the colours.
        label = part if place == 0 else "_"
        axes.barh(place, width, _BAR, left=end, color=COLOURS[part], label=label)
        end += width
    is_ours = line.contender == UPSERTD
    ratio = "" if is_ours or line.cpu_ratio is None else f" ({line.cpu_ratio.median:.2g}×)"  # noqa: RUF001 -- times
    weight = "bold" if is_ours else "normal"
    axes.text(end, place, f" {line.cpu_us.median:,.0f}{ratio}", va="center", color=INK, weight=weight)


def _label(line: Line) -> str:
    return f"{LABELS[line.contender]}{', 2nd half' if line.is_warm else ''}"
