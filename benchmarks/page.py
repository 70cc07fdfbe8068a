"""docs/benchmark.md and its picture, made of what was measured. Called by `python -m benchmarks report`.

The words are in `page.md` beside this file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from string import Template
from textwrap import wrap

from benchmarks.picture import draw
from benchmarks.results import Results, Setup
from benchmarks.table import DRAIN_HEAD, PACED_HEAD, drain_rows, markdown, paced_rows

_PAGE = "benchmark.md"
_WIDTH = 120
_PICTURE = "images/benchmark.svg"


def write(results: Results, docs: Path) -> Iterator[Path]:
    """Write the page and, where drains were measured, the picture into `docs`; yields what was written."""
    if results.drains:
        picture = docs / _PICTURE
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_text(draw(results), encoding="utf-8")
        yield picture
    page = docs / _PAGE
    page.write_text(text(results), encoding="utf-8")
    yield page


def text(results: Results) -> str:
    """The whole page."""
    setup = results.setup
    template = Template(Path(__file__).with_suffix(".md").read_text(encoding="utf-8"))
    sizes = (f"{size} bytes an event ({kind})" for kind, size in setup.mean_event_bytes.items())
    return template.substitute(
        measured="\n".join(wrap(_on_what(setup), _WIDTH, break_long_words=False, break_on_hyphens=False)),
        drains=markdown(DRAIN_HEAD, list(drain_rows(results))),
        rounds=setup.rounds,
        events=f"{setup.events:,}",
        naive_events=f"{setup.naive_events:,}",
        bytes=", ".join(sizes),
        paced=markdown(PACED_HEAD, list(paced_rows(results))),
    )


def _on_what(setup: Setup) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in setup.versions.items())
    options = " ".join(f"`{option}`" for option in setup.database_options)
    return (
        f"{setup.began_at[:10]} on {setup.cores} cores, {setup.memory_gb:g} GB, {setup.system}; seed"
        f" {setup.seed}; {versions}; MariaDB with {options}"
    )
