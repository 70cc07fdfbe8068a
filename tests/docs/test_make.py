"""The targets of `make` that the documentation names."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys

import pytest

from tests.docs.commands import command_blocks, commands
from tests.docs.pages import CHECKOUT

_WAIT_SECONDS = 60

TARGETS = sorted(
    {
        found[1]
        for block in command_blocks()
        for command in commands(block)
        if (found := re.match(r"make ([\w-]+)", command.plain))
    }
)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("target", TARGETS)
def test_a_target_of_the_docs_is_there(target: str) -> None:
    """`make` knows what it would do."""
    done = subprocess.run(
        ["make", "--dry-run", target], cwd=CHECKOUT, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, bool(done.stdout)) == (0, True), done.stderr


@pytest.mark.parametrize("database", ["mariadb", "postgresql", "sqlite"])
def test_make_servers_prints_what_the_readme_exports(database: str) -> None:
    """The three variables of the quick start; Ctrl-C ends it with 0."""
    command = [sys.executable, "-m", "tests.servers", "--database", database]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as servers:
        assert servers.stdout is not None
        lines = [servers.stdout.readline() for _ in range(3)]
        servers.send_signal(signal.SIGINT)
        assert servers.wait(_WAIT_SECONDS) == 0
    [exporting] = [block for block in command_blocks() if "export REDIS_URL" in block.text]
    names = re.findall(r"^export \w+=", "".join(lines), re.MULTILINE)
    assert names == re.findall(r"^export \w+=", exporting.text, re.MULTILINE)
