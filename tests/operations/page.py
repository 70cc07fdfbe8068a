"""docs/operations.md as the tests read it: its anchors and its blocks of SQL."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "docs" / "operations.md"

_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_SQL = re.compile(r"^```sql\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def anchors() -> set[str]:
    """The anchors of the page's headings, as GitHub makes them."""
    headings = _HEADING.findall(PAGE.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def grants(user: str, database: str, password: str) -> list[str]:
    """The documented statements for `user`, for a database of another name.

    The page's own names are `upsertd` for the database and `upsertd_<user>` for the users.
    """
    named = f"'upsertd_{user}'@'%'"
    [block] = [block for block in _SQL.findall(PAGE.read_text()) if f"CREATE USER {named}" in block]
    statements = [" ".join(statement.split()) for statement in block.split(";")]
    return [
        statement.replace("<password>", password)
        .replace("ON upsertd.", f"ON `{database}`.")
        .replace(named, f"'{account(user, database)}'@'%'")
        for statement in statements
        if statement
    ]


def account(user: str, database: str) -> str:
    """The name of `user` in a test: users belong to the server, which other tests share."""
    return f"{user}_{database}"
