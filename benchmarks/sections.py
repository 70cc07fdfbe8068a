"""The sections of docs/performance.md that are made of results: each stands between two marks of its name.

Called by the report command of each part; everything else on the page is written by hand.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from textwrap import wrap

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
IMAGES = PAGE.parent / "images"
WIDTH = 120


def begin_mark(name: str, command: str) -> str:
    """The line that begins a section; `command` is what makes it."""
    return f"<!-- {name}: made by `{command}` -->"


def end_mark(name: str) -> str:
    """The line that ends a section."""
    return f"<!-- end of {name} -->"


def replace(page: str, name: str, command: str, lines: Iterable[str]) -> str:
    """`page` with other lines in the section `name`. Raises ValueError where the marks are missing."""
    begin, end = begin_mark(name, command), end_mark(name)
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        raise ValueError(f"no place for the section: {begin} … {end}")
    return "\n".join([before + begin, "", *lines, "", end + after])


def write(name: str, command: str, lines: Iterable[str], page: Path | None = None) -> Path:
    """Replace a section of `page`, which is docs/performance.md unless given; returns the page."""
    page = page or PAGE
    page.write_text(replace(page.read_text(encoding="utf-8"), name, command, lines), encoding="utf-8")
    return page


def paragraph(text: str) -> list[str]:
    """`text` in lines as long as the pages' lines are."""
    return wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)
