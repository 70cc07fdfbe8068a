"""The reading of the pages itself: what is a command, what is alike, what is an anchor."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.commands import Command, commands, run_elsewhere
from tests.docs.pages import Block, anchors, blocks
from tests.docs.shown import missing

PRINTED = "TOPIC   LAG  OWNER\norders  7    shop-2:33\n{'a': 1, 'b': 2}\n"


def test_a_command_goes_on_behind_a_backslash_and_into_a_heredoc() -> None:
    """Comments and empty lines are no commands."""
    text = "# first\nmake \\\n    test  # all\n\npython - <<'END'\nprint(1)\n\nEND\nls\n"
    found = commands(Block(Path(), 1, "sh", text, ""))
    assert [command.plain for command in found] == ["make test", "python - <<'END' print(1)  END", "ls"]


def test_a_console_has_commands_with_what_they_print() -> None:
    """Up to the next prompt."""
    found = commands(Block(Path(), 1, "console", "$ a\n1\n\n2\n$ b\n", ""))
    assert found == [Command("a", ("1", "2")), Command("b")]


def test_a_command_that_nobody_knows_is_run() -> None:
    """Only what is listed as a whole is run elsewhere."""
    assert run_elsewhere(Command("make test && rm -r docs")) is None


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param(["TOPIC LAG  OWNER", "orders 0 host:1"], id="numbers-and-blanks"),
        pytest.param(["{'a': 1, … }"], id="anything"),
        pytest.param(["…", "orders  7    …"], id="left-out"),
    ],
)
def test_what_is_alike_is_found(shown: list[str]) -> None:
    """Numbers, blanks and what `…` stands for may differ."""
    assert missing(shown, PRINTED) == []


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("TOPIC  LAG", id="shorter"),
        pytest.param("products 7 shop-2:33", id="another-word"),
        pytest.param("{'b': 1, … }", id="another-beginning"),
    ],
)
def test_what_is_not_alike_is_missing(line: str) -> None:
    """Words count, and the whole line."""
    assert missing([line], PRINTED) == [line]


def test_lines_are_shown_in_their_order() -> None:
    """The one that comes too early is missing."""
    assert missing(["orders 7 a:1", "TOPIC LAG OWNER"], PRINTED) == ["TOPIC LAG OWNER"]


def test_anchors_and_blocks(tmp_path: Path) -> None:
    """As GitHub makes them; a heading in a block is none."""
    page = tmp_path / "page.md"
    page.write_text("# What if, *Redis* `lies`?\n## A\n```sh\n# B\n```\nbelow\n\nmore\n## A\n")
    assert anchors(page) == {"what-if-redis-lies", "a", "a-1"}
    assert [(block.language, block.text, block.below) for block in blocks(page)] == [("sh", "# B\n", "below")]
