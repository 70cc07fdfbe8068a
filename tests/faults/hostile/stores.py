"""What a database holds, read by its plain driver with plain SQL: no line of the service in between.

pymysql, asyncpg and sqlite3 each give the rows by column; `observed` makes of them what `tests.e2e.judge`
compares with the oracle. SQLite has texts where the others have amounts and times: only the one spelling
that data-contract.md promises is taken.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import asyncpg
import pymysql

from tests.e2e.messages import TABLES, Line, Place
from tests.e2e.oracle import PAYLOAD_COLUMNS, Age, Row, Subject
from tests.e2e.world import Fields, Observed

Read = Callable[[str], Awaitable[list[Fields]]]
"""Gives all rows of a table."""

_BOOKKEEPING = ("processed_events", "dead_letters")
_AMOUNTS = ("price", "total", "quantity", "unit_price")
_TIMES = ("occurred_at", "placed_at", "synced_at", "deleted_at", "processed_at")
_AMOUNT = re.compile(r"-?(?:0|[1-9][0-9]{0,13})\.[0-9]{4}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}")


async def observed(url: str) -> Observed:
    """Everything in the tables of the database at `url` that the judge looks at, but positions."""
    read = _reader(url)
    lines = _lines(await read("order_items"))
    rows = {
        subject: row for entity in TABLES for subject, row in _rows(entity, await read(TABLES[entity]), lines)
    }
    assert not lines, f"lines without an order: {lines}"
    marks, letters = [await read(table) for table in _BOOKKEEPING]
    return Observed(rows, marks, letters)


def _reader(url: str) -> Read:
    scheme = urlsplit(url).scheme
    read = {"mysql": _read_mysql, "postgresql": _read_postgresql, "sqlite": _read_sqlite}[scheme]
    return lambda table: read(url, table)


async def _read_mysql(url: str, table: str) -> list[Fields]:
    parts = urlsplit(url)
    connection = pymysql.connect(
        host=parts.hostname or "",
        port=parts.port or 3306,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=parts.path.strip("/"),
        charset="utf8mb4",
        cursorclass=pymysql.cursors.DictCursor,
    )
    with closing(connection), connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table}")
        return list(cursor.fetchall())


async def _read_postgresql(url: str, table: str) -> list[Fields]:
    connection: asyncpg.Connection = await asyncpg.connect(url)
    try:
        return [dict(row) for row in await connection.fetch(f"SELECT * FROM {table}")]
    finally:
        await connection.close()


async def _read_sqlite(url: str, table: str) -> list[Fields]:
    with closing(sqlite3.connect(urlsplit(url).path.removeprefix("/"))) as connection:
        connection.row_factory = sqlite3.Row
        rows = connection.execute(f"SELECT * FROM {table}").fetchall()
    return [{name: _typed(name, row[name]) for name in row.keys()} for row in rows]  # noqa: SIM118 - a Row's values


def _typed(name: str, value: object) -> object:
    if value is None or name not in (*_AMOUNTS, *_TIMES):
        return value
    amount = name in _AMOUNTS
    assert isinstance(value, str), f"{name} is stored as {type(value).__name__}"
    assert (_AMOUNT if amount else _TIME).fullmatch(value), f"{name} is spelled {value}"
    return Decimal(value) if amount else datetime.fromisoformat(value)


def _rows(
    entity: str, stored: list[Fields], lines: dict[int, dict[int, Line]]
) -> Iterator[tuple[Subject, Row]]:
    for row in stored:
        identity = cast("int", row["id"])
        ages = (row[name] for name in ("version", "occurred_at", "source_partition", "source_offset"))
        age = Age(*cast("Any", ages))
        deleted_at = row["deleted_at"]
        assert deleted_at in (None, age.occurred_at), f"a tombstone of {age.occurred_at} says {deleted_at}"
        columns = {name: row[name] for name in PAYLOAD_COLUMNS[entity]}
        own = lines.pop(identity, {}) if entity == "order" else {}
        place = Place(TABLES[entity], age.source_partition, age.source_offset)
        yield Subject(entity, identity), Row(age, place, columns, deleted_at is not None, own)


def _lines(stored: list[Fields]) -> dict[int, dict[int, Line]]:
    lines: dict[int, dict[int, Line]] = {}
    for row in stored:
        line = Line(*cast("Any", (row[name] for name in Line._fields)))
        lines.setdefault(cast("int", row["order_id"]), {})[cast("int", row["line_no"])] = line
    return lines
