"""The pages of the documentation as the tests read them: blocks, links, headings, and the tests they name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PAGES = tuple(
    sorted(
        [
            *(CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
            *(CHECKOUT / "docs").rglob("*.md"),
        ]
    )
)

_FENCE = re.compile(r"^```")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$")
_CODE = re.compile(r"`[^`\n]*`")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
# In docs/proof.md tests are named without `tests/`.
_NAMED_TEST = re.compile(r"`([\w/]+\.py)::([\w:]+)`")
_NAMED_PATH = re.compile(r"`((?:service|tests|migrations|benchmarks|deploy|docs|\.ci)/[\w./<>-]*)`")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language (empty: none), its text, and what the page says right below it."""

    page: Path
    line: int
    language: str
    text: str
    below: str

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    """A page by its path in the checkout."""
    return page.relative_to(CHECKOUT).as_posix()


def read(page: Path) -> str:
    """The text of a page."""
    return page.read_text(encoding="utf-8")


def blocks(page: Path) -> Iterator[Block]:
    """Every fenced block of a page."""
    lines = read(page).splitlines()
    fences = [number for number, line in enumerate(lines) if _FENCE.match(line)]
    for begin, end in zip(fences[::2], fences[1::2], strict=True):
        below = "\n".join(lines[end + 1 :]).strip().split("\n\n", 1)[0]
        text = "\n".join(lines[begin + 1 : end]) + "\n"
        yield Block(page, begin + 1, lines[begin].removeprefix("```").strip(), text, below)


def links(page: Path) -> Iterator[str]:
    """The target of every link and picture."""
    yield from _LINK.findall(_CODE.sub("", prose(page)))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    made: list[str] = []
    for heading in filter(None, map(_HEADING.match, prose(page).splitlines())):
        slug = re.sub(r"[^\w\- ]", "", heading[1].lower()).replace(" ", "-")
        earlier = sum(each == slug or each.startswith(f"{slug}-") for each in made)
        made.append(f"{slug}-{earlier}" if slug in made else slug)
    return set(made)


def named_tests(page: Path) -> set[tuple[str, str]]:
    """The tests that a page names: file and name within it."""
    return set(_NAMED_TEST.findall(read(page)))


def named_paths(page: Path) -> set[str]:
    """The files and folders of the checkout that a page names in code."""
    return set(_NAMED_PATH.findall(prose(page)))


def prose(page: Path) -> str:
    """A page without its fenced blocks and comments; lines keep their order."""
    inside = False
    kept: list[str] = []
    for line in _COMMENT.sub("", read(page)).splitlines():
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            kept.append(line)
    return "\n".join(kept)


def has_test(file: Path, name: str) -> bool:
    """Whether a test file defines `name`, which may be `TestClass::test_name`."""
    source = file.read_text(encoding="utf-8") if file.is_file() else ""
    return all(re.search(rf"(?:def|class) {part}\b", source) for part in name.split("::"))
