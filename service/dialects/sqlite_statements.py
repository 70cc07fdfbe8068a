"""Multi-row statements for SQLite, as SQLAlchemy compiles them: the driver sends many rows at once by itself.

`sqlite` inherits from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Column, Insert, Table, delete, select
from sqlalchemy.dialects.sqlite import insert

from service.dialects.dialect import Columns, Rows, Statement


class CompiledStatements:
    """The builders of `Dialect`, by way of SQLAlchemy's own statements."""

    def insert(self, table: Table, columns: Columns, rows: Rows) -> Statement:
        """See `Dialect`."""
        return Statement(insert(table), _named(columns, rows))

    def overwrite(self, table: Table, columns: Columns, rows: Rows) -> Statement:
        """See `Dialect`."""
        return Statement(_overwriting(table, tuple(columns)), _named(columns, rows))

    def insert_once(self, table: Table, columns: Columns, rows: Rows) -> Statement:
        """See `Dialect`; never OR IGNORE, which passes over NOT NULL and CHECK as well."""
        return Statement(insert(table).on_conflict_do_nothing(), _named(columns, rows))

    def select_in(
        self, selected: Sequence[Column[Any]], key: Column[Any], values: Sequence[object], *, lock: bool
    ) -> Statement:
        """See `Dialect`."""
        query = select(*selected).where(key.in_(values))
        return Statement(query.order_by(key).with_for_update() if lock else query)

    def delete_in(self, key: Column[Any], values: Sequence[object]) -> Statement:
        """See `Dialect`."""
        return Statement(delete(key.table).where(key.in_(values)))


@lru_cache(maxsize=512)
def _overwriting(table: Table, columns: tuple[str, ...]) -> Insert:
    keys = [column.name for column in table.primary_key]
    statement = insert(table)
    written = {name: statement.excluded[name] for name in columns if name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=written)


def _named(columns: Columns, rows: Rows) -> list[Mapping[str, object]]:
    return [dict(zip(columns, row, strict=True)) for row in rows]
