"""The statements that differ from one SQL dialect to another: today MySQL's and MariaDB's.

Called by `sinks.sql` alone. Each is executed with a list of rows and becomes one multi-row statement:
aiomysql recognises `INSERT … VALUES (…) ON DUPLICATE KEY UPDATE …` with plain placeholders only, and
falls back on a statement a row otherwise, in silence; a test counts them on the server.
"""

from __future__ import annotations

from functools import lru_cache

from sqlalchemy import Table, func
from sqlalchemy.dialects.mysql import Insert, insert


def insert_new(table: Table) -> Insert:
    """Insert rows that nobody has yet: a duplicate key is an error, because a rival got there first."""
    return insert(table)


@lru_cache(maxsize=512)
def overwrite(table: Table, columns: tuple[str, ...]) -> Insert:
    """Write `columns` of rows that are there, locked, and older than what is written."""
    keys = {column.name for column in table.primary_key}
    written = [(name, func.values(table.c[name])) for name in columns if name not in keys]
    return insert(table).on_duplicate_key_update(written)


@lru_cache(maxsize=8)
def insert_once(table: Table) -> Insert:
    """Insert rows, leaving alone those whose unique key is there; never `IGNORE`, which truncates."""
    key = next(iter(table.primary_key))
    return insert(table).on_duplicate_key_update([(key.name, key)])
