"""The codes of SQL errors that docs/operations.md explains are those that the commands have words for."""

from __future__ import annotations

import re

import pytest

from service.commands.words import reason
from service.core.errors import Code, Unavailable
from tests.operations.page import PAGE

_TABLE = re.compile(r"^\| it is \| MariaDB.*\n\|[-|]+\n((?:\|.*\n)+)", re.MULTILINE)


def codes() -> list[Code]:
    """The codes of the page's table: MySQL's are numbers, PostgreSQL's texts."""
    [rows] = _TABLE.findall(PAGE.read_text())
    found: list[Code] = []
    for row in rows.splitlines():
        mysql, postgresql = (cell.strip().split(", ") for cell in row.split("|")[2:4])
        found += [*map(int, mysql), *postgresql]
    return found


@pytest.mark.parametrize("code", codes(), ids=str)
def test_a_documented_code_has_words(code: Code) -> None:
    """`upsertd check` says what the page says that it says."""
    told = reason(Unavailable("unknown", part="database", code=code))
    assert told.endswith(f" (SQL error {code})")
    assert not told.startswith("unknown")
