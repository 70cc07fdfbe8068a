"""The picture of a chaos run: its faults over time, with lag and throughput under them, as an SVG.

Pure; called by `page` and by `picture`. Written by hand, so that each fault can be pointed at, and light and
dark pages both can show it: the colours are those of the page, or the picture's own where it stands alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from tests.faults.chaos.results import Act, Injected, Point, Results, went_on

WIDTH = 1100
_LEFT, _RIGHT, _TOP = 86, 14, 8
_ROW, _BAR = 22, 13
_PANEL, _GAP = 92, 34
_LEAST_BAR = 3.0
_RATE_SECONDS = 2.0
_ROWS = ("replica", "kafka", "database", "redis")
_TICKS = (5, 10, 15, 30, 60, 120, 300, 600, 1200, 3600)
_MOST_TICKS = 12

# What a page that shows the picture defines for itself.
STYLE = """
svg.timeline { --ink: #57606a; --line: #9aa4ae66; --fine: #2f7d4f;
  --replica: #7d5bd0; --kafka: #3b78c4; --database: #d0841f; --redis: #c2493d; }
@media (prefers-color-scheme: dark) { svg.timeline { --ink: #9aa4ae; --fine: #5fbf86;
  --replica: #a48af0; --kafka: #6aa5ee; --database: #eba24a; --redis: #ec7a6e; } }
svg.timeline text { fill: var(--ink); font: 11px system-ui, sans-serif; }
svg.timeline .title { font-weight: 600; }
svg.timeline .grid { stroke: var(--line); stroke-width: 1; }
svg.timeline .act { stroke: var(--ink); stroke-dasharray: 2 3; }
svg.timeline .area { fill: var(--fine); fill-opacity: .22; stroke: var(--fine); stroke-width: 1.2; }
svg.timeline .replica { fill: var(--replica); } svg.timeline .kafka { fill: var(--kafka); }
svg.timeline .database { fill: var(--database); } svg.timeline .redis { fill: var(--redis); }
svg.timeline .after { fill-opacity: .35; }
""".strip()


@dataclass(frozen=True, slots=True)
class Scale:
    """Time to pixels."""

    end: float

    def x(self, at: float) -> float:
        return _LEFT + at / self.end * (WIDTH - _LEFT - _RIGHT)


def draw(results: Results, *, alone: bool = False) -> str:
    """The picture; `alone`: a file of its own, which brings its style along."""
    scale = Scale(max(results.seconds, 1.0))
    faults_end = _TOP + _ROW * len(_ROWS)
    lag_top = faults_end + _GAP
    rate_top = lag_top + _PANEL + _GAP
    height = rate_top + _PANEL + 24
    parts = [
        *_time_grid(scale, faults_end, rate_top + _PANEL),
        *_fault_rows(results.faults, scale),
        *_panel("lag, records", lag_top, results.acts, scale, _lags),
        *_panel("handled, records/s", rate_top, results.acts, scale, _rates),
        *_act_ends(results.acts, scale, rate_top + _PANEL),
    ]
    head = f'<svg class="timeline" viewBox="0 0 {WIDTH} {height:g}" role="img"'
    label = f'aria-label="{len(results.faults)} faults over time, with lag and throughput"'
    space = ' xmlns="http://www.w3.org/2000/svg"' if alone else ""
    style = f"<style>{STYLE}</style>" if alone else ""
    return "\n".join([f"{head}{space} {label}>{style}", *parts, "</svg>"]) + "\n"


def _time_grid(scale: Scale, top: float, bottom: float) -> Iterator[str]:
    step = next((each for each in _TICKS if scale.end / each <= _MOST_TICKS), _TICKS[-1])
    for tick in range(0, int(scale.end) + 1, step):
        x = scale.x(tick)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom:g}"/>'
        yield _text(x, bottom + 16, f"{tick // 60}:{tick % 60:02d}", "middle")


def _fault_rows(faults: Sequence[Injected], scale: Scale) -> Iterator[str]:
    for number, part in enumerate(_ROWS):
        top = _TOP + number * _ROW
        yield _text(_LEFT - 10, top + _BAR - 2, part, "end")
        for fault in faults:
            if fault.part == part:
                yield from _bar(fault, top, scale)


def _bar(fault: Injected, top: float, scale: Scale) -> Iterator[str]:
    """The fault, and paler the time until work went on after it."""
    begin, end = scale.x(fault.injected_at), scale.x(fault.healed_at)
    went_on = scale.x(_went_on_at(fault))
    width = max(end - begin, _LEAST_BAR)
    at = f'y="{top}" height="{_BAR}"'
    yield f"<g><title>{escape(described(fault))}</title>"
    yield f'<rect class="{fault.part}" x="{begin:.1f}" width="{width:.1f}" {at}/>'
    if went_on > end:
        yield f'<rect class="{fault.part} after" x="{end:.1f}" width="{went_on - end:.1f}" {at}/>'
    yield "</g>"


def _went_on_at(fault: Injected) -> float:
    since = fault.injected_at if fault.since == "injected" else fault.healed_at
    return since + (fault.recovery_seconds or 0.0)


def described(fault: Injected) -> str:
    """One fault in words."""
    held = f"{fault.kind}, {fault.healed_at - fault.injected_at:.1f} s"
    beside = "" if fault.alone else ", with others"
    return f"{held}{beside}; {went_on(fault)}"


Series = Callable[[Sequence[Point]], list[tuple[float, float]]]


def _panel(title: str, top: float, acts: Sequence[Act], scale: Scale, series: Series) -> Iterator[str]:
    """One quantity of all acts, each stretch of it an area; where nothing was seen, there is a gap."""
    stretches = [series(stretch) for act in acts for stretch in _stretches(act.points)]
    most = max((value for stretch in stretches for _, value in stretch), default=0.0)
    full = _round_up(most)
    yield _text(_LEFT, top - 6, title, "start", "title")
    for share in (0.0, 0.5, 1.0):
        y = top + _PANEL * (1 - share)
        yield f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:g}" y2="{y:g}"/>'
        yield _text(_LEFT - 10, y + 4, f"{full * share:,.0f}", "end")
    for stretch in stretches:
        if len(stretch) > 1:
            points = [(scale.x(at), top + _PANEL * (1 - value / full)) for at, value in stretch]
            floor = top + _PANEL
            corners = [(points[0][0], floor), *points, (points[-1][0], floor)]
            yield f'<polygon class="area" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in corners)}"/>'


def _stretches(points: Sequence[Point]) -> Iterator[list[Point]]:
    """The points between the gaps."""
    stretch: list[Point] = []
    for point in points:
        if point.handled is not None:
            stretch.append(point)
        elif stretch:
            yield stretch
            stretch = []
    yield stretch


def _lags(points: Sequence[Point]) -> list[tuple[float, float]]:
    return [(point.at, float(max(0, point.lag or 0))) for point in points]


def _rates(points: Sequence[Point]) -> list[tuple[float, float]]:
    """Handled a second; a database that was put back makes no negative throughput."""
    rates, first = [], 0
    for last, point in enumerate(points):
        while point.at - points[first].at > _RATE_SECONDS and first < last - 1:
            first += 1
        seconds = point.at - points[first].at
        if seconds > 0:
            handled = sum(_gain(one, next_) for one, next_ in pairwise(points[first : last + 1]))
            rates.append((point.at, handled / seconds))
    return rates


def _gain(one: Point, next_: Point) -> int:
    return max(0, (next_.handled or 0) - (one.handled or 0))


def _act_ends(acts: Sequence[Act], scale: Scale, bottom: float) -> Iterator[str]:
    for number, act in enumerate(acts, 1):
        x = scale.x(act.ended_at)
        found = (
            f"act {number} judged: {act.lost} lost, {act.doubled} doubled, {len(act.violations)} violations"
        )
        yield f'<g><title>{found}</title><line class="act" x1="{x:.1f}" x2="{x:.1f}"'
        yield f' y1="{_TOP}" y2="{bottom:g}"/></g>'


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _round_up(value: float) -> float:
    """The next round number that is not below `value`, and never 0."""
    power = 1.0
    while power * 10 <= value:
        power *= 10
    return next(power * factor for factor in (1, 2, 3, 4, 5, 6, 8, 10) if power * factor >= value)
