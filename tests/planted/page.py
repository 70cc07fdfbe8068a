"""docs/proof.md: its table of planted bugs, made from the registry, and the tests that it names.

Everything outside of the two marks is written by hand.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from pathlib import Path

from tests.planted.bugs import BUGS, Bug

_TESTS = Path(__file__).parents[1]
PAGE = _TESTS.parent / "docs" / "proof.md"
_BEGIN = "<!-- planted bugs: made by `python -m tests.planted` -->"
_END = "<!-- end of planted bugs -->"
_COLUMNS = ("bug", "what is wrong", "rule that it breaks", "planted", "caught by", "reported")


def rendered(page: str) -> str:
    """`page` with the table as it must be; raises ValueError where the marks are missing."""
    before, _, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not end:
        raise ValueError(f"no place for the table: {_BEGIN} … {_END}")
    lines = [_line(_COLUMNS), "|---" * len(_COLUMNS) + "|", *map(_row, BUGS)]
    return "\n".join([before + _BEGIN, *lines, _END + after])


def _row(bug: Bug) -> str:
    planted = (inspect.getdoc(bug.plant) or "").removesuffix(".")
    theme = bug.scenario.__module__.rpartition(".")[2]
    scenario = f"`{theme}.{bug.scenario.__name__}`"
    return _line((f"`{bug.name}`", bug.wrong.removesuffix("."), bug.rule, planted, scenario, bug.reports))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def missing_tests(page: str) -> list[str]:
    """The tests that `page` names, `folder/file.py::…::test_name`, and that are not there."""
    named = re.findall(r"`([\w/]+\.py)::([\w:]+)`", page)
    return [f"{path}::{test}" for path, test in named if not _is_there(_TESTS / path, test)]


def _is_there(path: Path, test: str) -> bool:
    source = path.read_text() if path.exists() else ""
    return all(re.search(rf"(?:def|class) {name}\b", source) for name in test.split("::"))
