"""SQLite: sessions, who waits for whom, what a lost caller leaves behind, the names of errors, migrations."""

from __future__ import annotations

import asyncio
import logging
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from alembic import command
from alembic.util import CommandError
from sqlalchemy import BigInteger, Column, MetaData, Table, Text, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from migrations import alembic_config, revisions
from service import bookkeeping
from service.__main__ import main
from service.bookkeeping import processed_events
from service.core.errors import ConnectionLost, FenceLost, PermanentError, TemporaryError, Unavailable
from service.core.types import Outcome, Partition
from service.database import Database
from service.dialects import sqlite as dialect
from service.dialects import sqlite_connections as connections
from service.dialects.registry import async_url
from service.entities import entity
from service.sql_errors import DuplicateKey, NoSuchTable
from service.stores.dead_letters import count_by_status
from service.stores.positions import Target, reset_position
from tests.building import CUSTOMERS, NOON, event, letter, position, record, work
from tests.contracts.sink_worlds import GROUP, SqlWorld, claimed, outcomes, write
from tests.servers import Kafka

# Runs for minutes, in one step.
COUNTING = "WITH RECURSIVE n(i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n)"
ENDLESS = f"{COUNTING} SELECT COUNT(*) FROM n"
LARGE = "INSERT INTO t VALUES (1, hex(zeroblob(100000)))"
WRITE = "INSERT INTO t VALUES (1, 'x')"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that is not there yet."""
    return tmp_path / "shop.db"


@pytest.fixture
def url(file: Path) -> str:
    return f"sqlite:///{file}"


@pytest_asyncio.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """A pool of three connections, and a table `t`."""
    database = Database(url, 3)
    await run(database, "CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT NOT NULL)")
    yield database
    await database.close()


@pytest_asyncio.fixture
async def world(url: str) -> AsyncIterator[SqlWorld]:
    """A migrated file and a sink."""
    await asyncio.to_thread(command.upgrade, alembic_config(url), "head")
    world = SqlWorld(url, 5)
    yield world
    await world.database.close()


async def run(database: Database, *statements: str) -> None:
    async with database.transaction() as transaction:
        for statement in statements:
            await transaction.execute(text(statement))


async def scalar(database: Database, query: str) -> object:
    async with database.transaction() as transaction:
        return (await transaction.execute(text(query))).scalar_one()


@contextmanager
def another_process(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection of somebody else, who waits for no lock."""
    with closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as connection:
        yield connection


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Somebody else writes, and takes long."""
    with another_process(file) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


def is_free(file: Path) -> bool:
    """Whether nobody holds the write lock."""
    with another_process(file) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        return True


class TestSession:
    @pytest.mark.parametrize(
        ("pragma", "expected"), [("journal_mode", "wal"), ("synchronous", 2), ("busy_timeout", 1000)]
    )
    async def test_a_connection_sets_what_the_promise_needs(
        self, database: Database, pragma: str, expected: object
    ) -> None:
        """A log that readers need not wait for, and a commit that a power cut does not undo."""
        assert await scalar(database, f"PRAGMA {pragma}") == expected

    async def test_a_new_file_that_is_written_is_waited_for(self, file: Path, url: str) -> None:
        """Switching the log on fails at once then: SQLite does not wait there."""
        database = Database(url, 1)
        with locked(file):
            opening = asyncio.create_task(database.ping())
            await asyncio.sleep(0.1)
            assert not opening.done()
        await opening
        await database.close()

    async def test_a_file_without_a_folder_is_unavailable(self, tmp_path: Path) -> None:
        """It may be a disk that is mounted later."""
        nowhere = Database(f"sqlite:///{tmp_path}/nowhere/shop.db", 1)
        with pytest.raises(Unavailable, match=r"^cannot connect: SQLITE_CANTOPEN$"):
            await nowhere.ping()

    def test_another_file_is_no_database(self, file: Path, url: str) -> None:
        """And stays as it is."""
        file.write_text("s3cret " * 1000)
        with pytest.raises(Unavailable, match=r"^cannot connect: SQLITE_NOTADB$"):
            asyncio.run(Database(url, 1).ping())
        assert file.read_text() == "s3cret " * 1000


class TestLocks:
    async def test_a_transaction_that_writes_holds_the_lock_from_its_first_statement(
        self, database: Database, file: Path
    ) -> None:
        """Whatever that statement finds; and gives it back at the end."""
        async with database.transaction() as transaction:
            await transaction.execute(text("UPDATE t SET name = 'x' WHERE id = 9"))
            assert not is_free(file)
        assert is_free(file)

    async def test_a_transaction_that_reads_holds_none(self, database: Database, file: Path) -> None:
        """And sees one state of the tables, whoever writes meanwhile."""
        async with database.transaction() as transaction:
            query = text("SELECT COUNT(*) FROM t")
            assert (await transaction.execute(query)).scalar_one() == 0
            assert is_free(file)
            await run(database, WRITE)
            assert (await transaction.execute(query)).scalar_one() == 0
        assert await scalar(database, "SELECT COUNT(*) FROM t") == 1

    async def test_who_reads_for_update_holds_it(self, world: SqlWorld, file: Path) -> None:
        """Or a write after the read would fail whenever somebody had written in between."""
        async with world.database.transaction() as transaction:
            await transaction.execute(select(processed_events).with_for_update())
            assert not is_free(file)

    async def test_reads_and_pings_do_not_wait_for_a_writer(self, world: SqlWorld) -> None:
        """They see what was committed before."""
        stored = position(5)
        await world.sink.claim(CUSTOMERS, None, stored)
        async with world.database.transaction() as transaction:
            await transaction.execute(text("UPDATE consumer_positions SET next_offset = 99"))
            async with asyncio.timeout(1):
                await world.sink.ping()
                assert await world.sink.position(CUSTOMERS) == stored
                assert await count_by_status(world.database) == {}

    async def test_writers_of_a_pool_queue_up(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """None of them ever finds the lock taken: there is no wait in SQLite, and no error."""
        monkeypatch.setattr(connections, "BUSY_SECONDS", 0.0)
        monkeypatch.setattr(connections, "LOCK_WAIT_SECONDS", 0.0)
        pool = Database(str(database.engine.url), 5)

        async def lane(number: int) -> None:
            for step in range(20):
                await run(pool, f"INSERT INTO t VALUES ({100 * number + step}, 'x')")

        await asyncio.gather(*(lane(number) for number in range(8)))
        assert await scalar(pool, "SELECT COUNT(*) FROM t") == 160
        assert (pool.in_use, pool.in_use_peak) == (0, 5)
        await pool.close()

    async def test_who_queues_in_vain_is_told_that_it_is_busy(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And keeps nobody after it from writing."""
        monkeypatch.setattr(connections, "QUEUE_SECONDS", 0.05)
        async with database.transaction() as transaction:
            await transaction.execute(text(WRITE))
            with pytest.raises(Unavailable, match="busy with the writes of other lanes"):
                await run(database, WRITE)
        await run(database, "INSERT INTO t VALUES (2, 'x')")

    async def test_another_process_is_waited_for(self, database: Database, file: Path) -> None:
        """For seconds."""
        with locked(file):
            waiting = asyncio.create_task(run(database, WRITE))
            await asyncio.sleep(0.1)
            assert not waiting.done()
        await waiting

    async def test_a_lock_that_stays_is_the_databases_fault(
        self, world: SqlWorld, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither the batch nor the claim is."""
        monkeypatch.setattr(connections, "LOCK_WAIT_SECONDS", 0.0)
        held = await claimed(world)
        with locked(file):
            for attempt in (
                world.sink.apply(work(event(0)), held),
                world.sink.claim(CUSTOMERS, position(0), position(9)),
            ):
                with pytest.raises(Unavailable, match="position is locked: SQLITE_BUSY"):
                    await attempt
        assert (await write(world, held, event(0)))[0] == [Outcome.APPLIED]

    async def test_a_reset_goes_through_while_lanes_write(self, world: SqlWorld) -> None:
        """It reads the row before it writes it."""
        stopping = asyncio.Event()

        async def lane(number: int) -> None:
            held = await claimed(world, Partition("customers", number))
            offset = 0
            while not stopping.is_set():
                _, held = await write(world, held, event(offset, partition=held.partition))
                offset += 1

        lanes = [asyncio.create_task(lane(number)) for number in range(1, 4)]
        for _ in range(20):
            await reset_position(world.database, GROUP, Target(CUSTOMERS, 3, "c"), lambda: NOON)
        stopping.set()
        await asyncio.gather(*lanes)


class TestRivals:
    """Two pools on one file, as two processes have them."""

    @pytest_asyncio.fixture
    async def rival(self, world: SqlWorld, url: str) -> AsyncIterator[SqlWorld]:
        rival = SqlWorld(url, 2)
        yield rival
        await rival.database.close()

    async def test_a_new_claim_fences_the_former_owner(self, world: SqlWorld, rival: SqlWorld) -> None:
        """What it still writes is turned away."""
        held = await claimed(world)
        seen = await rival.sink.position(CUSTOMERS)
        assert seen is not None
        assert await rival.sink.claim(CUSTOMERS, seen, position(0, claim_id="f" * 32, epoch=2))
        with pytest.raises(FenceLost):
            await world.sink.apply(work(event(0)), held)

    async def test_of_two_that_apply_the_same_batch_one_does(self, world: SqlWorld, rival: SqlWorld) -> None:
        """Twenty times, at the same time, under one claim."""
        held = await claimed(world)
        for offset in range(20):
            batch = work(event(offset, offset + 1))
            tried = await asyncio.gather(
                *(each.sink.apply(batch, held) for each in (world, rival)), return_exceptions=True
            )
            assert sorted(type(each).__name__ for each in tried) == ["FenceLost", "Written"]
            held = held.moved_to(offset + 1)
        assert len((await world.stored()).marks) == 20

    async def test_copies_in_two_partitions_are_applied_once(self, world: SqlWorld, rival: SqlWorld) -> None:
        """Each pool has a partition, both have every event."""

        async def lane(own: SqlWorld, number: int) -> list[Outcome]:
            held, got = await claimed(own, Partition("customers", number)), []
            for offset in range(30):
                copy = event(offset, offset + 1, event_id=b"%d" % offset, partition=held.partition)
                outcome, held = await write(own, held, copy)
                got += outcome
            return got

        got = await asyncio.gather(lane(world, 1), lane(rival, 2))
        assert [sorted(each) for each in zip(*got, strict=True)] == [["applied", "duplicate"]] * 30


class TestLostCallers:
    @pytest.mark.parametrize(
        "statement",
        [
            pytest.param(ENDLESS, id="read"),
            pytest.param(f"INSERT INTO t {COUNTING} SELECT i, 'x' FROM n", id="write"),
            pytest.param(f"{COUNTING} SELECT i FROM n", id="fetch"),
        ],
    )
    async def test_a_cancelled_transaction_leaves_no_lock(
        self, database: Database, file: Path, statement: str
    ) -> None:
        """Its statement is broken off in the driver's thread, and nothing of it is written later."""
        started = asyncio.Event()

        async def hold() -> None:
            async with database.transaction() as transaction:
                await transaction.execute(text(WRITE))
                started.set()
                await transaction.execute(text(statement))

        holding = asyncio.create_task(hold())
        await started.wait()
        await asyncio.sleep(0.05)
        holding.cancel()
        async with asyncio.timeout(1):
            with pytest.raises(asyncio.CancelledError):
                await holding
        assert is_free(file)
        assert database.in_use == 0
        async with asyncio.timeout(1):
            await run(database, "INSERT INTO t VALUES (2, 'x')")
        assert await scalar(database, "SELECT group_concat(id) FROM t") == "2"

    async def test_a_statement_that_takes_too_long_is_given_up(self, database: Database, file: Path) -> None:
        """As an unknown outcome, without a lock."""

        async def take_long() -> None:
            async with database.transaction(0.2) as transaction:
                await transaction.execute(text(WRITE))
                await transaction.execute(text(ENDLESS))

        with pytest.raises(ConnectionLost, match="no answer in time"):
            await take_long()
        assert is_free(file)
        assert await scalar(database, "SELECT COUNT(*) FROM t") == 0

    async def test_who_is_cancelled_in_the_queue_takes_no_place(self, database: Database) -> None:
        """The one behind it is next."""
        async with database.transaction() as transaction:
            await transaction.execute(text(WRITE))
            waiting = [asyncio.create_task(run(database, f"INSERT INTO t VALUES ({n}, 'x')")) for n in (2, 3)]
            await asyncio.sleep(0.05)
            waiting[0].cancel()
        await waiting[1]
        assert await scalar(database, "SELECT group_concat(id) FROM t") == "1,3"

    async def test_who_is_cancelled_waiting_for_another_process_is_gone(
        self, database: Database, file: Path
    ) -> None:
        """After a second; the lock is never taken for it."""
        with locked(file):
            waiting = asyncio.create_task(run(database, WRITE))
            await asyncio.sleep(0.1)
            waiting.cancel()
            started = time.monotonic()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert time.monotonic() - started < 2
        assert is_free(file)
        await run(database, "INSERT INTO t VALUES (2, 'x')")

    async def test_a_cursor_that_is_kept_keeps_no_lock(self, database: Database, file: Path) -> None:
        """Rows that nobody has fetched would hold a closed connection's transaction open."""
        connection = await database.engine.connect()
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        await connection.execute(text(WRITE))
        kept = await driver.execute("SELECT 1 UNION SELECT 2")
        await connection.invalidate()
        assert is_free(file)
        await connection.close()
        del kept


class TestNames:
    @pytest.mark.parametrize(
        ("statement", "error", "told"),
        [
            ("INSERT INTO t VALUES (1, 's3cret')", DuplicateKey, "SQLITE_CONSTRAINT_PRIMARYKEY (t.id)"),
            ("INSERT INTO t VALUES (2, NULL)", PermanentError, "SQLITE_CONSTRAINT_NOTNULL (t.name)"),
            ("INSERT INTO c VALUES ('s3cret')", PermanentError, "SQLITE_CONSTRAINT_CHECK (ck_c)"),
            ("INSERT INTO t VALUES (2, zeroblob(2000000000))", PermanentError, "SQLITE_TOOBIG"),
            ("SELECT * FROM nowhere", NoSuchTable, "SQLITE_ERROR (no such table: nowhere)"),
            ("SELECT absent FROM t", Unavailable, "SQLITE_ERROR (no such column: absent)"),
            ("INSERT INTO t (id, absent) VALUES (2, 1)", Unavailable, "SQLITE_ERROR (t.absent)"),
            ("INSERT INTO t VALUES ('s3cret' s3cret)", Unavailable, "SQLITE_ERROR"),
            ("INSERT INTO s VALUES (1)", Unavailable, "SQLITE_CONSTRAINT_TRIGGER"),
        ],
    )
    async def test_an_error_is_told_by_code_and_place(
        self, database: Database, statement: str, error: type[Exception], told: str
    ) -> None:
        """Never with a value (I9)."""
        await run(
            database,
            "INSERT INTO t VALUES (1, 'x')",
            "CREATE TABLE c (a TEXT CONSTRAINT ck_c CHECK (length(a) < 3))",
            "CREATE TABLE s (a TEXT)",
            "CREATE TRIGGER r BEFORE INSERT ON s BEGIN "
            "SELECT RAISE(ABORT, 'no such table: s3cret s3cret'); END",
        )
        with pytest.raises(error) as raised:
            await run(database, statement)
        assert type(raised.value) is error
        assert str(raised.value) == told

    async def test_a_full_disk_is_waited_for(self, database: Database) -> None:
        """With its code, and nothing is half written."""
        pages = await scalar(database, "PRAGMA page_count")
        with pytest.raises(Unavailable) as raised:
            await run(
                database,
                f"PRAGMA max_page_count = {pages}",
                "INSERT INTO t VALUES (1, hex(zeroblob(100000)))",
            )
        assert raised.value.code == "SQLITE_FULL"
        assert await scalar(database, "SELECT COUNT(*) FROM t") == 0

    async def test_a_file_that_cannot_be_written_is_waited_for(self, database: Database) -> None:
        """It may be a mount that went read-only."""
        with pytest.raises(Unavailable) as raised:
            await run(database, "PRAGMA query_only = 1", WRITE)
        assert raised.value.code == "SQLITE_READONLY"

    async def test_inserting_once_passes_over_known_keys_alone(self, database: Database) -> None:
        """What is wrong with a row for another reason is still an error."""
        table = Table("t", MetaData(), Column("id", BigInteger, primary_key=True), Column("name", Text))

        async def insert_once(*rows: tuple[object, ...]) -> None:
            async with database.transaction() as transaction:
                await transaction.write(database.dialect.insert_once(table, ("id", "name"), rows))

        await insert_once((1, "x"))
        await insert_once((1, "y"), (2, "y"))
        with pytest.raises(PermanentError, match="SQLITE_CONSTRAINT_NOTNULL"):
            await insert_once((3, None))
        assert await scalar(database, "SELECT group_concat(id || name) FROM t") == "1x,2y"

    async def test_a_write_after_a_read_that_was_overtaken_is_tried_again(self, database: Database) -> None:
        """The snapshot is old; only a transaction that begins anew may write."""

        async def read_then_write() -> None:
            async with database.transaction() as transaction:
                await transaction.execute(text("SELECT COUNT(*) FROM t"))
                await run(database, WRITE)
                await transaction.execute(text("INSERT INTO t VALUES (2, 'x')"))

        with pytest.raises(TemporaryError, match="SQLITE_BUSY_SNAPSHOT"):
            await read_then_write()
        assert await scalar(database, "SELECT COUNT(*) FROM t") == 1


class TestLoad:
    async def test_the_largest_batch_is_one_transaction(self, world: SqlWorld) -> None:
        """10,000 ids fit into one statement, whatever has to be found, locked, written or closed."""
        held = await claimed(world)
        first = [event(offset, offset + 1, name="x") for offset in range(10_000)]
        got, held = await write(world, held, *first)
        assert got == [Outcome.APPLIED] * 10_000
        again = [event(offset, offset - 9_999, name="y") for offset in range(10_000, 20_000)]
        assert outcomes(await world.sink.apply(work(*again), held)) == [Outcome.APPLIED] * 10_000


class TestMigrations:
    def migrate(self, url: str) -> None:
        command.upgrade(alembic_config(url), "head")

    def made(self, file: Path) -> dict[str, str]:
        """The statement that made each table and index."""
        with another_process(file) as connection:
            return dict(
                connection.execute(
                    "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
                )
            )

    def test_there_and_back_and_there_again(self, file: Path, url: str) -> None:
        """Up makes every table, down leaves none, up again works."""
        self.migrate(url)
        first = self.made(file)
        command.downgrade(alembic_config(url), "base")
        assert set(self.made(file)) == {"alembic_version"}
        self.migrate(url)
        assert self.made(file) == first

    def test_the_migrations_make_what_the_code_declares(self, file: Path, url: str, tmp_path: Path) -> None:
        """Autogenerate finds nothing to do, and the statements are the same."""
        self.migrate(url)
        command.check(alembic_config(url))
        asyncio.run(create_all(f"sqlite:///{tmp_path}/declared.db"))
        declared = {**self.made(tmp_path / "declared.db"), "alembic_version": ""}
        assert set(self.made(file)) == set(declared)
        for name in declared.keys() - {"alembic_version"}:
            assert clauses(self.made(file)[name]) == clauses(declared[name])

    def test_a_migration_that_fails_leaves_nothing(
        self, file: Path, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is one transaction."""
        real = sqlite3.connect

        def refuse_letters(file: str, **options: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = real(file, **options)
            connection.set_authorizer(
                lambda action, name, *_: int(action == sqlite3.SQLITE_CREATE_TABLE and name == "dead_letters")
            )
            return connection

        with monkeypatch.context() as patch:
            patch.setattr(sqlite3, "connect", refuse_letters)
            with pytest.raises(DBAPIError, match="not authorized"):
                self.migrate(url)
        assert self.made(file) == {}
        self.migrate(url)
        assert "dead_letters" in self.made(file)

    async def test_replicas_that_migrate_at_once_wait_for_each_other(self, file: Path, url: str) -> None:
        """While one holds the lock, the other has not begun."""
        with another_process(file) as first:
            first.execute("BEGIN IMMEDIATE")
            other = asyncio.create_task(asyncio.to_thread(self.migrate, url))
            await asyncio.sleep(1.5)
            assert not other.done()
            assert self.made(file) == {}
        await other
        with another_process(file) as reader:
            assert reader.execute("SELECT version_num FROM alembic_version").fetchall() == [(revisions()[0],)]

    def test_a_migration_does_not_wait_for_ever(
        self, file: Path, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It says what it has been waiting for."""
        monkeypatch.setattr(dialect, "MIGRATION_LOCK_SECONDS", 0)
        monkeypatch.setattr(dialect, "BUSY_SECONDS", 0)
        with locked(file), pytest.raises(CommandError, match="another migration has been running"):
            self.migrate(url)


class TestCommands:
    @pytest.fixture(autouse=True)
    def environment(
        self, kafka: Kafka, topic: str, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[None]:
        """The settings, and the process's log as it was."""
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap,
            "KAFKA_GROUP_ID": GROUP,
            "KAFKA_TOPIC_CUSTOMERS": topic,
            "KAFKA_TOPIC_PRODUCTS": "",
            "KAFKA_TOPIC_ORDERS": "",
            "DATABASE_URL": url,
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("REDIS_URL", raising=False)
        handlers = logging.getLogger().handlers[:]
        yield
        logging.getLogger().handlers[:] = handlers
        logging.captureWarnings(False)

    def shown(self, capsys: pytest.CaptureFixture[str], arguments: str, code: int = 0) -> str:
        """What a command that ends with `code` prints: on stdout or on stderr, never on both."""
        assert main(arguments.split()) == code
        output = capsys.readouterr()
        assert not (output.out and output.err)
        return output.out or output.err

    def test_a_file_is_migrated_once(self, capsys: pytest.CaptureFixture[str], url: str) -> None:
        """And every part is well then, the file by its path."""
        assert self.shown(capsys, "migrate").startswith("migrated from nothing to ")
        assert self.shown(capsys, "migrate").startswith("nothing to do")
        lines = self.shown(capsys, "check").splitlines()
        assert lines[0].split() == ["ok", "database", url.removeprefix("sqlite:///")]
        assert all(line.startswith("ok ") for line in lines)

    def test_operators_see_positions_and_letters(self, capsys: pytest.CaptureFixture[str], url: str) -> None:
        """Those of the file."""
        self.shown(capsys, "migrate")

        async def bury_one() -> None:
            world = SqlWorld(url)
            await world.sink.apply(work(letter(record(3))), await claimed(world, at=3))
            await world.database.close()

        asyncio.run(bury_one())
        assert "dead" in self.shown(capsys, "dead-letters list")
        assert "SchemaViolation" in self.shown(capsys, "dead-letters show 1")
        assert "customers" in self.shown(capsys, "positions")

    def test_a_schema_that_is_missing_is_told(self, capsys: pytest.CaptureFixture[str]) -> None:
        """In words to act on."""
        told = "upsertd: database: a table is missing: run `upsertd migrate` (no such table)\n"
        assert self.shown(capsys, "dead-letters list", code=1) == told

    def test_a_folder_that_is_missing_is_told(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In one line."""
        monkeypatch.setenv("DATABASE_URL", "sqlite:////nowhere/at/all.db")
        assert self.shown(capsys, "migrate", code=1) == (
            "upsertd: database: the file in DATABASE_URL cannot be opened: is its folder there, and ours to"
            " write? (SQLITE_CANTOPEN)\n"
        )


async def create_all(url: str) -> None:
    """Make the tables without the migrations."""
    engine = create_async_engine(async_url(url))
    async with engine.begin() as connection:
        for metadata in (entity.metadata, bookkeeping.metadata):
            await connection.run_sync(metadata.create_all)
    await engine.dispose()


def clauses(statement: str) -> list[str]:
    """The columns and constraints of a table; a column that was added later stands behind the constraints."""
    _, _, body = statement.rpartition(")")[0].partition("(")
    return sorted(" ".join(each.split()) for each in re.split(r",(?![^()]*\))", body))
