"""The figures of all parts as rows of tables. Called by `report`, and by `__main__` for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import median
from typing import TypeVar

from benchmarks.growth.meter import LOG_BYTES, PAGES_READ, PAGES_WRITTEN
from benchmarks.growth.results import (
    Drained,
    Growth,
    Lanes,
    LanesRun,
    LayoutRun,
    Layouts,
    Marks,
    MarksRun,
    Replicas,
    ReplicasRun,
    Takeovers,
)
from benchmarks.results import PARTS
from benchmarks.summary import Spread, spread
from benchmarks.table import Cells, plain

Key = TypeVar("Key")
Run = TypeVar("Run")
Table = tuple[Cells, list[Cells]]
# As the goal says: for ids in the order of time.
FLAT_WITHIN = 0.25


def text(growth: Growth) -> str:
    """Every table, for a terminal."""
    verdicts = "\n".join(marks_verdicts(growth.marks)) if growth.marks else ""
    return "\n\n".join(
        filter(None, [*(plain(head, rows) for head, rows in tables(growth) if rows), verdicts])
    )


def tables(growth: Growth) -> Iterator[Table]:
    """The table of each part that was run."""
    if growth.marks:
        yield marks_table(growth.marks)
    if growth.layouts:
        yield layouts_table(growth.layouts)
    if growth.lanes:
        yield lanes_table(growth.lanes)
    if growth.replicas:
        yield replicas_table(growth.replicas)
    if growth.takeovers:
        yield takeovers_table(growth.takeovers)


def marks_table(marks: Marks) -> Table:
    """A row for each kind of ids and number of marks: new events, then those with cold copies."""
    head = (
        "ids", "marks", "table", "new: CPU µs/event", "client", "database", "events/s", "pages read/event",
        "written", "log bytes", "30 % copies, cold: CPU µs/event", "events/s", "pages read/event",
    )  # fmt: skip
    return head, [
        [
            ids,
            f"{number:,}",
            f"{marks.table_bytes[ids][number] / 1e6:,.0f} MB",
            cpu_us([run.unique for run in runs]).text(),
            *(f"{part_us([run.unique for run in runs], part):.0f}" for part in ("client", "database")),
            f"{median(run.unique.events_per_second for run in runs):,.0f}",
            *_pages([run.unique for run in runs]),
            cpu_us([run.cold for run in runs]).text(),
            f"{median(run.cold.events_per_second for run in runs):,.0f}",
            f"{median(run.cold.per_event(PAGES_READ) for run in runs):.2f}",
        ]
        for (ids, number), runs in marks_groups(marks).items()
    ]


def marks_groups(marks: Marks) -> dict[tuple[str, int], list[MarksRun]]:
    """The runs by ids and number of marks, in this order."""
    found = _grouped(marks.runs, lambda run: (run.ids, run.marks))
    kinds = list(dict.fromkeys(ids for ids, _ in found))
    return {key: found[key] for key in sorted(found, key=lambda key: (kinds.index(key[0]), key[1]))}


def marks_verdicts(marks: Marks) -> Iterator[str]:
    """A sentence for each kind of ids: how much more an event takes at the most marks than at the fewest."""
    for ids in dict.fromkeys(run.ids for run in marks.runs):
        runs = [run for run in marks.runs if run.ids == ids]
        fewest, most = (pick(run.marks for run in runs) for pick in (min, max))
        times = growth_ratio(runs, fewest, most)
        if times is None:
            continue
        flat = "" if times.median > 1 + FLAT_WITHIN else f": flat within {FLAT_WITHIN:.0%}"
        yield (
            f"{ids}: with {most:,} marks an event takes {times.text(2)} times the CPU time that it takes with"
            f" {fewest:,}{flat}"
        )


def growth_ratio(runs: Sequence[MarksRun], fewest: int, most: int) -> Spread | None:
    """CPU time of a new event with `most` marks over that with `fewest`, by round; None without both."""
    cpu = {(run.marks, run.round): run.unique.cpu_us_sum for run in runs}
    both = [number for marks, number in cpu if marks == fewest and (most, number) in cpu]
    if fewest == most or not both:
        return None
    return spread(cpu[most, number] / cpu[fewest, number] for number in both)


def layouts_table(layouts: Layouts) -> Table:
    """A row for each layout: marking, then purging. The CPU time is the database's alone."""
    head = (
        "layout", "ids", "bytes/mark", "marking: CPU µs", "marks/s", "pages read/mark", "written",
        "log bytes", "purging: CPU µs", "marks/s", "pages read/mark",
    )  # fmt: skip
    return head, [
        [
            name,
            runs[0].ids,
            f"{layouts.table_bytes[name] / layouts.marks:.0f}",
            cpu_us([run.marked for run in runs]).text(),
            f"{median(run.marked.events_per_second for run in runs):,.0f}",
            *_pages([run.marked for run in runs]),
            *_purged_cells(runs),
        ]
        for name, runs in _grouped(layouts.runs, lambda run: run.layout).items()
    ]


