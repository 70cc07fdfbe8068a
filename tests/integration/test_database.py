"""The engine against a real MariaDB: sessions, the pool, deadlines, and the names of errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pymysql
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from service import database as module
from service.core.errors import ConnectionLost, PermanentError, TemporaryError, Unavailable
from service.database import Database
from service.dialects.mysql_errors import translate
from service.dialects.registry import async_url
from service.sql_errors import DuplicateKey, NoSuchTable
from tests.servers import MariaDb, database_of


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, 2)
    yield database
    await database.close()


async def scalar(database: Database, query: str) -> object:
    async with database.transaction() as transaction:
        return (await transaction.execute(text(query))).scalar_one()


async def sessions(mariadb: MariaDb, url: str) -> int:
    """How many connections to this database the server has."""
    query = "SELECT COUNT(*) FROM information_schema.processlist WHERE db = %s"
    ((count,),) = await asyncio.to_thread(mariadb.execute, query, None, (database_of(url),))
    assert isinstance(count, int)
    return count


class TestSession:
    @pytest.mark.parametrize(
        ("variable", "expected"),
        [
            ("tx_isolation", "READ-COMMITTED"),
            ("time_zone", "+00:00"),
            ("innodb_lock_wait_timeout", 5),
            ("lock_wait_timeout", 5),
            ("wait_timeout", 20),
            ("max_statement_time", 7),
            ("character_set_client", "utf8mb4"),
            ("character_set_connection", "utf8mb4"),
            ("autocommit", 0),
        ],
    )
    async def test_a_connection_sets_what_the_promise_needs(
        self, database: Database, variable: str, expected: object
    ) -> None:
        """Whatever the server's own defaults are."""
        assert await scalar(database, f"SELECT @@{variable}") == expected

    async def test_a_connection_is_strict(self, database: Database) -> None:
        """A value that does not fit is an error, never cut."""
        modes = str(await scalar(database, "SELECT @@sql_mode")).split(",")
        assert {"STRICT_ALL_TABLES", "STRICT_TRANS_TABLES", "NO_ENGINE_SUBSTITUTION"} <= set(modes)


