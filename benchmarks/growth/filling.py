"""Fills a table of marks in bulk: tens of millions of rows in the order of the key.

The server makes the rows itself, from a sequence. Into an empty table, without checks and with the second
index built afterwards, it builds the pages one after the other; how full they are (`fill_pages`) is what it
would be after a natural growth: nearly full where rows are appended, two thirds where they come anywhere.
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
_TIMEOUT_SECONDS = 1_200


@dataclass(frozen=True, slots=True)
class Filling:
    """What a table is filled with: `columns` with SQL over `seq`; `index` and its columns come afterwards."""

    table: str
    columns: dict[str, str]
    index: tuple[str, str] | None = None


def of_marks(kind: IdKind, rows: int) -> Filling:
    """Filling for `processed_events`, as the sink would have written it."""
    return Filling("processed_events", mark_columns(kind, rows), (f"INDEX {MARKS_INDEX}", "processed_at"))


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
    """Have the pages of what is filled next as full as rows in order, or in any order, would make them."""
    mariadb.execute(f"SET GLOBAL innodb_fill_factor = {_FULL if ordered else _TWO_THIRDS}")


def fill(mariadb: MariaDb, database: str, filling: Filling, rows: int) -> None:
    """Put `rows` rows, at least one, into the empty table, which has no second index yet."""
    names, values = ", ".join(filling.columns), ", ".join(filling.columns.values())
    with _bulk(mariadb, database) as cursor:
        cursor.execute(f"INSERT INTO {filling.table} ({names}) SELECT {values} FROM seq_1_to_{rows}")


def index(mariadb: MariaDb, database: str, filling: Filling) -> None:
    """Build the second index, if there is one, when all rows are there."""
    with _bulk(mariadb, database) as cursor:
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
def _bulk(mariadb: MariaDb, database: str) -> Iterator[pymysql.cursors.Cursor]:
    """A session whose inserts into an empty table are sorted and built page by page."""
    address = {"host": "127.0.0.1", "port": mariadb.port, "user": "root", "database": database}
    with (
        closing(pymysql.connect(**address, autocommit=True, read_timeout=_TIMEOUT_SECONDS)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SET SESSION unique_checks = 0, foreign_key_checks = 0, @filled_at = UTC_TIMESTAMP(6)")
        yield cursor
