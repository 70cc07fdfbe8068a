"""The tables of the page: recoveries by kind of fault, what became of the records, simulated faults.

Pure; called by `page`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from tests.faults.chaos.results import Recovery, Results, recoveries
from tests.faults.failpoints.summary import Summary as Failpoints
from tests.faults.prove.report import Report, Simulated


def written(report: Report) -> str:
    """Recoveries on the left, everything that is short on the right."""
    left = [*_recovery(report.chaos)] if report.chaos is not None else []
    right = [*_records(report.chaos)] if report.chaos is not None else []
    right += _failpoints(report.failpoints) if report.failpoints is not None else []
    right += _simulation(report.simulation) if report.simulation is not None else []
    columns = "".join(f"<div>{''.join(column)}</div>" for column in (left, right) if column)
    return f'<div class="two">{columns}</div>'


def _recovery(results: Results) -> Iterator[str]:
    yield "<h2>Recovery</h2>"
    head = ("fault", "times", "median", "worst", "goal")
    yield _table(head, map(_recovery_row, recoveries(results.faults)))
    yield (
        '<p class="soft">From the heal until the last partition moved on. Where others take over, or nothing'
        " should stop at all (†): the longest that a partition stood still. Measured every 0.2 s, and not a"
        " condition of the verdict.</p>"
    )


def _recovery_row(each: Recovery) -> tuple[str, ...]:
    name = escape(each.kind) + (" †" if each.since == "injected" else "")
    worst = _seconds(each.worst_seconds)
    if each.within < each.count:
        worst = f'<span class="missed">{worst}</span>'
    return name, str(each.count), _seconds(each.median_seconds), worst, f"{each.goal_seconds:g} s"


def _records(results: Results) -> Iterator[str]:
    rows = [
        ("produced", results.produced),
        ("applied", results.outcome("applied")),
        ("stale: an older version, changed nothing", results.outcome("stale")),
        ("duplicates absorbed", results.outcome("duplicate")),
        ("dead letters", results.outcome("dead")),
        ("redelivered: read again below the position", sum(act.redelivered for act in results.acts)),
        ("fenced off: another owner's claim stood there", sum(act.fenced for act in results.acts)),
        ("lost", results.lost),
        ("doubled", results.doubled),
    ]
    yield "<h2>Records</h2>"
    yield _table(("", "records"), [(name, f"{number:,}") for name, number in rows])
    yield (
        '<p class="soft">The model says what must have become of each record. After every act the database,'
        " the offsets and the cache were compared with it, and every single write by triggers.</p>"
    )


def _failpoints(found: Failpoints) -> Iterator[str]:
    rows = [
        (escape(kind), str(times), _seconds(median), _seconds(worst))
        for kind, (times, median, worst) in found.recovery_by_kind.items()
    ]
    yield "<h2>Failpoints</h2>"
    yield _table(("fault", "times", "median", "worst"), rows)
    yield (
        f'<p class="soft">At {len(found.by_step)} steps, {len(found.injected)} of {found.planned} planned'
        f" reached, {found.counts.produced:,} records; the time is until the lane, or the next process, had"
        " got over it.</p>"
    )


def _simulation(found: Simulated) -> Iterator[str]:
    faults = sorted(found.faults.items(), key=lambda item: -item[1])
    last = found.first_seed + found.histories - 1
    yield "<h2>Simulated faults</h2>"
    yield _table(
        ("fault", "times"), [(escape(kind.replace("_", " ")), f"{number:,}") for kind, number in faults]
    )
    yield (
        f'<p class="soft">{found.histories:,} histories with {found.records:,} records, seeds'
        f" {found.first_seed} to {last}; each is determined by its seed.</p>"
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of cells that are HTML already."""
    titles = "".join(f"<th>{title}</th>" for title in head)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table>"


def _seconds(seconds: float) -> str:
    return "never" if seconds == float("inf") else f"{seconds:.1f} s"
