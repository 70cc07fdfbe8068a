"""Multi-row statements as SQLAlchemy compiles them, for drivers that send many rows at once by themselves.

Dialects that know no faster form inherit from here and say only how a conflict is spelled.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Insert, Table, delete, insert, select

from service.dialects.dialect import Columns, Rows, Statement


class CompiledStatements(ABC):
    """The builders of `Dialect`, by way of SQLAlchemy's own statements."""

    def insert(self, table: Table, columns: Columns, rows: Rows) -> Iterator[Statement]:
        """See `Dialect`."""
        yield Statement(insert(table), _named(columns, rows))

    def overwrite(self, table: Table, columns: Columns, rows: Rows) -> Iterator[Statement]:
        """See `Dialect`."""
        yield Statement(self._overwriting(table, tuple(columns)), _named(columns, rows))

    def insert_once(self, table: Table, columns: Columns, rows: Rows) -> Iterator[Statement]:
        """See `Dialect`."""
        yield Statement(self._leaving_alone(table), _named(columns, rows))

    def select_in(
        self, selected: Sequence[Column[Any]], key: Column[Any], values: Sequence[object], *, lock: bool
    ) -> Statement:
        """See `Dialect`."""
        query = select(*selected).where(key.in_(values))
        return Statement(query.order_by(key).with_for_update() if lock else query)

    def delete_in(self, key: Column[Any], values: Sequence[object]) -> Statement:
        """See `Dialect`."""
        return Statement(delete(key.table).where(key.in_(values)))

    @abstractmethod
    def _overwriting(self, table: Table, columns: tuple[str, ...]) -> Insert:
        """The insert that overwrites `columns` of a row whose primary key is there."""

    @abstractmethod
    def _leaving_alone(self, table: Table) -> Insert:
        """The insert that does nothing where a unique key is there."""


def _named(columns: Columns, rows: Rows) -> list[Mapping[str, object]]:
    return [dict(zip(columns, row, strict=True)) for row in rows]
