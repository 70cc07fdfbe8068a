"""Multi-row statements for PostgreSQL: one array for each column, however many rows there are.

The text of a statement depends on table and columns alone: each connection prepares it once, and a batch
of ten thousand rows has as many parameters as one of two. `postgresql` inherits from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Table,
    TextClause,
    text,
)
from sqlalchemy.dialects import postgresql

from service.dialects.dialect import Columns, Rows, Statement

# ruff: noqa: S608 -- the texts hold names of our own tables and columns, and never a value

# The first that fits counts. Without a length and a scale: a cast to VARCHAR(3) cuts in silence, where the
# assignment of a text to such a column is an error.
_ARRAYS = (
    (BigInteger, "bigint[]"),
    (Integer, "integer[]"),
    (Numeric, "numeric[]"),
    (DateTime, "timestamp[]"),
    (LargeBinary, "bytea[]"),
    (String, "text[]"),
)
_quote = postgresql.dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]  # has no types


class ArrayStatements:
    """The builders of `Dialect`, with arrays for parameters."""

    def insert(self, table: Table, columns: Columns, rows: Rows) -> Statement:
        """See `Dialect`."""
        return Statement(_insert(table, tuple(columns)), [_arrays(rows)])

    def overwrite(self, table: Table, columns: Columns, rows: Rows) -> Statement:
        """See `Dialect`."""
        return Statement(_overwrite(table, tuple(columns)), [_arrays(rows)])

    def insert_once(self, table: Table, columns: Columns, rows: Rows) -> Statement:
        """See `Dialect`."""
        return Statement(_insert_once(table, tuple(columns)), [_arrays(rows)])

    def select_in(
        self, selected: Sequence[Column[Any]], key: Column[Any], values: Sequence[object], *, lock: bool
    ) -> Statement:
        """See `Dialect`."""
        return Statement(_select_in(tuple(selected), key, lock), [{_name(0): values}])

    def delete_in(self, key: Column[Any], values: Sequence[object]) -> Statement:
        """See `Dialect`."""
        return Statement(_delete_in(key), [{_name(0): values}])


@lru_cache(maxsize=512)
def _insert(table: Table, columns: tuple[str, ...]) -> TextClause:
    return text(_insert_text(table, columns))


@lru_cache(maxsize=512)
def _insert_once(table: Table, columns: tuple[str, ...]) -> TextClause:
    return text(f"{_insert_text(table, columns)} ON CONFLICT DO NOTHING")


@lru_cache(maxsize=512)
def _overwrite(table: Table, columns: tuple[str, ...]) -> TextClause:
    target = _quote(table.name)
    keys = [column.name for column in table.primary_key]
    written = [name for name in columns if name not in keys]
    return text(
        f"UPDATE {target} SET {_listed(f'{_quote(name)} = given.{_quote(name)}' for name in written)}"
        f" FROM {_unnest(table, columns)} AS given ({_listed(map(_quote, columns))})"
        f" WHERE {' AND '.join(f'{target}.{_quote(key)} = given.{_quote(key)}' for key in keys)}"
    )


@lru_cache(maxsize=512)
def _select_in(selected: tuple[Column[Any], ...], key: Column[Any], lock: bool) -> TextClause:
    query = (
        f"SELECT {_listed(_quote(column.name) for column in selected)} FROM {_quote(key.table.name)}"
        f" WHERE {_quote(key.name)} = ANY({_parameter(0, key)})"
    )
    return text(f"{query} ORDER BY {_quote(key.name)} FOR UPDATE" if lock else query)


@lru_cache(maxsize=512)
def _delete_in(key: Column[Any]) -> TextClause:
    return text(f"DELETE FROM {_quote(key.table.name)} WHERE {_quote(key.name)} = ANY({_parameter(0, key)})")


def _insert_text(table: Table, columns: tuple[str, ...]) -> str:
    names = _listed(map(_quote, columns))
    return f"INSERT INTO {_quote(table.name)} ({names}) SELECT * FROM {_unnest(table, columns)}"


def _unnest(table: Table, columns: tuple[str, ...]) -> str:
    return f"unnest({_listed(_parameter(n, table.c[name]) for n, name in enumerate(columns))})"


def _parameter(number: int, column: Column[Any]) -> str:
    array = next(array for kind, array in _ARRAYS if isinstance(column.type, kind))
    return f"CAST(:{_name(number)} AS {array})"


def _arrays(rows: Rows) -> dict[str, object]:
    """The parameters of a statement: the values of each column."""
    return {_name(number): values for number, values in enumerate(zip(*rows, strict=True))}


def _name(number: int) -> str:
    return f"column_{number}"


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(parts)
