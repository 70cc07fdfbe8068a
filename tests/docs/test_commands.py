"""Every command of the documentation does what its page says."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from tests.docs.commands import (
    RUN_ELSEWHERE,
    SHOWN_ELSEWHERE,
    Command,
    command_blocks,
    commands,
    run_elsewhere,
)
from tests.docs.pages import CHECKOUT, PAGES, Block, blocks, has_test
from tests.docs.shown import missing
from tests.docs.world import DocsWorld

_WAIT_SECONDS = 20


def run_here() -> Iterator[tuple[Block, list[Command]]]:
    """Each block with the commands that are run here: once, unless a page shows what they print."""
    met: set[str] = set()
    for block in command_blocks():
        new = [command for command in commands(block) if command.prints or command.name not in met]
        met |= {command.name for command in new}
        if here := [command for command in new if run_elsewhere(command) is None]:
            yield block, here


RUN_HERE = list(run_here())


def queries() -> list[str]:
    """Every SELECT of the documentation."""
    sql = [block.text for page in PAGES for block in blocks(page) if block.language == "sql"]
    statements = [statement.strip() for text in sql for statement in text.split(";")]
    return [statement for statement in statements if statement.startswith("SELECT")]


@pytest.mark.parametrize(("block", "here"), RUN_HERE, ids=[str(block) for block, _ in RUN_HERE])
def test_the_commands_of_a_block_succeed(world: DocsWorld, block: Block, here: list[Command]) -> None:
    """In the order of the block, with what the page shows of their output."""
    if block.language != "console":
        done = world.run("\n".join(command.text for command in here))
        assert done.returncode == 0, done.stdout
        return
    for command in here:
        shown = "\n".join(command.prints)
        done = world.run(command.text, shown)
        assert done.returncode == (1 if "FAIL" in shown else 0), done.stdout
        assert missing(command.prints, done.stdout) == [], done.stdout


def test_the_event_of_the_readme_is_written(world: DocsWorld) -> None:
    """What the quick start sends arrives."""
    [sending] = [block for block in command_blocks() if "send_and_wait" in block.text]
    assert world.run(sending.text).returncode == 0
    deadline = time.monotonic() + _WAIT_SECONDS
    while not (found := world.rows("SELECT email, name, version FROM customers WHERE id = 4711")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert found == [{"email": "ada@example.com", "name": "Ada", "version": 7}]


@pytest.mark.parametrize("query", queries())
def test_the_queries_of_the_docs_can_be_asked(world: DocsWorld, query: str) -> None:
    """And an event that was applied is found by its id."""
    found = world.rows(query)
    assert not ("processed_events" in query and "'<event id>'" in query) or found[0]["outcome"] == "applied"


@pytest.mark.parametrize("where", sorted({*RUN_ELSEWHERE.values(), *SHOWN_ELSEWHERE.values()}))
def test_what_is_run_elsewhere_is_run_there(where: str) -> None:
    """The list of exceptions names tests that exist."""
    file, _, name = where.partition("::")
    assert has_test(CHECKOUT / file, name) if name else (CHECKOUT / file).is_file()


def test_each_exception_is_needed() -> None:
    """One that fits nothing any more goes."""
    every = [command for block in command_blocks() for command in commands(block)]
    unused = {
        pattern
        for pattern in RUN_ELSEWHERE
        if not any(re.fullmatch(pattern, command.plain) for command in every)
    } | {
        pattern
        for pattern in SHOWN_ELSEWHERE
        if not any(re.search(pattern, "\n".join(command.prints)) for command in every)
    }
    assert unused == set()
