"""The picture of the shapes: a row of bars for each, by part. Called by `report`."""

from __future__ import annotations

from statistics import median

from matplotlib.axes import Axes

from benchmarks.drawing import COLOURS, INK, frame, picture
from benchmarks.results import PARTS
from benchmarks.shapes.results import Run, Shape, Shapes
from benchmarks.shapes.variants import LARGE_RECORDS

_TITLES = {
    "replay-storm": "replay storm: CPU µs per event",
    "hot-keys": "hot keys, the exponent of Zipf's law: CPU µs per event",
    LARGE_RECORDS: "large records: CPU µs per 1,000 bytes",
}


def draw(shapes: Shapes) -> str:
    """One panel below the other; the same results, the same SVG."""
    bars = [len(shape.variants) for shape in shapes.shapes.values()]
    with picture(0.5 + sum(0.35 + 0.26 * each for each in bars), rows=len(bars), heights=bars) as drawn:
        for axes, (name, shape) in zip(drawn.axes, shapes.shapes.items(), strict=True):
            _draw_shape(axes, name, shape)
        drawn.legend(drawn.axes[0])
    return drawn.svg


def _draw_shape(axes: Axes, name: str, shape: Shape) -> None:
    frame(axes, _TITLES.get(name, name))
    axes.set_yticks(range(len(shape.variants)), shape.variants)
    axes.invert_yaxis()
    for place, variant in enumerate(shape.variants):
        end = 0.0
        for part in PARTS:
            width = median(_width(name, run, part) for run in shape.of(variant))
            axes.barh(place, width, 0.6, left=end, color=COLOURS[part], label=part if place == 0 else "_")
            end += width
        axes.text(end, place, f" {end:.0f}", va="center", color=INK)
    axes.margins(x=0.1)


def _width(name: str, run: Run, part: str) -> float:
    each = run.drain.cpu_us(part)
    return each / run.event_bytes * 1000 if name == LARGE_RECORDS else each
