"""The figures as tables: plain text for a terminal, and the same cells as Markdown for the docs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.results import PARTS, Paced, Results
from benchmarks.summary import Comparison, Side, compare

Cells = Sequence[str]

DRAIN_HEAD = (
    "scenario", "consumer", "events/s", "CPU µs/event", *PARTS, "less CPU", "statements/event", "connections",
)  # fmt: skip
PACED_HEAD = ("", "linger", "queries/s", "connections", "delay p50", "p99", "client CPU µs/message")
# Specification 1: what the scenario used to cost, and what its first optimisation reached.
PUBLISHED: Sequence[Cells] = (
    ("published: before", "", "300", "9", "50 ms", "", ""),
    ("published: first optimisation", "", "45", "3", "5–15 ms", "", ""),  # noqa: RUF001 -- a range
)


def table(results: Results) -> str:
    """Everything that was measured, for a terminal."""
    parts = []
    if results.setup.rounds == 1:
        parts.append("One round: a look, not a measurement.")
    if results.drains:
        parts.append(plain(DRAIN_HEAD, list(drain_rows(results))))
    if results.paced:
        parts.append(plain(PACED_HEAD, list(paced_rows(results))))
    return "\n\n".join(parts)


def markdown(head: Cells, rows: Sequence[Cells]) -> str:
    """The same as a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def drain_rows(results: Results) -> Iterator[Cells]:
    """A row for each scenario and consumer."""
    for each in compare(results):
        yield [
            each.scenario,
            "upsertd",
            *_side_cells(each.upsertd),
            _ratio(each),
            *_database_cells(each.upsertd),
        ]
        if each.ratio:
            yield ["", "naive", *_side_cells(each.naive), "", *_database_cells(each.naive)]


def paced_rows(results: Results) -> Iterator[Cells]:
    """The published figures, then each play."""
    yield from PUBLISHED
    for play in results.paced:
        yield _paced_cells(play)


def _side_cells(side: Side) -> Cells:
    parts = side.cpu_us_by_part
    return [side.events_per_second.text(), side.cpu_us.text(), *(f"{parts[part]:,.0f}" for part in PARTS)]


def _database_cells(side: Side) -> Cells:
    own = side.own_statements_per_event
    own_text = "" if own is None else f" ({own:.3f})"
    return [f"{side.statements_per_event.median:.3f}{own_text}", str(side.peak_connections)]


def _ratio(comparison: Comparison) -> str:
    return f"{comparison.ratio.text()}×" if comparison.ratio else ""  # noqa: RUF001 -- times


def _paced_cells(paced: Paced) -> Cells:
    name = paced.contender if paced.contender == paced.play else f"{paced.contender}, for {paced.play}"
    linger = "" if paced.linger_ms is None else f"{paced.linger_ms} ms"
    return [
        name,
        linger,
        f"{paced.statements_per_second:.0f}",
        str(paced.peak_connections),
        f"{paced.delay_p50_ms:.1f} ms",
        f"{paced.delay_p99_ms:.1f} ms",
        f"{paced.client_cpu_us:,.0f}",
    ]


def plain(head: Cells, rows: Sequence[Cells]) -> str:
    """A table for a terminal."""
    widths = [max(len(line[column]) for line in (head, *rows)) for column in range(len(head))]
    # Names to the left, figures to the right.
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in (head, *rows)
    )
