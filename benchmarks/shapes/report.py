"""The section `shapes` of docs/performance.md and its picture. Called by `report` of the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks import sections
from benchmarks.machine import told
from benchmarks.shapes.picture import draw
from benchmarks.shapes.results import Shapes
from benchmarks.shapes.table import HEAD, rows
from benchmarks.table import markdown

COMMAND = "python -m benchmarks.shapes report build/shapes.json"
_PICTURE = "shapes.svg"


def write(shapes: Shapes) -> Iterator[Path]:
    """Write the picture and the section; yields what was written."""
    picture = sections.IMAGES / _PICTURE
    picture.write_text(draw(shapes), encoding="utf-8")
    yield picture
    yield sections.write("shapes", COMMAND, lines(shapes))


def lines(shapes: Shapes) -> Iterator[str]:
    """What stands in the section."""
    shape = next(iter(shapes.shapes.values()))
    rounds = f"{shape.rounds} rounds, all variants by turns"
    yield from sections.paragraph(f"Measured: {told(shape.machine, rounds, f'seed {shape.seed}')}.")
    yield ""
    yield f"![CPU time of an event in each shape, by part](images/{_PICTURE})"
    yield ""
    table = [row for name, each in shapes.shapes.items() for row in rows(name, each)]
    yield from markdown(HEAD, table).splitlines()
