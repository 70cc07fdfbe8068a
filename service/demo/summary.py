"""What a demo ends with: the figures, the oracle's verdict, and what differs if it says no."""

from __future__ import annotations

from collections.abc import Iterator

import click

from service.demo.figures import OUTCOMES
from service.demo.play import Ending
from service.demo.words import number, percent, seconds_text

_DIFFERENCES_TOLD = 10


def summary(ending: Ending) -> Iterator[str]:
    """The lines of the summary."""
    yield ""
    yield from _counts(ending)
    yield ""
    yield from _figures(ending)
    yield ""
    yield from _verdict(ending)


def _counts(ending: Ending) -> Iterator[str]:
    figures, expected = ending.scene.figures, ending.expected
    yield f"{'':12}{'upsertd':>10}{'expected':>10}"
    yield f"{'produced':12}{number(ending.scene.sent):>10}{number(expected.total()):>10}"
    for outcome in OUTCOMES:
        yield f"{outcome:12}{number(figures.count(outcome)):>10}{number(expected[outcome]):>10}"


def _figures(ending: Ending) -> Iterator[str]:
    scene, figures = ending.scene, ending.scene.figures
    lost = number(figures.cache_errors)
    yield f"cache       {percent(figures.hit_rate)} hits, {lost} lookups without an answer"
    yield (
        f"database    {figures.statements / max(1, figures.handled):.2f} statements an event,"
        f" at most {figures.pool_peak} of {figures.pool_size} connections"
    )
    median, slowest = (seconds_text(scene.delay(share, whole=True)) for share in (0.5, 0.99))
    yield f"delay       p50 {median}, p99 {slowest} (the outages count)"
    yield f"not ready   {seconds_text(scene.unready_seconds)}"


def _verdict(ending: Ending) -> Iterator[str]:
    verdict = ending.verdict
    answer = (
        click.style("yes", fg="green", bold=True) if verdict.equal else click.style("no", fg="red", bold=True)
    )
    what_was_compared = ", ".join(f"{number(count)} {what}" for what, count in verdict.compared.items())
    yield f"The database equals the model: {answer}"
    yield f"  compared: {what_was_compared}"
    for difference in verdict.differences[:_DIFFERENCES_TOLD]:
        yield f"  {difference}"
    if (more := len(verdict.differences) - _DIFFERENCES_TOLD) > 0:
        yield f"  and {number(more)} more"
    if ending.kept is not None:
        yield f"The database and the logs are kept in {ending.kept}"
