"""The findings as a table, and the section `soak` of docs/performance.md. Called by `__main__`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import sections
from benchmarks.machine import told
from benchmarks.soak.picture import draw
from benchmarks.soak.results import Soak
from benchmarks.soak.verdict import WARM_UP_SHARE, Finding, findings
from benchmarks.table import Cells, markdown, plain

COMMAND = "python -m benchmarks.soak report build/soak.json"
HEAD = ("", "median", "growth per hour", "between", "verdict")
_PICTURE = "soak.svg"


def write(soak: Soak) -> Iterator[Path]:
    """Write the picture and the section; yields what was written."""
    file = sections.IMAGES / _PICTURE
    file.write_text(draw(soak), encoding="utf-8")
    yield file
    yield sections.write("soak", COMMAND, lines(soak))


def lines(soak: Soak) -> Iterator[str]:
    """What stands in the section."""
    sent = ", ".join(f"{number:,} {kind}" for kind, number in soak.sent.items())
    yield from sections.paragraph(
        f"{soak.minutes:g} minutes, {soak.per_second:,.0f} events/s, {_percent(soak.copied_share)} of them "
        f"replays and {_percent(soak.hostile_share)} records that nobody can apply; a sample every "
        f"{soak.sample_seconds:g} s. With the warm-up that makes {sent}. At the end every row, mark and dead "
        f"letter was as it must be."
    )
    yield ""
    yield f"![The service over time](images/{_PICTURE})"
    yield ""
    yield from markdown(HEAD, rows(findings(soak.samples))).splitlines()
    yield ""
    yield from sections.paragraph(
        f"The first {_percent(WARM_UP_SHARE)}, in the shade, are left out: caches fill up there. Growth is "
        f"Theil and Sen's slope of the medians of blocks, the line in the picture; 99 times in a hundred "
        f"the true one lies between the values beside it. What "
        f"grows by chance, or by next to nothing, is flat."
    )
    yield ""
    yield from sections.paragraph(f"Measured: {told(soak.machine, f'seed {soak.seed}')}.")


def text(soak: Soak) -> str:
    """The same table for a terminal."""
    return plain(HEAD, rows(findings(soak.samples)))


def rows(found: Sequence[Finding]) -> list[Cells]:
    """A row for each series."""
    return [_row(finding) for finding in found]


def _row(finding: Finding) -> Cells:
    series, slope = finding.series, finding.slope
    unit = f" {series.unit}" if series.unit else ""
    growth = between = ""
    if slope is not None:
        per_hour = [3600 * each for each in slope]
        growth = f"{per_hour[0]:+,.1f}{unit}"
        between = f"{per_hour[1]:+,.1f} and {per_hour[2]:+,.1f}"
    return [series.name, f"{finding.median:,.1f}{unit}", growth, between, finding.verdict]


def _percent(share: float) -> str:
    return f"{share * 100:g} %"