class TestTransaction:
    async def test_what_was_done_before_an_error_is_rolled_back(self, database: Database) -> None:
        """The connection is good for the next one."""
        await run(database, "CREATE TABLE t (id INT PRIMARY KEY)")
        with pytest.raises(DuplicateKey):
            await run(database, "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1)")
        assert await scalar(database, "SELECT COUNT(*) FROM t") == 0

    async def test_an_exception_of_the_caller_rolls_back_too(self, database: Database) -> None:
        """Whatever it is."""
        await run(database, "CREATE TABLE t (id INT PRIMARY KEY)")
        with pytest.raises(ZeroDivisionError):
            await fail_after(database, "INSERT INTO t VALUES (1)")
        assert await scalar(database, "SELECT COUNT(*) FROM t") == 0

    async def test_a_cancelled_transaction_leaves_no_lock_and_no_connection(
        self, database: Database, mariadb: MariaDb, database_url: str
    ) -> None:
        """Its connection is closed, never pooled again: nobody knows what it is in the middle of."""
        await run(database, "CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)")
        before = await scalar(database, "SELECT CONNECTION_ID()")
        started = asyncio.Event()

        async def hold() -> None:
            async with database.transaction() as transaction:
                await transaction.execute(text("SELECT id FROM t FOR UPDATE"))
                started.set()
                await transaction.execute(text("SELECT SLEEP(15)"))

        holding = asyncio.create_task(hold())
        await started.wait()
        holding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holding
        assert database.in_use == 0
        assert await scalar(database, "SELECT CONNECTION_ID()") != before
        mariadb.execute(f"KILL {before}")  # SLEEP does not look whether its client is still there
        assert await scalar(database, "SELECT id FROM t FOR UPDATE") == 1

    async def test_a_statement_without_an_answer_is_given_up_before_the_transaction_is(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Statements that answer have all of the transaction's time; silence has a bound of its own."""
        monkeypatch.setattr("service.database.STATEMENT_SECONDS", 0.4)
        async with database.transaction(30) as transaction:
            for _ in range(3):
                await transaction.execute(text("SELECT SLEEP(0.2)"))
        with pytest.raises(ConnectionLost, match="no answer in time"):
            async with database.transaction(30) as transaction:
                await transaction.execute(text("SELECT SLEEP(2)"))

    async def test_a_silent_server_is_given_up(self, database: Database) -> None:
        """After the deadline, as an unknown outcome; the pool is whole."""
        with pytest.raises(ConnectionLost, match=r"no answer in time"):
            async with database.transaction(0.3) as transaction:
                await transaction.execute(text("SELECT SLEEP(2)"))
        assert database.in_use == 0
        assert await asyncio.gather(*(scalar(database, "SELECT 1") for _ in range(4))) == [1] * 4

    async def test_a_killed_connection_is_lost_once(self, database: Database, mariadb: MariaDb) -> None:
        """The next transaction has a fresh one."""
        killed = await scalar(database, "SELECT CONNECTION_ID()")
        mariadb.execute(f"KILL {killed}")
        with pytest.raises(ConnectionLost):
            await scalar(database, "SELECT 1")
        assert await scalar(database, "SELECT 1") == 1

    async def test_a_connection_that_lay_idle_is_renewed(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Before the server drops it."""
        first = await scalar(database, "SELECT CONNECTION_ID()")
        assert await scalar(database, "SELECT CONNECTION_ID()") == first
        monkeypatch.setattr(module, "POOL_IDLE_SECONDS", 0.0)
        assert await scalar(database, "SELECT CONNECTION_ID()") != first

    async def test_statements_are_counted_as_they_are_sent(self, database_url: str) -> None:
        """COMMIT included."""
        sent: list[int] = []
        waits: list[float] = []
        counted = Database(database_url, 1, on_statement=lambda: sent.append(1), on_wait=waits.append)
        await run(counted, "SELECT 1", "SELECT 2")
        assert (len(sent), len(waits)) == (3, 1)
        await counted.close()


async def run(database: Database, *statements: str) -> None:
    async with database.transaction() as transaction:
        for statement in statements:
            await transaction.execute(text(statement))


async def fail_after(database: Database, statement: str) -> None:
    async with database.transaction() as transaction:
        await transaction.execute(text(statement))
        raise ZeroDivisionError


class TestPool:
    async def test_never_more_connections_than_the_pool_has(
        self, database: Database, mariadb: MariaDb, database_url: str
    ) -> None:
        """Whoever finds none waits; counted on the server."""
        work = asyncio.gather(*(scalar(database, "SELECT SLEEP(0.05)") for _ in range(20)))
        seen = []
        while not work.done():
            seen.append(await sessions(mariadb, database_url))
            await asyncio.sleep(0.02)
        assert await work == [0] * 20
        assert max(seen) == 2
        assert (database.in_use, database.in_use_peak) == (0, 2)

    async def test_a_server_that_refuses_is_unavailable(self) -> None:
        """At once, without the address or the account in the text."""
        nowhere = Database("mysql://someone:s3cret@127.0.0.1:1/there", 1)
        with pytest.raises(Unavailable) as raised:
            await nowhere.ping()
        assert "s3cret" not in str(raised.value)
        assert "someone" not in str(raised.value)
        assert raised.value.part == "database"

    async def test_a_wrong_password_is_waited_for(self, database_url: str) -> None:
        """It may be a rotation in the middle."""
        wrong = Database(database_url.replace(":upsertd@", ":s3cret@"), 1)
        with pytest.raises(Unavailable) as raised:
            await wrong.ping()
        assert "s3cret" not in str(raised.value)
        await wrong.close()


class TestNames:
    @pytest.mark.parametrize("code", [1048, 1264, 1265, 1292, 1366, 1406, 1452, 3140, 3819, 4025])
    def test_the_closed_list_is_permanent(self, code: int) -> None:
        """Nothing else ever makes a dead letter."""
        error = translate(server_error(code))
        assert isinstance(error, PermanentError)
        assert error.error_class

    @pytest.mark.parametrize("code", [1205, 1213, 1020])
    def test_a_few_are_temporary(self, code: int) -> None:
        """The same transaction again."""
        assert type(translate(server_error(code))) is TemporaryError

    @pytest.mark.parametrize("code", [0, 1153, 2006, 2013])
    def test_lost_connections_leave_the_outcome_open(self, code: int) -> None:
        """Before or after COMMIT, nobody knows."""
        assert type(translate(server_error(code))) is ConnectionLost

    @pytest.mark.parametrize(
        "code", [1021, 1040, 1044, 1045, 1053, 1054, 1114, 1146, 1203, 1226, 1290, 1927, 1969, 9999]
    )
    def test_everything_else_is_waited_for(self, code: int) -> None:
        """However often it comes."""
        assert type(translate(server_error(code))) in (Unavailable, NoSuchTable)

    @pytest.mark.parametrize(
        ("code", "message", "place"),
        [
            (1406, "Data too long for column 'name' at row 3", "name"),
            (1048, "Column 'status' cannot be null", "status"),
            (1264, "Out of range value for column 'stock_quantity' at row 1", "stock_quantity"),
            (1366, "Incorrect decimal value: 's3cret' for column `db`.`orders`.`total` at row 1", "total"),
            (
                4025,
                "CONSTRAINT `ck_customers_address_json` failed for `db`.`customers`",
                "ck_customers_address_json",
            ),
            (1062, "Duplicate entry 's3cret' for key 'uq_email'", "uq_email"),
            (1062, "Duplicate entry 'for key 's3cret'' for key 'PRIMARY'", "PRIMARY"),
            (1062, "Duplicate entry 'Column 's3cret' cannot be null' for key 'k'", "k"),
            (
                1366,
                "Incorrect string value: 'for column 's3cret' at row 1' for column 'name' at row 1",
                "name",
            ),
        ],
    )
    def test_the_place_is_named_and_values_are_not(self, code: int, message: str, place: str) -> None:
        """Also where a value looks like a place (I9)."""
        error = translate(DBAPIError("INSERT", None, pymysql.err.DataError(code, message)))
        assert str(error) == f"SQL error {code} ({place})"

    def test_a_triggers_words_are_not_repeated(self) -> None:
        """They are its author's, and look like a place only by chance."""
        message = "no such customer for key 's3cret'"
        error = translate(DBAPIError("INSERT", None, pymysql.err.OperationalError(1644, message)))
        assert str(error) == "SQL error 1644"

    def test_a_message_without_a_place_is_its_code(self) -> None:
        """Nothing of the text is repeated."""
        error = translate(DBAPIError("INSERT", None, pymysql.err.DataError(1406, "s3cret")))
        assert str(error) == "SQL error 1406"


def server_error(code: int) -> DBAPIError:
    return DBAPIError("INSERT", None, pymysql.err.OperationalError(code, "s3cret"))


@pytest.mark.parametrize(
    "url",
    ["mysql://u:p@h/d", "mariadb://u:p@h/d", "mysql+aiomysql://u:p@h/d", "mysql://u:p@h/d?charset=latin1"],
)
def test_every_spelling_is_the_same_driver(url: str) -> None:
    """Always with utf8mb4."""
    assert async_url(url).render_as_string(hide_password=False) == "mysql+aiomysql://u:p@h/d?charset=utf8mb4"
