"""The commands of the documentation: which there are, what they print, and which are run elsewhere.

A command is executed by `test_commands` unless it stands in `RUN_ELSEWHERE`, which names what runs it
instead. So a command that is new in the docs is run, or somebody says why not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.docs.pages import PAGES, Block, blocks

# A block without a language is taken for commands too: pictures of text say `text`.
_LANGUAGES = ("sh", "bash", "console", "")

# Pattern of the whole command, and the file or test that runs it.
RUN_ELSEWHERE = {
    r"make demo( ARGS=.*)?": "tests/demo/test_demo.py::test_the_database_equals_the_model",
    r"make servers( ARGS=.*)?": "tests/docs/test_make.py::test_make_servers_prints_what_the_readme_exports",
    r"make bench( ARGS=.*)?": "tests/benchmarks/test_drain.py::test_a_cold_cache_has_no_hits",
    r"make container-check": "tests/container/__main__.py",
    # The run that these tests are a part of.
    r"make (install|lint|test)( ARGS=.*)?": ".ci/run",
    r"bash \.ci/run": ".ci/run",
    # Asks the package index for whatever is newest.
    r"make requirements": "tests/docs/test_make.py::test_a_target_of_the_docs_is_there",
    r"DATABASE_URL=mysql://upsertd_migrate:\S+ upsertd migrate": (
        "tests/operations/test_database_users.py::test_the_migrating_user_makes_the_tables"
    ),
    r"DATABASE_URL=postgresql://.* upsertd migrate": (
        "tests/operations/test_postgresql_users.py::test_the_migrating_role_can_go_back"
    ),
    r"(\.venv/bin/)?upsertd run": "tests/e2e/test_crashes.py::test_sigterm_drains_and_nothing_runs_twice",
    r"\.venv/bin/(alembic|python -m service\.entities\.reference) .*": (
        "tests/docs/test_adding.py::test_the_page_adds_an_entity_and_a_column"
    ),
    r"docker build .*": "tests/container/build.py",
    r"docker compose (-f docker-compose\.redis\.yml )?(up|ps|exec|stop|down).*": "tests/container/compose.py",
    r"UPSERTD_PUBLISHED_PORT=\S+ docker compose up .*": (
        "tests/operations/test_systemd.py::test_compose_can_run_several"
    ),
    r"sudo .*": "tests/operations/test_systemd.py::TestPage::test_it_installs_what_the_unit_names",
    r"for port in .*": (
        "tests/operations/test_systemd.py::TestPage::test_it_starts_asks_and_scrapes_the_same_processes"
    ),
    r"docker exec upsertd-redis redis-cli .*": "tests/container/compose.py",
    r"kubectl .*": "tests/unit/test_manifests.py::test_the_manifests_fit_kubernetes",
}

# What a block shows that takes a world of its own, and the test that makes it.
SHOWN_ELSEWHERE = {
    r"^\d+ +replayed ": (
        "tests/integration/test_letters_replayed.py::test_a_letter_whose_cause_is_cured_is_applied"
    ),
    r'"was_paused":true': "tests/e2e/test_flood.py::test_a_flood_pauses_until_an_operator_resumes",
    r"lies below the log's beginning": (
        "tests/integration/test_commands.py::test_positions_says_why_a_partition_is_halted"
    ),
    r"migrated from 0001 to 0002": (
        "tests/operations/test_upgrades.py::test_a_migration_and_a_rollout_beside_the_running_service"
    ),
}

_HEREDOC = re.compile(r"<<-?'?(\w+)'?")
_TRAILING_COMMENT = re.compile(r"\s+# .*$|\s{2,}#.*$")


@dataclass(frozen=True, slots=True)
class Command:
    """One command and, where the page shows it, what it prints."""

    text: str
    prints: tuple[str, ...] = ()

    @property
    def plain(self) -> str:
        """On one line, without its comment."""
        lines = (_TRAILING_COMMENT.sub("", line).rstrip("\\").strip() for line in self.text.splitlines())
        return " ".join(lines)

    @property
    def name(self) -> str:
        """What it is, wherever its program lies."""
        return self.plain.removeprefix(".venv/bin/")


def command_blocks() -> list[Block]:
    """Every block of the documentation that holds commands."""
    return [block for page in PAGES for block in blocks(page) if block.language in _LANGUAGES]


def commands(block: Block) -> list[Command]:
    """The commands of a block, in order."""
    lines = block.text.splitlines()
    return list(_with_output(lines) if block.language == "console" else _bare(lines))


def run_elsewhere(command: Command) -> str | None:
    """What runs a command that is not executed here."""
    for pattern, where in RUN_ELSEWHERE.items():
        if re.fullmatch(pattern, command.plain):
            return where
    shown = "\n".join(command.prints)
    return next((where for pattern, where in SHOWN_ELSEWHERE.items() if re.search(pattern, shown)), None)


def _with_output(lines: list[str]) -> Iterator[Command]:
    """`$ command`, and below it what it prints."""
    begins = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    for begin, end in zip(begins, [*begins[1:], len(lines)], strict=True):
        printed = tuple(line for line in lines[begin + 1 : end] if line.strip())
        yield Command(lines[begin].removeprefix("$ "), printed)


def _bare(lines: list[str]) -> Iterator[Command]:
    """One command a line; one that ends with a backslash or opens a heredoc goes on."""
    taken: list[str] = []
    ending: str | None = None
    for line in lines:
        if not taken and (not line.strip() or line.startswith("#")):
            continue
        taken.append(line)
        opened = _HEREDOC.search(line) if ending is None else None
        if opened:
            ending = opened[1]
        elif line.strip() == ending or (ending is None and not line.endswith("\\")):
            yield Command("\n".join(taken))
            taken, ending = [], None
