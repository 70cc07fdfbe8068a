"""Whether the database has the schema that this code writes.

A schema that is ahead is fine: upgrades migrate first and roll the service out after. One that is behind is
waited for. `run` and the monitor ask by `require_schema`, `upsertd check` tells people the state.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from sqlalchemy import column, select, table

from migrations import revisions
from service.core.errors import Unavailable
from service.database import Database
from service.sql_errors import NoSuchTable


class SchemaStatus(StrEnum):
    CURRENT = "current"
    AHEAD = "ahead"  # a revision that this code does not know yet
    BEHIND = "behind"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class SchemaState:
    """How the database stands to this code; `found` is None where nothing was ever migrated."""

    status: SchemaStatus
    found: str | None
    wanted: str

    def __str__(self) -> str:
        return f"schema {self.status}: the database is at {self.found or 'nothing'}, wanted {self.wanted}"


async def schema_state(database: Database) -> SchemaState:
    """Compare the database's revision with those that this code knows. Raises `Unavailable`."""
    known = _known_revisions()
    found = await _found_revision(database)
    if found is None:
        return SchemaState(SchemaStatus.MISSING, None, known[0])
    if found == known[0]:
        return SchemaState(SchemaStatus.CURRENT, found, known[0])
    status = SchemaStatus.BEHIND if found in known else SchemaStatus.AHEAD
    return SchemaState(status, found, known[0])


async def require_schema(database: Database) -> None:
    """Raise `Unavailable` unless the database answers and its schema can be written."""
    state = await schema_state(database)
    if state.status in (SchemaStatus.BEHIND, SchemaStatus.MISSING):
        raise Unavailable(f"{state}: run `upsertd migrate`", part="database")


async def _found_revision(database: Database) -> str | None:
    versions = table("alembic_version", column("version_num"))
    try:
        async with database.transaction() as transaction:
            return (await transaction.execute(select(versions.c.version_num))).scalar_one_or_none()
    except NoSuchTable:
        return None


@cache
def _known_revisions() -> tuple[str, ...]:
    return revisions()
