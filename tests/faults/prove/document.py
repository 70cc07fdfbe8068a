"""`python -m tests.faults.prove.document build/proof/report.json`: show a proof in docs/proof.md.

Writes the picture, and the figures between two marks; everything else of the page is written by hand.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap

from tests.faults.chaos.results import Recovery, recoveries
from tests.faults.prove import timeline
from tests.faults.prove.parts import CHECKOUT
from tests.faults.prove.report import Report, read

_PAGE = CHECKOUT / "docs" / "proof.md"
_PICTURE = CHECKOUT / "docs" / "images" / "proof-timeline.svg"
BEGIN = "<!-- a proof: made by `python -m tests.faults.prove.document` -->"
END = "<!-- end of a proof -->"
_WIDTH = 120


def main() -> int:
    """Write both; 2 on wrong usage."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m tests.faults.prove.document build/proof/report.json\n")
        return 2
    report = read(Path(sys.argv[1]))
    if report.chaos is not None:
        _PICTURE.write_text(timeline.draw(report.chaos, alone=True), encoding="utf-8")
    _PAGE.write_text(rendered(_PAGE.read_text(encoding="utf-8"), report), encoding="utf-8")
    return 0


def rendered(page: str, report: Report) -> str:
    """`page` with the figures of `report`; raises ValueError where the marks are missing."""
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"no place for the figures: {BEGIN} … {END}")
    return "\n".join([before + BEGIN, *_figures(report), END + after])


def _figures(report: Report) -> Iterator[str]:
    yield from wrap(_said(report), _WIDTH, break_long_words=False, break_on_hyphens=False)
    if report.chaos is not None:
        yield from ("", "| fault | times | median | worst | goal |", "|---|--:|--:|--:|--:|")
        yield from map(_row, recoveries(report.chaos.faults))


def _said(report: Report) -> str:
    simulated, failpoints, planted, chaos = (
        report.simulation,
        report.failpoints,
        report.planted,
        report.chaos,
    )
    parts = [
        f"{simulated.histories:,} simulated histories" if simulated else "",
        f"{len(failpoints.injected)} failures at {len(failpoints.by_step)} steps" if failpoints else "",
        f"{planted.caught} of {planted.bugs} planted bugs caught" if planted else "",
        f"{len(chaos.faults)} faults under {chaos.per_second} records/s" if chaos else "",
    ]
    verdict = f"{report.lost} lost, {report.doubled} doubled, {len(report.violations)} violations"
    outcomes = ""
    if chaos is not None:
        counted = ("applied", "stale", "duplicate", "dead")
        counts = ", ".join(f"{chaos.outcome(name):,} {name}" for name in counted)
        ran_on = ", ".join(f"{name} {of}" for name, of in chaos.versions.items())
        outcomes = f" Chaos: {chaos.produced:,} records ({counts}). On {ran_on}."
    return (
        f"`{report.repeat}`, {report.began[:10]}: {', '.join(filter(None, parts))}: **{verdict}**.{outcomes}"
    )


def _row(each: Recovery) -> str:
    since = " †" if each.since == "injected" else ""
    median, worst, goal = f"{each.median_seconds:.1f}", f"{each.worst_seconds:.1f}", f"{each.goal_seconds:g}"
    return f"| {each.kind}{since} | {each.count} | {median} s | {worst} s | {goal} s |"


if __name__ == "__main__":
    sys.exit(main())