def lanes_table(lanes: Lanes) -> Table:
    """A row for each number of partitions."""
    head = (
        "partitions", "CPU µs/event", *PARTS, "events/s", "statements/event", "idle: client CPU ms/s",
        "all parts", "statements/s", "first commit", "all partitions", "memory", "connections",
    )  # fmt: skip
    return head, [
        [
            str(partitions),
            cpu_us([run.drained for run in runs]).text(),
            *_part_cells([run.drained for run in runs]),
            f"{median(run.drained.events_per_second for run in runs):,.0f}",
            f"{median(run.drained.used.statements / run.drained.events for run in runs):.4f}",
            f"{idle_ms(runs, 'client').median:.1f}",
            f"{idle_ms(runs).median:.1f}",
            f"{median(run.idle.statements / run.idle.seconds for run in runs):.1f}",
            f"{median(run.first_seconds for run in runs):.1f} s",
            f"{median(run.all_seconds for run in runs):.1f} s",
            f"{median(run.drained_memory_bytes for run in runs) / 1e6:.0f} MB",
            str(max(run.connections for run in runs)),
        ]
        for partitions, runs in lanes_groups(lanes).items()
    ]


def lanes_groups(lanes: Lanes) -> dict[int, list[LanesRun]]:
    """The runs by the number of partitions, the fewest first."""
    return dict(sorted(_grouped(lanes.runs, lambda run: run.partitions).items()))


def idle_ms(runs: Sequence[LanesRun], part: str | None = None) -> Spread:
    """CPU milliseconds per second while nothing comes, of a part or of all."""
    return spread(
        (run.idle.cpu_seconds_sum if part is None else run.idle.cpu_seconds.get(part, 0.0))
        / run.idle.seconds
        * 1e3
        for run in runs
    )


def replicas_table(replicas: Replicas) -> Table:
    """A row for each number of replicas."""
    head = ("replicas", "CPU µs/event", *PARTS, "events/s", "statements/event", "connections", "memory")
    return head, [
        [
            str(number),
            cpu_us([run.drained for run in runs]).text(),
            *_part_cells([run.drained for run in runs]),
            spread(run.drained.events_per_second for run in runs).text(),
            f"{median(run.drained.used.statements / run.drained.events for run in runs):.4f}",
            str(max(run.connections for run in runs)),
            f"{median(run.memory_bytes for run in runs) / 1e6:.0f} MB",
        ]
        for number, runs in replicas_groups(replicas).items()
    ]


def replicas_groups(replicas: Replicas) -> dict[int, list[ReplicasRun]]:
    """The runs by the number of replicas, the fewest first."""
    return dict(sorted(_grouped(replicas.runs, lambda run: run.replicas).items()))


def takeovers_table(takeovers: Takeovers) -> Table:
    """A row for each way to go."""
    head = ("one replica is", "session timeout", "its partitions", "back after", "the others wait at most")
    words = {"kill": "killed", "stop": "stopped in order"}
    return head, [
        [
            words[run.how],
            f"{run.session_timeout_seconds} s",
            str(len(run.back_seconds)),
            f"{spread(run.back_seconds).text(1)} s",
            f"{run.others_longest_seconds:.1f} s",
        ]
        for run in takeovers.runs
    ]


def cpu_us(drained: Iterable[Drained]) -> Spread:
    """CPU microseconds per event of all parts."""
    return spread(each.cpu_us_sum for each in drained)


def part_us(drained: Sequence[Drained], part: str) -> float:
    """CPU microseconds per event of one part, 0 where its process was not to be seen."""
    return median(each.used.cpu_seconds.get(part, 0.0) / each.events * 1e6 for each in drained)


def _part_cells(drained: Sequence[Drained]) -> Iterator[str]:
    return (f"{part_us(drained, part):.0f}" for part in PARTS)


def _pages(drained: Sequence[Drained]) -> Iterator[str]:
    """Pages read and written, bytes of the log: per event."""
    for counter, digits in ((PAGES_READ, 2), (PAGES_WRITTEN, 2), (LOG_BYTES, 0)):
        yield f"{median(each.per_event(counter) for each in drained):,.{digits}f}"


def _purged_cells(runs: Sequence[LayoutRun]) -> Sequence[str]:
    purged = [run.purged for run in runs if run.purged is not None]
    if not purged:
        return ("a partition is dropped", "", "")
    return (
        cpu_us(purged).text(),
        f"{median(each.events_per_second for each in purged):,.0f}",
        f"{median(each.per_event(PAGES_READ) for each in purged):.2f}",
    )


def _grouped(runs: Iterable[Run], key: Callable[[Run], Key]) -> dict[Key, list[Run]]:
    groups: dict[Key, list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return groups
