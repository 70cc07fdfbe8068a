"""The stages as stacked bars, as small SVGs. Called by `report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from benchmarks.drawing import COLOURS, INK, frame, picture
from benchmarks.stages.names import DRAWN, WAITS
from benchmarks.stages.statements import (
    COMMITTED,
    DELETE_LINES,
    ELSE,
    FENCE,
    INSERT_LINES,
    INSERT_MARKS,
    INSERT_ROWS,
    LOCK_ROWS,
    LOOK_FOR_LETTERS,
    PREPARE,
    SELECT_MARKS,
    TAKE_IN,
)
from benchmarks.stages.summary import Summary, kinds_seen

_BAR = 0.6
_STAGE_COLOURS = {
    "fetch": "#1f3f66",
    "decode": "#3b6ea8",
    "cache look-up": "#7fb0de",
    "decide": "#2d7d6f",
    "build statements": "#56b39f",
    "ask": "#a6d8b8",
    "write": "#d3ecd9",
    "commit": "#8a6fb0",
    "remember": "#b9a2d6",
    "settle": "#d9c8ea",
    "lane, metrics": "#c2a878",
    "event loop, rest": "#e3d6b8",
}
_KIND_COLOURS = {
    FENCE: "#1f3f66",
    SELECT_MARKS: "#3b6ea8",
    LOCK_ROWS: "#7fb0de",
    LOOK_FOR_LETTERS: "#b5cfe8",
    PREPARE: "#2d7d6f",
    TAKE_IN: "#56b39f",
    INSERT_ROWS: "#d98b2b",
    DELETE_LINES: "#7d2f28",
    INSERT_LINES: "#e8a07a",
    INSERT_MARKS: "#b5493f",
    COMMITTED: "#8a6fb0",
    ELSE: "#7a8b99",
}


def draw_cpu(found: Sequence[Summary]) -> str:
    """CPU time by stage and part; the same results, the same SVG."""
    with picture(1.5 + 0.5 * len(found)) as drawn:
        [axes] = drawn.axes
        _prepare(axes, "CPU µs per event: the client by stage, then the servers", found)
        for place, each in enumerate(found):
            widths = {name: each.cpu_us(stages) for name, stages in DRAWN.items()}
            servers = {part: each.part_us(part) for part in ("database", "redis", "broker")}
            _stack(axes, place, {**widths, **servers}, {**_STAGE_COLOURS, **COLOURS})
        drawn.legend(axes, columns=5)
    return drawn.svg


def draw_waits(found: Sequence[Summary]) -> str:
    """What lanes wait for, and the statements inside the server."""
    with picture(1.9 + 0.45 * len(found), columns=2, sharey=True) as drawn:
        waits, server = drawn.axes
        _prepare(waits, "lanes waiting, µs per event", found)
        _prepare(server, "inside the database, wall µs per event", found)
        for place, each in enumerate(found):
            waited = {name: each.waited_us(set(stages) & set(WAITS)) for name, stages in DRAWN.items()}
            _stack(waits, place, {name: us for name, us in waited.items() if us}, _STAGE_COLOURS)
            kinds = {kind: each.server_us(kind) for kind in kinds_seen(found)}
            _stack(server, place, kinds, _KIND_COLOURS)
        for axes in drawn.axes:
            _legend_below(axes)
    return drawn.svg


def _prepare(axes: Axes, title: str, found: Sequence[Summary]) -> None:
    frame(axes, title)
    axes.set_yticks(range(len(found)), [each.scenario for each in found])
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.margins(x=0.12)


def _stack(axes: Axes, place: int, widths: Mapping[str, float], colours: Mapping[str, str]) -> None:
    """Draw one bar, its parts one after the other, the sum behind; the first bar names the colours."""
    end = 0.0
    for name, width in widths.items():
        axes.barh(place, width, _BAR, left=end, color=colours[name], label="_" if place else name)
        end += width
    axes.text(end, place, f" {end:,.0f}", va="center", color=INK)


def _legend_below(axes: Axes) -> None:
    """What its colours mean, below these axes alone."""
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3, frameon=False, labelcolor=INK, fontsize=8
    )
