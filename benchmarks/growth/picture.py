"""The pictures: cost by the number of marks, by partitions and by replicas. Called by `report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from benchmarks.drawing import COLOURS, INK, frame, picture
from benchmarks.growth.event_ids import KINDS
from benchmarks.growth.meter import PAGES_READ
from benchmarks.growth.results import Drained, Growth, Lanes, Marks, MarksRun, Replicas
from benchmarks.growth.tables import cpu_us, idle_ms, lanes_groups, marks_groups, part_us, replicas_groups
from benchmarks.results import PARTS
from benchmarks.summary import Spread, spread

_ID_COLOURS = {"uuid7": "#3b6ea8", "counter": "#6fa3d0", "uuid4": "#b5493f", "derived": "#d98b2b"}
_MARKERS = {"uuid7": "o", "counter": "s", "uuid4": "o", "derived": "s"}


def draw_marks(marks: Marks) -> str:
    """CPU time and pages read by the number of marks, a line for each kind of ids."""
    groups = marks_groups(marks)
    numbers = sorted({number for _, number in groups})
    with picture(3.2, columns=2) as drawn:
        for axes, title, value in zip(drawn.axes, _MARKS_TITLES, (_cpu, _pages), strict=True):
            frame(axes, title, grid="y")
            axes.set_xticks(range(len(numbers)), list(map(_short, numbers)))
            axes.set_xlabel("marks in the table before", color=INK)
            for ids in dict.fromkeys(ids for ids, _ in groups):
                at = {
                    numbers.index(number): value(runs)
                    for (kind, number), runs in groups.items()
                    if kind == ids
                }
                _line(axes, at, _ID_COLOURS[ids], KINDS[ids].about, _MARKERS[ids])
            axes.set_ylim(bottom=0)
        drawn.legend(drawn.axes[0], columns=2)
    return drawn.svg


_MARKS_TITLES = ("CPU µs per new event, all parts", "pages read from the disk per new event")


def _cpu(runs: Sequence[MarksRun]) -> Spread:
    return cpu_us(run.unique for run in runs)


def _pages(runs: Sequence[MarksRun]) -> Spread:
    return spread(run.unique.per_event(PAGES_READ) for run in runs)


def draw_lanes(growth: Growth) -> str:
    """A panel of what a backlog costs and one of idling by partitions, and one of replicas."""
    panels = 2 * bool(growth.lanes) + bool(growth.replicas)
    with picture(2.8, columns=panels) as drawn:
        left = list(drawn.axes)
        if growth.lanes:
            _draw_backlog(left.pop(0), growth.lanes)
            _draw_idle(left.pop(0), growth.lanes)
        if growth.replicas:
            _draw_replicas(left.pop(0), growth.replicas)
        drawn.legend(drawn.axes[0])
    return drawn.svg


def _draw_backlog(axes: Axes, lanes: Lanes) -> None:
    drained = {number: [run.drained for run in runs] for number, runs in lanes_groups(lanes).items()}
    _bars(axes, "CPU µs per event", drained)
    axes.set_xlabel("partitions, one replica", color=INK)


def _draw_replicas(axes: Axes, replicas: Replicas) -> None:
    drained = {number: [run.drained for run in runs] for number, runs in replicas_groups(replicas).items()}
    _bars(axes, "CPU µs per event", drained)
    axes.set_xlabel(f"replicas, {replicas.partitions} partitions", color=INK)


def _draw_idle(axes: Axes, lanes: Lanes) -> None:
    frame(axes, "idle: CPU ms per second", grid="y")
    axes.set_xlabel("partitions, one replica", color=INK)
    groups = lanes_groups(lanes)
    values = {
        place: {part: idle_ms(runs, part).median for part in PARTS}
        for place, runs in enumerate(groups.values())
    }
    _stack(axes, values, [str(number) for number in groups])


def _bars(axes: Axes, title: str, drained: Mapping[int, Sequence[Drained]]) -> None:
    frame(axes, title, grid="y")
    values = {
        place: {part: part_us(runs, part) for part in PARTS} for place, runs in enumerate(drained.values())
    }
    _stack(axes, values, [str(number) for number in drained])


def _stack(axes: Axes, values: Mapping[int, Mapping[str, float]], labels: Sequence[str]) -> None:
    """A bar at each place with its parts one on the other, and their sum above."""
    axes.set_xticks(range(len(labels)), labels)
    for place, parts in values.items():
        end = 0.0
        for part, value in parts.items():
            axes.bar(place, value, 0.6, bottom=end, color=COLOURS[part], label=part if place == 0 else "_")
            end += value
        axes.text(place, end, f"{end:.0f}", ha="center", va="bottom", color=INK)
    axes.margins(y=0.12)


def _line(axes: Axes, values: Mapping[int, Spread], colour: str, label: str, marker: str) -> None:
    places = list(values)
    medians = [each.median for each in values.values()]
    least, greatest = ([getattr(each, end) for each in values.values()] for end in ("least", "greatest"))
    axes.fill_between(places, least, greatest, color=colour, alpha=0.15, linewidth=0)
    axes.plot(places, medians, color=colour, marker=marker, markersize=4, linewidth=1.5, label=label)


def _short(number: int) -> str:
    """Such as 20M."""
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if number and number % size == 0:
            return f"{number // size}{unit}"
    return f"{number:,}"
