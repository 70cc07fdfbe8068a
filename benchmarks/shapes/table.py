"""The figures of a shape as rows of a table. Called by `report` and for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from benchmarks.results import PARTS
from benchmarks.shapes.results import Run, Shape
from benchmarks.summary import Spread, spread
from benchmarks.table import Cells, plain

HEAD = (
    "", "", "bytes/event", "CPU µs/event", *PARTS, "times the first", "CPU µs/KB",
    "statements/event", "cache hits", "events/s",
)  # fmt: skip


def text(name: str, shape: Shape) -> str:
    """The table for a terminal."""
    return plain(HEAD, list(rows(name, shape)))


def rows(name: str, shape: Shape) -> Iterator[Cells]:
    """A row for each variant; the first cell of the first row names the shape."""
    first = shape.of(shape.variants[0])
    for variant in shape.variants:
        runs, is_first = shape.of(variant), variant == shape.variants[0]
        yield [
            name if is_first else "",
            variant,
            f"{runs[0].event_bytes:,}",
            spread(run.drain.cpu_us_sum for run in runs).text(_digits(runs)),
            *(f"{median(run.drain.cpu_us(part) for run in runs):,.{_digits(runs)}f}" for part in PARTS),
            "" if is_first else times(first, runs).text(2),
            f"{median(run.cpu_us_per_kilobyte for run in runs):.0f}",
            f"{median(run.drain.statements_per_event for run in runs):.4f}",
            _hits(runs),
            f"{median(run.drain.events_per_second for run in runs):,.0f}",
        ]


def times(first: Sequence[Run], others: Sequence[Run]) -> Spread:
    """How many times the CPU time of the first variant another takes, round by round."""
    base = {run.drain.round: run.drain.cpu_us_sum for run in first}
    return spread(run.drain.cpu_us_sum / base[run.drain.round] for run in others if run.drain.round in base)


def _digits(runs: Sequence[Run]) -> int:
    """Decimals that say something: none for hundreds of microseconds."""
    return 1 if runs[0].drain.cpu_us_sum < 100 else 0


def _hits(runs: Sequence[Run]) -> str:
    copies = runs[0].drain.copies
    return f"{median(run.drain.cache_hits or 0 for run in runs) / copies:.0%}" if copies else ""
