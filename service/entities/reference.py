"""Writes the tables of docs/data-contract.md from the registry: `python -m service.entities.reference PAGE`.

The page is rewritten in place between two marks; everything outside of them is written by hand. A test
fails while the page has other tables than `rendered` makes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sqlalchemy import Column
from sqlalchemy.dialects import mysql, postgresql, sqlite

from service.entities.entity import LINES, Entity
from service.entities.registry import ENTITIES

BEGIN = "<!-- tables: made by `python -m service.entities.reference docs/data-contract.md` -->"
END = "<!-- /tables -->"

# The three kinds of database, in the order of the columns of the page.
_DIALECTS = (mysql.dialect(), postgresql.dialect(), sqlite.dialect())  # type: ignore[no-untyped-call]  # has no types
_HEAD = ("column", "MariaDB, MySQL", "PostgreSQL", "SQLite", "in a new row")


def rendered(page: str) -> str:
    """`page` with the tables as they must be; raises ValueError where the marks are missing."""
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"no place for the tables: {BEGIN} … {END}")
    return "\n".join([before + BEGIN, *tables(), "", END + after])


def tables() -> Iterator[str]:
    """The lines of all tables, each with an empty one and a heading before it."""
    for entity in ENTITIES.values():
        yield from _section(f"`{entity.name}`", _payload(entity))
        if entity.lines is not None:
            yield from _section(f"`{entity.lines.name}`, from `data.{LINES}`", entity.lines.table.columns)
    shared = next(iter(ENTITIES.values()))
    yield from _section("In every table but those of lines", _beside_the_payload(shared))


def sql_types(column: Column[object]) -> tuple[str, ...]:
    """The type of a column in each kind of database."""
    return tuple(column.type.compile(dialect=dialect) for dialect in _DIALECTS)


def _payload(entity: Entity) -> list[Column[object]]:
    return [entity.table.c[field.name] for field in entity.fields]


def _beside_the_payload(entity: Entity) -> list[Column[object]]:
    return [column for column in entity.table.columns if column.name not in entity.defaults]


def _section(title: str, columns: Iterable[Column[object]]) -> Iterator[str]:
    yield from ("", f"### {title}", "", _line(_HEAD), "|---" * len(_HEAD) + "|")
    for column in columns:
        yield _line((f"`{column.name}`", *sql_types(column), _in_a_new_row(column)))


def _in_a_new_row(column: Column[object]) -> str:
    """What stands in a column that the first event of a record does not mention."""
    if column.server_default is not None:
        return f"`{column.server_default.arg}`"  # type: ignore[attr-defined]  # all of ours are texts
    return "NULL" if column.nullable else "always given"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    _page = Path(sys.argv[1])
    _page.write_text(rendered(_page.read_text(encoding="utf-8")), encoding="utf-8")
