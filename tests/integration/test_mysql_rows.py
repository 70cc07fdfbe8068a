"""Rows written as text or in bulk are what the driver's own binding stores, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal

import pymysql
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, Table, Text
from sqlalchemy.engine import make_url

from service.database import Database
from service.dialects import mariadb_bulk, mysql_run
from service.dialects.dialect import Rows, Statement
from service.dialects.mysql import MySql
from service.dialects.mysql_connection import MySqlConnection
from service.dialects.mysql_text import MAX_STATEMENT_BYTES, RowsStatement, TextStatements, texts
from service.entities.sql_types import exact_decimal, moment
from service.sql_errors import NoSuchTable
from tests.servers import MariaDb, database_of

COLUMNS = ("id", "text", "octets", "amount", "moment")
VALUES = Table(
    "nasty_values",
    MetaData(),
    Column("id", BigInteger, primary_key=True),
    Column("text", Text),
    Column("octets", LargeBinary),
    Column("amount", exact_decimal()),
    Column("moment", moment()),
)
_CREATE = (
    "CREATE TABLE nasty_values (id BIGINT PRIMARY KEY, text LONGTEXT, octets LONGBLOB, amount DECIMAL(18,4),"
    " moment DATETIME(6)) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
)

_READ = "SELECT id, text, octets, amount, moment FROM nasty_values ORDER BY id"

# What means something to SQL, to JSON, to a format string or to none of them.
QUOTES = ("'", '"', "`", "\\", "\\\\", "\\n", "\\u0041", "\\f")
CONTROLS = ("\n", "\r", "\t", "\b", "\f", "\x1a", "\x7f", "\x01", "\x85", "\u2028")
MARKS = ("]\n[", "),(", "%", "%s", ":x", "?", "--", "/*", "é", "\U0001f600", "NULL", "x'00'")
PIECES = st.sampled_from((*QUOTES, *CONTROLS, *MARKS))
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12) | st.lists(
    PIECES, max_size=8
).map("".join)
OCTETS = st.binary(max_size=12) | TEXTS.map(str.encode) | st.just(b"a\0b")
AMOUNTS = st.decimals(-(10**14) + 1, 10**14 - 1, places=4, allow_nan=False, allow_infinity=False)
MOMENTS = st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999_999))
ROWS = st.lists(
    st.tuples(st.none() | TEXTS, st.none() | OCTETS, st.none() | AMOUNTS, st.none() | MOMENTS),
    min_size=1,
    max_size=6,
)


@pytest.fixture(scope="module")
def values_url(mariadb: MariaDb) -> Iterator[str]:
    """A database with the table for nasty values."""
    url = mariadb.create_database()
    mariadb.execute(_CREATE, database_of(url))
    yield url
    mariadb.drop_database(database_of(url))


@pytest.fixture(scope="module")
def connection(values_url: str) -> Iterator[pymysql.Connection]:
    """A connection of the driver's own, told what the service tells its connections."""
    url = make_url(values_url)
    options = MySql().engine_options(None)["connect_args"]
    connection = pymysql.connect(
        host=url.host,
        port=url.port,
        user=url.username,
        password=url.password,
        database=url.database,
        charset="utf8mb4",
        autocommit=True,
        init_command=options["init_command"],
    )
    yield connection
    connection.close()


def stored(connection: pymysql.Connection, statements: Sequence[tuple[str, Rows | None]]) -> object:
    """What the table holds after `statements`, then emptied."""
    with connection.cursor() as cursor:
        for sql, rows in statements:
            if rows is None:
                cursor.execute(sql)
            else:
                cursor.executemany(sql, rows)
        cursor.execute(_READ)
        found = cursor.fetchall()
        cursor.execute("DELETE FROM nasty_values")
    return found


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
@example(rows=[("\\", b"\\'", Decimal("-0.0001"), datetime(1000, 1, 1)), ("\\\f\\f", None, None, None)])
def test_text_stores_what_binding_stores(
    connection: pymysql.Connection, rows: list[tuple[object, ...]]
) -> None:
    """Every value byte for byte and digit for digit."""
    numbered = [(number, *row) for number, row in enumerate(rows)]
    written = [(text.decode(), None) for text in texts(inserting(numbered))]
    bound = [("INSERT INTO nasty_values VALUES (%s, %s, %s, %s, %s)", numbered)]
    assert stored(connection, written) == stored(connection, bound) == tuple(numbered)


@pytest.fixture(scope="module")
def in_bulk(values_url: str) -> Iterator[Callable[[Rows], Rows]]:
    """Writes rows as the service does, however few they are in bulk, and reads them as it does."""
    with asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patch:
        patch.setattr(mysql_run, "FEWEST_IN_BULK", 1)
        database = runner.run(opened(values_url))

        async def write(rows: Rows) -> Rows:
            async with database.transaction() as transaction:
                written, read = await transaction.run(inserting(rows), Statement(_READ))
                written.check()
                return read.rows

        yield lambda rows: runner.run(write(rows))
        runner.run(database.close())


