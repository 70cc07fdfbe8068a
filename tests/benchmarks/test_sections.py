"""The sections of docs/performance.md: marked, and replaced without touching what is written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import goals, report, sections
from benchmarks.shapes import report as shapes

_COMMAND = "python -m benchmarks.x report build/x.json"


def page(*names: str) -> str:
    """A page with empty sections, and words between them."""
    marks = ((sections.begin_mark(name, _COMMAND), sections.end_mark(name)) for name in names)
    return "before\n\n" + "\n\nbetween\n\n".join("\n".join(both) for both in marks) + "\n\nafter\n"


def test_a_section_is_replaced_and_the_rest_stays() -> None:
    """As often as one likes, with the same end."""
    once = sections.replace(page("x", "y"), "x", _COMMAND, ["new"])
    assert once.count("new") == 1
    assert sections.replace(once, "x", _COMMAND, ["new"]) == once
    assert sections.replace(once, "x", _COMMAND, []).replace("\n", "") == page("x", "y").replace("\n", "")


@pytest.mark.parametrize(
    "held",
    [
        pytest.param(page("y"), id="another"),
        pytest.param(page("x").partition("<!-- end")[0], id="without-end"),
        pytest.param(page("x").replace("benchmarks.x", "benchmarks.z"), id="another-command"),
    ],
)
def test_a_page_without_the_marks_is_refused(held: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="no place for the section"):
        sections.replace(held, "x", _COMMAND, [])


@pytest.mark.parametrize(
    ("name", "command", "file"),
    [
        pytest.param("throughput", report.COMMAND, sections.PAGE, id="throughput"),
        pytest.param("reference", report.COMMAND, sections.PAGE, id="reference"),
        pytest.param("costs", report.COMMAND, report.README, id="costs"),
        pytest.param("goals", goals.COMMAND, sections.PAGE, id="goals"),
        pytest.param("shapes", shapes.COMMAND, sections.PAGE, id="shapes"),
    ],
)
def test_the_docs_have_a_place(name: str, command: str, file: Path) -> None:
    """For each section that is made here."""
    text = file.read_text(encoding="utf-8")
    assert sections.begin_mark(name, command) in text
    assert sections.end_mark(name) in text
