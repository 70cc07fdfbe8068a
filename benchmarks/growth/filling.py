"""Fills a table of marks in bulk: tens of millions of rows in the order of the key.

The server makes the rows itself, from a sequence, and builds the second index afterwards. Pages are as full
as after a natural growth: nearly full where rows are appended, two thirds where they come anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import pymysql

from benchmarks.growth.event_ids import IdKind
from tests.servers import MariaDb

# Younger than `MARK_RETENTION_DAYS`: nothing is purged while something is measured.
OLDEST_SECONDS = 10 * 86_400
MARKS_INDEX = "ix_processed_events_processed_at"
_SPREAD_FACTOR = 2_654_435_761
_FULL, _TWO_THIRDS = 100, 70
# A transaction of millions of rows would have a log of gigabytes to go back.
_INSERTED_AT_ONCE = 500_000
_TIMEOUT_SECONDS = 1_200


@dataclass(frozen=True, slots=True)
class Filling:
    """What a table is filled with: `columns` with SQL over `seq`; `index` and its columns come afterwards.

    `appended`: rows come after all others by nature.
    """

    table: str
    columns: dict[str, str]
    index: tuple[str, str] | None = None
    appended: bool = False


def of_marks(kind: IdKind, rows: int) -> Filling:
    """Filling for `processed_events`, as the sink would have written it."""
    by_time = (f"INDEX {MARKS_INDEX}", "processed_at")
    return Filling("processed_events", mark_columns(kind, rows), by_time, appended=kind.ordered)


def mark_columns(kind: IdKind, rows: int) -> dict[str, str]:
    """SQL for each column of a mark. They are as old as their place says, where the ids have an order."""
    place = "seq" if kind.ordered else f"seq * {_SPREAD_FACTOR} % {rows}"
    age = f"INTERVAL {OLDEST_SECONDS} * (1 - ({place}) / {rows}) SECOND"
    moment = f"@filled_at - {age}"
    return {
        "event_id": kind.column(rows),
        "entity": "'customers'",
        "entity_id": "seq",
        "operation": "'create'",
        "outcome": "'applied'",
        "topic": "'customers'",
        "partition_id": "seq % 3",
        "record_offset": "seq DIV 3",
        "occurred_at": moment,
        "processed_at": moment,
    }


def fill_pages(mariadb: MariaDb, *, ordered: bool) -> None:
    """Have the pages that are built next as full as rows in order, or in any order, would make them."""
    mariadb.execute(f"SET GLOBAL innodb_fill_factor = {_FULL if ordered else _TWO_THIRDS}")


def fill(mariadb: MariaDb, database: str, filling: Filling, rows: int) -> None:
    """Put `rows` rows, at least one, into the empty table, which has no second index yet.

    Rows that are in order by nature are inserted, which fills pages as it always does; for others the pages
    are built, as `fill_pages` has said.
    """
    at_once = _INSERTED_AT_ONCE if filling.appended else rows
    names, values = ", ".join(filling.columns), ", ".join(filling.columns.values())
    with _session(mariadb, database, checked=filling.appended) as cursor:
        for first in range(1, rows + 1, at_once):
            some = f"seq_{first}_to_{min(first + at_once - 1, rows)}"
            cursor.execute(f"INSERT INTO {filling.table} ({names}) SELECT {values} FROM {some}")


def index(mariadb: MariaDb, database: str, filling: Filling) -> None:
    """Build the second index, if there is one, when all rows are there; pages as `fill_pages` has said."""
    with _session(mariadb, database, checked=True) as cursor:
        if filling.index is not None:
            name, columns = filling.index
            cursor.execute(f"ALTER TABLE {filling.table} ADD {name} ({columns})")
        # Its size is told from the statistics.
        cursor.execute(f"ANALYZE TABLE {filling.table}")


def table_bytes(mariadb: MariaDb, database: str, *tables: str) -> int:
    """The size of tables and their indexes together."""
    places = ", ".join(["%s"] * len(tables))
    [(size,)] = mariadb.execute(
        "SELECT SUM(data_length + index_length) FROM information_schema.tables"
        f" WHERE table_schema = %s AND table_name IN ({places})",
        parameters=(database, *tables),
    )
    return int(str(size or 0))


@contextmanager
def _session(mariadb: MariaDb, database: str, *, checked: bool) -> Iterator[pymysql.cursors.Cursor]:
    """A session of root. Without checks, an insert into an empty table builds its pages."""
    address = {"host": "127.0.0.1", "port": mariadb.port, "user": "root", "database": database}
    with (
        closing(pymysql.connect(**address, autocommit=True, read_timeout=_TIMEOUT_SECONDS)) as connection,
        connection.cursor() as cursor,
    ):
        checks = int(checked)
        cursor.execute(f"SET SESSION unique_checks = {checks}, foreign_key_checks = {checks}")
        cursor.execute("SET @filled_at = UTC_TIMESTAMP(6)")
        yield cursor
