"""The proof as a page: one HTML file without anything beside it, for light and dark. Called by `__main__`.

Pure but for `write`. What the figures mean is said on the page, for somebody who has read nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

from tests.faults.chaos.results import Results
from tests.faults.failpoints.summary import Summary as Failpoints
from tests.faults.prove import tables, timeline
from tests.faults.prove.report import Part, Planted, Report, Simulated

_STYLE = Path(__file__).with_suffix(".css")
_TITLES = {
    "simulation": "Simulation",
    "failpoints": "Failpoints",
    "planted": "Planted bugs",
    "chaos": "Chaos",
}
_UNKNOWN = "nothing known"
_INTO = {
    "simulation": "histories of the real pipeline on simulated servers, crashed at any await",
    "failpoints": "crashes and errors at named steps of the real service on real servers",
    "planted": "rules broken on purpose were noticed: the checks can fail",
    "chaos": "faults under load on real servers, every row compared with an independent model",
}


def write(report: Report, file: Path) -> None:
    """Write the page."""
    file.write_text(text(report), encoding="utf-8")


def text(report: Report) -> str:
    """The whole page."""
    body = [
        _verdict(report),
        _cards(report),
        *(_chaos(report.chaos) if report.chaos is not None else ()),
        tables.written(report),
        _how_to_repeat(report),
    ]
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>upsertd: {_headline(report)}</title>",
            f"<style>{_STYLE.read_text(encoding='utf-8')}{timeline.STYLE}</style></head><body>",
            *body,
            "</body></html>",
            "",
        ]
    )


# ---------------------------------------------------------------- the verdict


def _headline(report: Report) -> str:
    if report.held:
        return "nothing lost, nothing doubled"
    if report.lost or report.doubled:
        return f"{report.lost:,} lost, {report.doubled:,} doubled"
    return "a promise did not hold" if report.violations else "the proof is not complete"


def _verdict(report: Report) -> str:
    kind = "" if report.held else " broken"
    invariants = "did not all hold" if report.violations else "held"
    said = (
        f"{report.produced:,} records through {report.injected:,} faults on real servers:"
        f" {report.lost:,} lost, {report.doubled:,} doubled, invariants I1 to I9 {invariants}."
    )
    when = f"{report.began.replace('T', ' ').removesuffix('+00:00')} UTC, {_duration(report.seconds)}"
    lines = (*report.unnoticed, *report.violations)
    unsaid = (f"{part.name} did not hold, and did not say why" for part in report.parts if not part.held)
    found = "".join(f"<li>{escape(line)}</li>" for line in lines or unsaid)
    return (
        f'<section class="verdict{kind}"><h1>{_capital(_headline(report))}</h1><p>{said}</p>'
        f'<p class="soft">{when}, seed {report.seed}</p></section>'
        + (f'<ul class="found">{found}</ul>' if found else "")
    )


# ---------------------------------------------------------------- the parts


def _cards(report: Report) -> str:
    cards = "".join(_card(part, _figure(part.name, report)) for part in report.parts)
    return f'<div class="cards">{cards}</div>'


def _card(part: Part, figure: str) -> str:
    state = '<span class="held">held</span>' if part.held else '<span class="broke">broke</span>'
    return (
        f'<div class="card"><h3><span>{_TITLES[part.name]}</span>{state}</h3><strong>{figure}</strong>'
        f'<span class="soft">{_INTO[part.name]}; {_duration(part.seconds)}</span></div>'
    )


def _figure(name: str, report: Report) -> str:
    figures = {
        "simulation": _simulated_figure(report.simulation),
        "failpoints": _failpoint_figure(report.failpoints),
        "planted": _planted_figure(report.planted),
        "chaos": f"{len(report.chaos.faults)} faults" if report.chaos else _UNKNOWN,
    }
    return figures[name]


def _simulated_figure(found: Simulated | None) -> str:
    return f"{found.histories:,} histories" if found else _UNKNOWN


def _failpoint_figure(found: Failpoints | None) -> str:
    return f"{len(found.injected)} at {len(found.by_step)} steps" if found else _UNKNOWN


def _planted_figure(found: Planted | None) -> str:
    return f"{found.caught} of {found.bugs} caught" if found else _UNKNOWN


def _chaos(results: Results) -> Iterator[str]:
    yield "<h2>Chaos: what failed, and what became of the work</h2>"
    yield (
        f"<p>{results.replicas} replicas of <code>upsertd run</code> under {results.per_second} records a"
        " second, copies, hostile records and old versions among them. A bar is a fault, its paler end the"
        " time until every partition moved on; point at one to read it.</p>"
    )
    yield f'<div class="scroll">{timeline.draw(results)}</div>'


def _how_to_repeat(report: Report) -> str:
    commands = "\n".join(escape(part.repeat) for part in report.parts)
    ran_on = report.chaos.versions if report.chaos is not None else {}
    versions = "".join(f"<dt>{escape(name)}</dt><dd>{escape(of)}</dd>" for name, of in ran_on.items())
    return (
        "<h2>Do it again</h2><p>The same schedule of faults, the same histories and the same bugs; how"
        " processes interleave is the machine's.</p>"
        f"<pre><code>{escape(report.repeat)}</code></pre><p>Or each part alone:</p>"
        f"<pre><code>{commands}</code></pre><h2>On what</h2><dl>{versions}</dl>"
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def _capital(said: str) -> str:
    return said[:1].upper() + said[1:]
