"""Multi-row statements for MySQL and MariaDB as complete texts, written by msgspec's JSON encoder.

Binding parameters is most of what a batch costs the client; a JSON array of values is nearly a row of a
VALUES list, and C writes it; all else in a statement is a name of ours. The session's `sql_mode` is pinned
(`mysql`): double quotes delimit strings and backslashes escape. Used for values whose types the tables'
columns know already; a test sends hostile ones through a real server and compares them with what the
driver's own binding stores.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from msgspec import Raw
from msgspec.json import Encoder
from sqlalchemy import Column, LargeBinary, Table

from service.dialects.dialect import Columns, Rows, Statement

# Within the smallest `max_allowed_packet` that servers come with, 1 MiB; a row that is longer goes alone.
MAX_STATEMENT_BYTES = 1_000_000

# Amounts as numbers, digit by digit; naive times as texts that both servers take for DATETIME(6).
_ENCODER = Encoder(decimal_format="number")

# Those of JSON's escapes that MySQL reads otherwise: `\f` as an f, `\u001f` as u001f. Escaped backslashes
# are matched too, so that what follows them is not taken for an escape.
_ESCAPE = re.compile(rb"(?:\\\\)+|\\(?:u00([0-9a-f]{2})|f)")


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsStatement(Statement):
    """An INSERT of many rows that is not written out yet; `sql` has a `?` for each value of one row."""

    table: Table
    columns: tuple[str, ...]
    rows: Rows
    tail: str


class TextStatements:
    """The builders of `Dialect`."""

    def insert(self, table: Table, columns: Columns, rows: Rows) -> RowsStatement:
        """See `Dialect`."""
        return _rows_statement(table, tuple(columns), rows, "")

    def overwrite(self, table: Table, columns: Columns, rows: Rows) -> RowsStatement:
        """See `Dialect`."""
        return _rows_statement(table, tuple(columns), rows, _overwriting(table, tuple(columns)))

    def insert_once(self, table: Table, columns: Columns, rows: Rows) -> RowsStatement:
        """See `Dialect`; never IGNORE, which truncates."""
        key = next(iter(table.primary_key)).name
        return _rows_statement(table, tuple(columns), rows, f" ON DUPLICATE KEY UPDATE `{key}` = `{key}`")

    def select_in(
        self, selected: Sequence[Column[Any]], key: Column[Any], values: Sequence[object], *, lock: bool
    ) -> Statement:
        """See `Dialect`."""
        names = ", ".join(f"`{column.name}`" for column in selected)
        query = f"SELECT {names} FROM `{key.table}` WHERE {_is_one_of(key, values)}"  # noqa: S608 - our own names
        return Statement(f"{query} ORDER BY `{key.name}` FOR UPDATE" if lock else query)

    def delete_in(self, key: Column[Any], values: Sequence[object]) -> Statement:
        """See `Dialect`."""
        return Statement(f"DELETE FROM `{key.table}` WHERE {_is_one_of(key, values)}")  # noqa: S608 - our own names


def texts(statement: RowsStatement) -> Iterator[bytes]:
    """The statement with all its rows, or one for each half where that is too long."""
    binary = _binary(statement.table, statement.columns)
    head = f"INSERT INTO `{statement.table.name}` ({_names(statement.columns)}) VALUES ".encode()  # noqa: S608 - our own names
    return _texts(head, statement.rows, statement.tail.encode(), binary)


def _rows_statement(table: Table, columns: tuple[str, ...], rows: Rows, tail: str) -> RowsStatement:
    sql = _prepared(table, columns, tail)
    return RowsStatement(sql=sql, table=table, columns=columns, rows=rows, tail=tail)


@lru_cache(maxsize=512)
def _prepared(table: Table, columns: tuple[str, ...], tail: str) -> str:
    places = ", ".join("?" for _ in columns)
    return f"INSERT INTO `{table.name}` ({_names(columns)}) VALUES ({places}){tail}"  # noqa: S608 - our own names


def _names(columns: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in columns)


@lru_cache(maxsize=512)
def _binary(table: Table, columns: tuple[str, ...]) -> tuple[int, ...]:
    """Which of the columns hold bytes."""
    return tuple(index for index, name in enumerate(columns) if _is_binary(table.c[name]))


@lru_cache(maxsize=512)
def _overwriting(table: Table, columns: tuple[str, ...]) -> str:
    keys = {column.name for column in table.primary_key}
    written = (f"`{name}` = VALUES(`{name}`)" for name in columns if name not in keys)
    return f" ON DUPLICATE KEY UPDATE {', '.join(written)}"


def _texts(head: bytes, rows: Rows, tail: bytes, binary: Sequence[int]) -> Iterator[bytes]:
    values = _encoded([_without_bytes(row, binary) for row in rows] if binary else rows)
    if len(values) <= MAX_STATEMENT_BYTES or len(rows) == 1:
        yield b"".join((head, values, tail))
    else:
        middle = len(rows) // 2
        yield from _texts(head, rows[:middle], tail, binary)
        yield from _texts(head, rows[middle:], tail, binary)


def _is_one_of(key: Column[Any], values: Sequence[object]) -> str:
    """The condition that finds the rows of these keys."""
    listed = _encoded([list(map(_octets, values)) if _is_binary(key) else values])
    return f"`{key.name}` IN {listed.decode()}"


def _encoded(rows: Rows) -> bytes:
    """The rows as `(1,"a",null),(2,"b",null)`."""
    lines = _ENCODER.encode_lines(rows)
    # A line break inside a value would be escaped: each of these stands between two rows.
    values = lines[1:-2].replace(b"]\n[", b"),(")
    if b"\\u" in values or b"\\f" in values:
        values = _ESCAPE.sub(_unescaped, values)
    return b"(%b)" % values


def _unescaped(escape: re.Match[bytes]) -> bytes:
    """What MySQL is to read instead: the character itself, but NUL, which has an escape of its own."""
    if escape[0][1:2] == b"\\":
        return escape[0]
    if escape[1] is None:
        return b"\x0c"
    return b"\\0" if escape[1] == b"00" else bytes.fromhex(escape[1].decode())


def _without_bytes(row: Sequence[object], binary: Iterable[int]) -> Sequence[object]:
    values = list(row)
    for index in binary:
        values[index] = _octets(values[index])
    return values


def _octets(value: object) -> object:
    """Bytes as what stores just these: a string where they are one in UTF-8, half as long as hexadecimal."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return Raw(b"x'%b'" % value.hex().encode())


def _is_binary(column: Column[Any]) -> bool:
    return isinstance(column.type, LargeBinary)
