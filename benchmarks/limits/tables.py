"""The figures of the limits as rows of tables. Called by `report`, and by `__main__` for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.limits import counters
from benchmarks.limits.demand import NAMES, needs
from benchmarks.limits.results import Limits, Worked
from benchmarks.results import PARTS
from benchmarks.table import Cells, plain

Table = tuple[Cells, list[Cells]]
Figure = Callable[[Worked], float]

_MOVED = (
    ("bytes from Kafka (keys and values)", counters.FROM_KAFKA),
    ("bytes to the database", counters.TO_DATABASE),
    ("bytes back", counters.FROM_DATABASE),
    ("bytes to Redis", counters.TO_REDIS),
    ("bytes back", counters.FROM_REDIS),
    ("bytes of redo log", counters.LOG),
    ("bytes written to data files", counters.FILES),
)


def text(limits: Limits) -> str:
    """Every table, for a terminal."""
    return "\n\n".join(plain(head, rows) for head, rows in tables(limits) if rows)


def tables(limits: Limits) -> list[Table]:
    """Those of which something was measured."""
    found = [events_table(limits)] if limits.worked else []
    if limits.commits:
        found.append(commits_table(limits))
    return [*found, needs_table(limits)] if limits.worked else found


def events_table(limits: Limits) -> Table:
    """A row for each figure, a column for each scenario."""
    return ("", *limits.scenarios), [
        [name, *(f"{limits.middle(each, figure):,.{digits}f}" for each in limits.scenarios)]
        for name, digits, figure in _figures(limits)
    ]


def commits_table(limits: Limits) -> Table:
    """A row for each number of connections."""
    return ("connections", "commits/s"), [
        [str(each.connections), f"{each.per_second:,.0f}"] for each in limits.commits
    ]


def needs_table(limits: Limits) -> Table:
    """A row for each need of many times the load."""
    return ("", "an event takes", "in all", "one gives", "that makes"), [
        [
            need.what,
            need.event,
            f"{_number(need.total)} {need.unit}",
            f"{_number(need.one)} {need.unit}",
            f"{need.machines} × {_MACHINES[need.kind]}",  # noqa: RUF001 -- times
        ]
        for need in needs(limits)
    ]


_MACHINES = {"client": "process", "database": "primary", "redis": "Redis", "broker": "broker"}


def _figures(limits: Limits) -> Sequence[tuple[str, int, Figure]]:
    """Name, decimals and figure of each row; those without a word about it are per event."""
    tables = limits.worked[0].row_bytes
    return [
        *((f"CPU µs of {NAMES[part]}", 1, partial(Worked.cpu_us, part=part)) for part in PARTS),
        *((name, 0, partial(Worked.per_event, name=counter)) for name, counter in _MOVED),
        ("commits in 1,000 events", 2, lambda worked: worked.per_event(counters.COMMITS) * 1000),
        ("offset commits in a second", 1, _offset_commits_per_second),
        *((f"bytes on the disk of a row in `{each}`", 0, partial(_row_bytes, each)) for each in tables),
        ("bytes of an entry in Redis", 0, lambda worked: worked.entry_bytes),
        ("events in a second, all parts on this machine", 0, lambda worked: worked.events_per_second),
    ]


def _offset_commits_per_second(worked: Worked) -> float:
    return worked.moved[counters.OFFSET_COMMITS] / worked.seconds


def _row_bytes(table: str, worked: Worked) -> float:
    return worked.row_bytes[table]


def _number(value: float) -> str:
    """With a decimal where it says something."""
    return f"{value:,.1f}" if value < 10 else f"{value:,.0f}"
