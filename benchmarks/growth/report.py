"""The sections `growth` and `lanes` of docs/performance.md and their pictures. Called by `__main__`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks import sections
from benchmarks.growth.picture import draw_lanes, draw_marks
from benchmarks.growth.results import Growth
from benchmarks.growth.tables import (
    Table,
    lanes_table,
    layouts_table,
    marks_table,
    marks_verdicts,
    replicas_table,
    takeovers_table,
)
from benchmarks.machine import Machine, told
from benchmarks.table import markdown

COMMAND = "python -m benchmarks.growth report build/growth.json"
_PICTURES = {"growth": "growth.svg", "lanes": "lanes.svg"}


def write(growth: Growth, page: Path | None = None) -> Iterator[Path]:
    """Write the sections of the parts that were run and their pictures; yields what was written.

    `page` is docs/performance.md unless given. Raises ValueError where a section has no place in it.
    """
    page = page or sections.PAGE
    images = page.parent / sections.IMAGES.name
    images.mkdir(exist_ok=True)
    if growth.marks:
        yield _written(images / _PICTURES["growth"], draw_marks(growth.marks))
    if growth.lanes or growth.replicas:
        yield _written(images / _PICTURES["lanes"], draw_lanes(growth))
    for name, lines in (("growth", list(growth_lines(growth))), ("lanes", list(lanes_lines(growth)))):
        if lines:
            yield sections.write(name, COMMAND, lines, page)


def growth_lines(growth: Growth) -> Iterator[str]:
    """What stands in the section of marks."""
    machines = []
    if marks := growth.marks:
        machines.append(marks.machine)
        yield f"![Cost of a new event by the number of marks](images/{_PICTURES['growth']})"
        yield ""
        yield from _table(
            marks_table(marks),
            f"{marks.events:,} events a drain; {_rounds(marks.rounds)}; a buffer pool of {marks.pool_mb} MB.",
        )
        yield from (f"- {verdict}" for verdict in marks_verdicts(marks))
        yield ""
    if layouts := growth.layouts:
        machines.append(layouts.machine)
        yield from _table(
            layouts_table(layouts),
            "Ways to keep marks, tried without the service; the CPU time is the database's alone."
            f" Tables of {layouts.marks:,} marks, {layouts.events:,} more in each round;"
            f" {_rounds(layouts.rounds)}; a buffer pool of {layouts.pool_mb} MB.",
        )
    yield from _measured(machines)


def lanes_lines(growth: Growth) -> Iterator[str]:
    """What stands in the section of partitions and replicas."""
    machines = []
    if growth.lanes or growth.replicas:
        yield f"![Cost by the number of partitions and replicas](images/{_PICTURES['lanes']})"
        yield ""
    if lanes := growth.lanes:
        machines.append(lanes.machine)
        caption = f"One replica, {lanes.events:,} events a drain, {_rounds(lanes.rounds)}."
        yield from _table(lanes_table(lanes), caption)
    if replicas := growth.replicas:
        machines.append(replicas.machine)
        drained = f"{replicas.partitions} partitions, {replicas.events:,} events a drain"
        yield from _table(replicas_table(replicas), f"{drained}, {_rounds(replicas.rounds)}.")
    if takeovers := growth.takeovers:
        machines.append(takeovers.machine)
        caption = (
            f"{takeovers.replicas} replicas share {takeovers.partitions} partitions; a trickle of"
            f" {takeovers.per_second:g} events a second goes to all of them."
        )
        yield from _table(takeovers_table(takeovers), caption)
    yield from _measured(machines)


def _table(table: Table, caption: str) -> Iterator[str]:
    yield from sections.paragraph(caption)
    yield ""
    yield from markdown(*table).splitlines()
    yield ""


def _measured(machines: Iterable[Machine]) -> Iterator[str]:
    """On what it was measured: once, where that was the same for all."""
    for number, measured in enumerate(dict.fromkeys(map(told, machines))):
        if number:
            yield ""
        yield from sections.paragraph(f"Measured: {measured}.")


def _rounds(number: int) -> str:
    return f"{number} rounds by turns" if number > 1 else "one round: a look, not a measurement"


def _written(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file
