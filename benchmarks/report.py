"""What `python -m benchmarks` measures, as sections of docs/performance.md and of the README, and a picture.

Called by `python -m benchmarks report`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks import sections
from benchmarks.machine import told
from benchmarks.paced import PER_SECOND
from benchmarks.picture import draw
from benchmarks.results import Results
from benchmarks.summary import Comparison, compare
from benchmarks.table import DRAIN_HEAD, PACED_HEAD, drain_rows, markdown, paced_rows

COMMAND = "python -m benchmarks report build/benchmark.json"
PICTURE = "throughput.svg"
README = sections.PAGE.parents[1] / "README.md"
# What the README shows, and its name for it.
_SHOWN = {
    "customers-0": "unique customers",
    "customers-85-warm": "85 % duplicates, Redis knows them",
    "customers-85-cold": "85 % duplicates, Redis was emptied",
    "mix-0": "customers, products, orders with four lines",
}
_COSTS_HEAD = ("events", "upsertd", "events/s", "the naive consumer takes")


def write(results: Results) -> Iterator[Path]:
    """Write what `results` has; yields what was written. Raises ValueError where a page has no place."""
    if results.drains:
        sections.IMAGES.mkdir(exist_ok=True)
        (sections.IMAGES / PICTURE).write_text(draw(results), encoding="utf-8")
        yield sections.IMAGES / PICTURE
        yield sections.write("throughput", COMMAND, throughput(results))
        yield sections.write("costs", COMMAND, costs(results), README)
    if results.paced:
        yield sections.write("reference", COMMAND, reference(results))


def throughput(results: Results) -> Iterator[str]:
    """On what it was measured, the picture and the table of all drains."""
    setup = results.setup
    sizes = (f"{size} bytes an event ({kind})" for kind, size in setup.mean_event_bytes.items())
    yield from _measured(
        results,
        f"{setup.rounds} rounds of {setup.events:,} events",
        f"the naive consumer in {setup.naive_rounds} of them, with {setup.naive_events:,}",
        *sizes,
    )
    yield ""
    yield f"![CPU time of an event, by part](images/{PICTURE})"
    yield ""
    yield from markdown(DRAIN_HEAD, list(drain_rows(results))).splitlines()


def reference(results: Results) -> Iterator[str]:
    """On what it was measured, and the table of all plays."""
    messages = results.paced[0].messages
    yield from _measured(results, f"{messages:,} messages each, {messages // PER_SECOND} seconds")
    yield ""
    yield from markdown(PACED_HEAD, list(paced_rows(results))).splitlines()


def costs(results: Results) -> Iterator[str]:
    """The short table of the README."""
    rows = [_cost(each) for each in compare(results) if each.scenario in _SHOWN]
    yield from markdown(_COSTS_HEAD, rows).splitlines()


def _cost(each: Comparison) -> list[str]:
    spread = each.upsertd.cpu_us
    ours = f"{spread.median:,.0f} µs ({spread.least:,.0f}–{spread.greatest:,.0f})"  # noqa: RUF001 -- a range
    times = f"{each.ratio.text()} times as much" if each.ratio else ""
    return [_SHOWN[each.scenario], ours, f"{each.upsertd.events_per_second.median:,.0f}", times]


def _measured(results: Results, *more: str) -> list[str]:
    return sections.paragraph(
        f"Measured: {told(results.setup.machine, *more, f'seed {results.setup.seed}')}."
    )
