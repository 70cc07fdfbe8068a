"""The section `limits` of docs/scaling.md. Called by `__main__`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks import sections
from benchmarks.limits import demand
from benchmarks.limits.results import Limits
from benchmarks.limits.tables import Table, commits_table, events_table, needs_table
from benchmarks.machine import told
from benchmarks.table import markdown

COMMAND = "python -m benchmarks.limits report build/limits.json"
PAGE = sections.PAGE.with_name("scaling.md")


def write(limits: Limits, page: Path | None = None) -> Path:
    """Write the section of `page`, docs/scaling.md unless given; returns the page.

    Raises ValueError where the page has no place for it.
    """
    return sections.write("limits", COMMAND, lines(limits), page=page or PAGE)


def lines(limits: Limits) -> Iterator[str]:
    """What stands in the section; the results are complete."""
    yield from _table(
        events_table(limits),
        f"What an event takes, one process on three partitions, events of {limits.event_bytes} bytes; medians"
        f" of {limits.rounds} rounds. Per event where nothing else is said.",
    )
    yield from _table(
        commits_table(limits),
        "What one log gives: commits of one tiny row each, where each connection waits for its answer; on"
        " this disk, with a client that shares the cores.",
    )
    yield from _table(needs_table(limits), " ".join(_assumed(limits)))
    yield from sections.paragraph(f"Measured: {told(limits.machine, f'seed {limits.seed}')}.")


def _assumed(limits: Limits) -> Iterator[str]:
    """What the last table multiplies by, and what it trusts a machine with."""
    scenario = limits.scenarios[0]
    yield f"{demand.TIMES} times as much: {demand.rate(limits):,.0f} events/s of {scenario}, all day."
    yield (
        f"Assumed: cores and links {demand.BUSY:.0%} busy; a primary with {demand.DATABASE_CORES} cores, "
        f"{demand.LOG_BYTES_PER_SECOND / 1e6:.0f} MB/s of log, {demand.FILE_BYTES_PER_SECOND / 1e6:.0f} MB/s "
        f"of pages and {demand.MARK_DISK_BYTES / 1e12:.0f} TB for marks; a Redis with one core and "
        f"{demand.REDIS_BYTES / 1e9:.0f} GB; a broker with {demand.BROKER_CORES} cores; links of "
        f"{demand.LINK_BYTES_PER_SECOND * 8 / 1e9:.0f} Gbit/s; commits as measured above; "
        f"`MARK_RETENTION_DAYS={demand.RETENTION_DAYS}`, `REDIS_TTL={demand.TTL_SECONDS}`."
    )
    number = demand.groups(list(demand.needs(limits)))
    yield f"A group has one primary and one Redis, so this is {number} groups."


def _table(table: Table, caption: str) -> Iterator[str]:
    yield from sections.paragraph(caption)
    yield ""
    yield from markdown(*table).splitlines()
    yield ""
