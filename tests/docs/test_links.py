"""What the documentation points at is there."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.docs.pages import (
    CHECKOUT,
    PAGES,
    anchors,
    blocks,
    has_test,
    links,
    name_of,
    named_paths,
    named_tests,
    read,
)

_MAX_WIDTH = 120
# What GitHub shows as it stands; a block without a language holds commands.
_LANGUAGES = {"", "sh", "bash", "console", "text", "sql", "json", "python", "toml", "yaml"}

each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    """To a file or a heading of the checkout: nothing else can be checked without a network."""
    assert [target for target in links(page) if not _is_there(page, target)] == []


@each_page
def test_named_tests_exist(page: Path) -> None:
    """As `tests/file.py::test_name`, with or without `tests/`."""
    missing = [
        f"{file}::{test}"
        for file, test in named_tests(page)
        if not has_test(CHECKOUT / "tests" / file.removeprefix("tests/"), test)
    ]
    assert missing == []


@each_page
def test_named_files_exist(page: Path) -> None:
    """Files and folders that are named by their path in the checkout, placeholders and new ones aside."""
    names = {name for name in named_paths(page) if "<" not in name and "supplier" not in name}
    assert [name for name in names if not (CHECKOUT / name).exists()] == []


@each_page
def test_lines_are_not_wider_than_a_terminal(page: Path) -> None:
    """Rows of tables and what commands print aside, which cannot be broken."""
    printed = {
        line for block in blocks(page) if block.language == "console" for line in block.text.splitlines()
    }
    wide = [
        number
        for number, line in enumerate(read(page).splitlines(), 1)
        if len(line) > _MAX_WIDTH and not line.startswith("|") and line not in printed
    ]
    assert wide == []


@each_page
def test_every_block_has_a_language_that_is_known(page: Path) -> None:
    """Another one would pass by the tests of commands."""
    assert {block.language for block in blocks(page)} <= _LANGUAGES


def _is_there(page: Path, target: str) -> bool:
    url = urlsplit(target)
    file = page if not url.path else (page.parent / url.path).resolve()
    if url.scheme or not file.is_relative_to(CHECKOUT) or not file.exists():
        return False
    return not url.fragment or url.fragment in anchors(file)
