"""Statements on their way to MySQL and MariaDB: sent together, many rows in bulk where the server takes that.

`mysql` calls `run` with the connection that SQLAlchemy's pool has given out and in whose transaction it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

from pymysql.err import MySQLError
from sqlalchemy import Table
from sqlalchemy.dialects.mysql import aiomysql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import Executable

from service.core.errors import UpsertdError
from service.dialects import mariadb_bulk, mysql_text
from service.dialects.dialect import Answer, Pulse, Rows, Statement
from service.dialects.mysql_connection import Bulk, Heard, MySqlConnection, Query
from service.dialects.mysql_text import MAX_STATEMENT_BYTES, RowsStatement

# Fewer rows are sent as text: the client reads what the server says of a prepared statement in the time that
# both need for some fifty rows as text.
FEWEST_IN_BULK = 64

_DIALECT = aiomysql.dialect(paramstyle="format")


async def run(
    connection: AsyncConnection,
    statements: Sequence[Statement],
    pulse: Pulse,
    translate: Callable[[DBAPIError], UpsertdError],
) -> list[Answer]:
    """See `Dialect.run`."""
    driver = await _driver_of(connection)
    commands = [list(_commands(statement, driver)) for statement in statements]
    for _ in range(sum(map(len, commands))):
        pulse.sent()
    try:
        heard = iter(await driver.exchange([each for several in commands for each in several], pulse.heard))
    except MySQLError as error:
        raise _wrapped(error) from error
    return [_answer(list(islice(heard, len(several))), translate) for several in commands]


async def _driver_of(connection: AsyncConnection) -> MySqlConnection:
    driver = (await connection.get_raw_connection()).driver_connection
    if not isinstance(driver, MySqlConnection):
        raise TypeError(f"not a connection of ours: {type(driver).__name__}")
    return driver


def _answer(heard: Sequence[Heard | MySQLError], translate: Callable[[DBAPIError], UpsertdError]) -> Answer:
    """The answer to one statement, which may have been sent as several."""
    rows: list[Sequence[object]] = []
    count = 0
    for each in heard:
        if isinstance(each, MySQLError):
            return Answer(error=translate(_wrapped(each)))
        rows += each.rows
        count += each.found
    return Answer(rows, count)


def _wrapped(error: MySQLError) -> DBAPIError:
    """As SQLAlchemy raises it, without the statement, which holds values."""
    return DBAPIError(None, None, error)


def _commands(statement: Statement, driver: MySqlConnection) -> Iterator[Query | Bulk]:
    if isinstance(statement, RowsStatement):
        if driver.takes_bulk and len(statement.rows) >= FEWEST_IN_BULK:
            yield from _in_bulk(statement, statement.rows)
        else:
            yield from map(Query, mysql_text.texts(statement))
    else:
        sql = (
            statement.sql
            if isinstance(statement.sql, str)
            else _bound(statement.sql, statement.parameters, driver)
        )
        yield Query(sql.encode())


def _in_bulk(statement: RowsStatement, rows: Rows) -> Iterator[Bulk]:
    """All rows, or each half of them where that is too long."""
    types, packers = _shape(statement.table, statement.columns)
    packed = mariadb_bulk.pack(packers, rows)
    if len(packed) <= MAX_STATEMENT_BYTES or len(rows) == 1:
        yield Bulk(str(statement.sql).encode(), types, packed)
    else:
        middle = len(rows) // 2
        yield from _in_bulk(statement, rows[:middle])
        yield from _in_bulk(statement, rows[middle:])


@lru_cache(maxsize=512)
def _shape(table: Table, columns: tuple[str, ...]) -> tuple[bytes, list[mariadb_bulk.Packer]]:
    used = [table.c[name] for name in columns]
    return b"".join(map(mariadb_bulk.type_of, used)), list(map(mariadb_bulk.packer_of, used))


def _bound(statement: Executable, given: object, driver: MySqlConnection) -> str:
    """What SQLAlchemy compiles, with its parameters written by the driver."""
    compiled = _compiled(statement)
    values = compiled.construct_params(given)
    written = tuple(driver.literal(values[name]) for name in compiled.positiontup)
    return str(compiled) % written


@lru_cache(maxsize=64)
def _compiled(statement: Any) -> Any:
    # Only statements that are built once come here.
    return statement.compile(dialect=_DIALECT)