async def opened(url: str) -> Database:
    """A database whose server takes rows in bulk."""
    database = Database(url, 1)
    async with database.engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert isinstance(driver, MySqlConnection)
        assert driver.takes_bulk
    return database


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, times=st.sampled_from((1, 2, 300)))
@example(rows=[("x" * 250, b"y" * 251, None, None), ("x" * 65_535, b"y" * 65_536, None, None)], times=1)
def test_bulk_stores_what_it_was_given(
    connection: pymysql.Connection,
    in_bulk: Callable[[Rows], Rows],
    rows: list[tuple[object, ...]],
    times: int,
) -> None:
    """Every value byte for byte and digit for digit: alone, in columns of equal values, at every length."""
    numbered = [(number, *row) for number, row in enumerate(rows * times)]
    read = in_bulk(numbered)
    assert stored(connection, []) == tuple(read) == tuple(numbered)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=st.lists(OCTETS.filter(bool), min_size=1, max_size=6, unique=True))
def test_a_list_of_ids_finds_just_these(connection: pymysql.Connection, ids: list[bytes]) -> None:
    """Whatever bytes they are."""
    rows = [(number, None, each, None, None) for number, each in enumerate(ids)]
    query = TextStatements().select_in((VALUES.c.octets,), VALUES.c.octets, ids[1:] or ids, lock=False)
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO nasty_values VALUES (%s, %s, %s, %s, %s)", rows)
        cursor.execute(_text(query))
        found = {octets for (octets,) in cursor.fetchall()}
        cursor.execute("DELETE FROM nasty_values")
    assert found == set(ids[1:] or ids)


async def test_the_service_sends_it_as_it_is(values_url: str) -> None:
    """Percent signs and colons are nobody's placeholders."""
    database = Database(values_url, 1)
    rows = [(1, "100 % :x %(y)s %s", b"%s", None, None)]
    async with database.transaction() as transaction:
        query = TextStatements().select_in((VALUES.c.text, VALUES.c.octets), VALUES.c.id, [1], lock=True)
        _, read, _ = await transaction.run(inserting(rows), query, Statement("DELETE FROM nasty_values"))
        assert [tuple(row) for row in read.rows] == [("100 % :x %(y)s %s", b"%s")]
    await database.close()


def test_a_long_batch_is_several_statements() -> None:
    """Each below the limit, in order, and none is missing; a row that is longer alone goes alone."""
    rows = [(number, "x" * 300_000, None, None, None) for number in range(5)]
    rows.append((5, "x" * (MAX_STATEMENT_BYTES + 1), None, None, None))
    written = [text.decode() for text in texts(inserting(rows))]
    lengths = [len(text) <= MAX_STATEMENT_BYTES + 100 for text in written]
    assert lengths == [True] * (len(written) - 1) + [False]
    assert [number for text in written for number in range(6) if f'({number},"x' in text] == list(range(6))


async def test_a_failure_nobody_looked_at_is_not_committed(values_url: str) -> None:
    """What was sent together is carried out together: the end of the transaction looks at every answer."""
    database = Database(values_url, 1)
    good, bad = inserting([(1, "kept?", None, None, None)]), Statement("SELECT nothing FROM nowhere")
    with pytest.raises(NoSuchTable):
        async with database.transaction() as transaction:
            await transaction.run(bad, good)
    async with database.transaction() as transaction:
        (read,) = await transaction.run(Statement("SELECT COUNT(*) FROM nasty_values"))
        assert [tuple(row) for row in read.rows] == [(0,)]
    await database.close()


def test_the_length_of_a_long_value_says_how_it_is_written() -> None:
    """As the protocol's lengths are: in one, two, three or eight bytes."""
    packers = [mariadb_bulk.packer_of(VALUES.c.octets)]
    heads = [mariadb_bulk.pack(packers, [(bytes(n),)])[:-n] for n in (250, 251, 65_535, 65_536, 1 << 24)]
    assert heads == [
        b"\0\xfa",
        b"\0\xfc\xfb\0",
        b"\0\xfc\xff\xff",
        b"\0\xfd\0\0\1",
        b"\0\xfe\0\0\0\1\0\0\0\0",
    ]


def inserting(rows: Rows) -> RowsStatement:
    """The service's INSERT of these rows."""
    return TextStatements().insert(VALUES, COLUMNS, rows)


def _text(statement: Statement) -> str:
    assert isinstance(statement.sql, str)
    return statement.sql
