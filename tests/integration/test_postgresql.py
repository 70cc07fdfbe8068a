"""The database side on a real PostgreSQL: sessions, cost, races, errors, outages, a schema that moves on.

What every sink keeps to is in `tests/contracts/test_sink.py`, what PostgreSQL's codes mean in
`tests/unit/test_postgresql_errors.py`. Races and outages are those of MariaDB's suite, played here again.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytest_asyncio
from msgspec.structs import replace
from sqlalchemy import select, text, update
from sqlalchemy.engine import make_url

from service.bookkeeping import consumer_positions
from service.core.errors import ConnectionLost, FenceLost, PermanentError, TemporaryError, Unavailable
from service.core.types import Lease, Outcome, Partition, Work
from service.database import Database
from service.entities.registry import ENTITIES
from tests.building import CUSTOMERS, ORDERS, at, event, letter, line, position, record, work
from tests.contracts.sink_worlds import SqlWorld, claimed, create_tables, outcomes, write
from tests.integration import test_sql_sink as mariadb_suite
from tests.integration.certificates import Authority
from tests.integration.sql_proxy import At, SqlProxy
from tests.integration.test_sql_sink import NewWorld, execute, isolated, parts_of, some_customers
from tests.servers import PostgreSql, ServerMissing, database_of

SECRET = "s3cret"
PRODUCTS = Partition("products", 0)
customers = ENTITIES["customers"].table

new_world = mariadb_suite.new_world


@pytest.fixture(scope="module")
def tables_url(postgresql: PostgreSql) -> Iterator[str]:
    """A database with the tables, for the tests that leave them as they are."""
    url = postgresql.create_database()
    create_tables(url)
    yield url
    postgresql.drop_database(database_of(url))


@pytest.fixture
def own_url(postgresql: PostgreSql) -> Iterator[str]:
    """A database with tables that the test may change."""
    url = postgresql.create_database()
    create_tables(url)
    yield url
    postgresql.drop_database(database_of(url))


@pytest_asyncio.fixture
async def world(tables_url: str, new_world: NewWorld) -> SqlWorld:
    """A sink in front of empty tables."""
    world = new_world(tables_url)
    await world.clear()
    return world


@pytest.fixture
def own_world(own_url: str, new_world: NewWorld) -> SqlWorld:
    """A sink in front of tables that the test may change."""
    return new_world(own_url)


async def scalar(database: Database, query: str) -> object:
    async with database.transaction() as transaction:
        return (await transaction.execute(text(query))).scalar_one()


class TestSession:
    @pytest.mark.parametrize(
        ("setting", "expected"),
        [
            ("transaction_isolation", "read committed"),
            ("TimeZone", "UTC"),
            ("lock_timeout", "5s"),
            ("statement_timeout", "7s"),
            ("idle_in_transaction_session_timeout", "20s"),
            ("application_name", "upsertd"),
            ("tcp_keepalives_idle", "10"),
            ("tcp_user_timeout", "20000"),
            ("client_encoding", "UTF8"),
        ],
    )
    async def test_a_connection_sets_what_the_promise_needs(
        self, world: SqlWorld, setting: str, expected: str
    ) -> None:
        """Whatever the server's own defaults are."""
        assert await scalar(world.database, f"SHOW {setting}") == expected

    async def test_a_connection_that_was_ended_is_lost_once(
        self, world: SqlWorld, postgresql: PostgreSql
    ) -> None:
        """The next transaction has a fresh one."""
        ended = await scalar(world.database, "SELECT pg_backend_pid()")
        postgresql.execute(f"SELECT pg_terminate_backend({ended})")
        with pytest.raises(ConnectionLost):
            await scalar(world.database, "SELECT 1")
        assert await scalar(world.database, "SELECT 1") == 1

    async def test_a_cancelled_transaction_leaves_no_lock_and_no_connection(self, world: SqlWorld) -> None:
        """Its connection is closed, never pooled again, and the server stops what it was doing."""
        await write(world, await claimed(world), event(0, 1))
        before = await scalar(world.database, "SELECT pg_backend_pid()")
        started = asyncio.Event()

        async def hold() -> None:
            async with world.database.transaction() as transaction:
                await transaction.execute(select(customers.c.id).with_for_update())
                started.set()
                await transaction.execute(text("SELECT pg_sleep(6)"))

        holding = asyncio.create_task(hold())
        await started.wait()
        holding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holding
        assert world.database.in_use == 0
        assert await scalar(world.database, "SELECT pg_backend_pid()") != before
        assert await scalar(world.database, "SELECT id FROM customers FOR UPDATE NOWAIT") == 1

    async def test_a_silent_server_is_given_up(
        self, postgresql: PostgreSql, world: SqlWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A process that hangs takes no new connection either: within seconds, in words that say so."""
        if postgresql.pid is None:
            raise ServerMissing("PostgreSQL: only a server of our own can be suspended")
        monkeypatch.setattr("service.dialects.postgresql.CONNECT_SECONDS", 0.5)
        impatient = Database(postgresql.url("nowhere"), 1)
        postgresql.suspend()
        try:
            with pytest.raises(ConnectionLost, match="no answer in time"):
                async with world.database.transaction(0.3) as transaction:
                    await transaction.execute(text("SELECT 1"))
            with pytest.raises(Unavailable, match="cannot connect: SQL error 08001"):
                await impatient.ping()
        finally:
            postgresql.resume()
            await impatient.close()
        assert await scalar(world.database, "SELECT 1") == 1


class TestLogin:
    @pytest.mark.parametrize(
        ("change", "code"),
        [
            pytest.param({"password": SECRET}, "28P01", id="password"),
            pytest.param({"database": SECRET}, "3D000", id="database"),
        ],
    )
    async def test_a_login_that_fails_is_waited_for(
        self, tables_url: str, change: dict[str, Any], code: str
    ) -> None:
        """It may be a rotation in the middle; neither password nor name is told."""
        wrong = Database(make_url(tables_url).set(**change).render_as_string(hide_password=False), 1)
        with pytest.raises(Unavailable, match=f"cannot connect: SQL error {code}") as raised:
            await wrong.ping()
        assert SECRET not in str(raised.value)
        await wrong.close()

    async def test_a_server_that_refuses_is_unavailable(self) -> None:
        """At once, without the address or the account in the text."""
        nowhere = Database(f"postgresql://someone:{SECRET}@127.0.0.1:1/there", 1)
        with pytest.raises(Unavailable, match=r"^cannot connect: SQL error 08001$"):
            await nowhere.ping()
        await nowhere.close()


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Who vouches for the server."""
    return Authority()


@pytest.fixture(scope="module")
def encrypted_url(authority: Authority) -> Iterator[str]:
    """A server that offers TLS."""
    with PostgreSql() as server:
        offer_tls(server, authority)
        yield server.create_database()


class TestTls:
    async def test_a_connection_is_encrypted(self, encrypted_url: str, authority: Authority) -> None:
        """Where the server is the one that the authority vouches for."""
        trusting = Database(encrypted_url, 1, ssl=ssl.create_default_context(cadata=authority.certificate))
        assert await scalar(trusting, IS_ENCRYPTED)
        await trusting.close()

    async def test_a_stranger_is_not_talked_to(self, encrypted_url: str) -> None:
        """A certificate of somebody else's authority."""
        other = Database(encrypted_url, 1, ssl=ssl.create_default_context(cadata=Authority().certificate))
        with pytest.raises(Unavailable, match="cannot connect"):
            await other.ping()
        await other.close()

    async def test_nothing_is_encrypted_unless_it_is_said(
        self, encrypted_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The driver would read more of the environment than is documented."""
        monkeypatch.setenv("PGSSLMODE", "require")
        plain = Database(encrypted_url, 1)
        assert not await scalar(plain, IS_ENCRYPTED)
        await plain.close()

    async def test_a_server_without_tls_gets_no_password(self, tables_url: str, authority: Authority) -> None:
        """Asked for TLS, nothing goes out in the clear."""
        asking = Database(tables_url, 1, ssl=ssl.create_default_context(cadata=authority.certificate))
        with pytest.raises(Unavailable, match="SQL error 08004"):
            await asking.ping()
        await asking.close()


IS_ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


def offer_tls(server: PostgreSql, authority: Authority) -> None:
    """Give a server of our own a certificate, where it looks for one."""
    if server.pid is None:
        raise ServerMissing("PostgreSQL: a server in a container cannot be given a certificate")
    ((folder,),) = server.execute("SHOW data_directory")
    signed = authority.sign("localhost")
    for name, content in (("server.crt", signed.certificate), ("server.key", signed.key)):
        file = Path(str(folder)) / name
        file.write_text(content)
        file.chmod(0o600)
        owner = file.parent.stat()
        os.chown(file, owner.st_uid, owner.st_gid)
    server.execute("ALTER SYSTEM SET ssl = on")
    server.restart()


class TestValues:
    async def test_every_type_comes_back_as_it_was_written(self, world: SqlWorld) -> None:
        """Digits, microseconds, trailing blanks, three letters, bytes."""
        columns: dict[str, object] = {
            "name": "Ünï 😀 ",
            "price": Decimal("12345678901234.5678"),
            "currency": "EUR",
            "stock_quantity": -(2**31),
            "attributes": '{"b":1.00,  "a":1e2, "a":3}',
        }
        first = event(0, 2**63 - 1, partition=PRODUCTS, event_id=bytes(range(255)), seconds=0.000001)
        await write(world, await claimed(world, PRODUCTS), replace(first, columns=columns))
        stored = await world.stored()
        (row,) = stored.rows.values()
        assert {name: row.columns[name] for name in columns} == columns
        assert row.version.occurred_at == at(0.000001)
        assert set(stored.marks) == {bytes(range(255))}

    async def test_a_large_letter_is_kept(self, world: SqlWorld) -> None:
        """There is no packet that it would have to fit into."""
        held = await claimed(world)
        await world.sink.apply(work(letter(record(0, b"\0x" * 3_000_000)), event(1)), held)
        (kept,) = (await world.stored()).letters
        assert kept.record.value == b"\0x" * 3_000_000


class TestCost:
    @pytest.mark.parametrize("kind", ["new", "there", "letters", "orders"])
    async def test_a_large_batch_costs_as_many_statements_as_a_small_one(
        self, tables_url: str, new_world: NewWorld, kind: str
    ) -> None:
        """By the server's count of what was executed, too: a driver may send one for each row."""
        world = new_world(tables_url, 1)
        await world.clear()
        held = await claimed(world, ORDERS if kind == "orders" else CUSTOMERS)
        costs = []
        # Once to prepare the statements.
        for count in (1, 2, 500):
            if kind == "there":
                whole = work(*some_customers(count, held.expected))
                await world.sink.apply(whole, held)
                held = held.moved_to(whole.end)
            whole = work(*parts_of(kind, count, held.expected))
            before, sent = await executions(world), world.statements
            await world.sink.apply(whole, held)
            costs.append((world.statements - sent, await executions(world) - before))
            held = held.moved_to(whole.end)
        assert costs[1] == costs[2]
        assert max(costs[2]) <= 10

    async def test_ten_thousand_records_fit_into_a_batch(self, world: SqlWorld) -> None:
        """A statement may have 32,767 parameters at most."""
        held = await claimed(world)
        many = some_customers(10_000, 0)
        assert outcomes(await world.sink.apply(work(*many), held)) == [Outcome.APPLIED] * 10_000


async def executions(world: SqlWorld) -> int:
    """How often the session has executed prepared statements."""
    query = "SELECT SUM(generic_plans + custom_plans)::bigint FROM pg_prepared_statements"
    found = await scalar(world.database, f"{query} WHERE statement NOT LIKE '%pg_prepared_statements%'")
    return int(str(found or 0))


class TestRaces(mariadb_suite.TestRaces):
    async def test_one_connection_serves_many_lanes(  # type: ignore[override]  # asks another server
        self, tables_url: str, postgresql: PostgreSql, new_world: NewWorld
    ) -> None:
        """They wait for each other, and the server never sees a second one."""
        world = new_world(tables_url, 1)
        await world.clear()
        partitions = [Partition("customers", number) for number in range(12)]
        leases = [await claimed(world, partition) for partition in partitions]
        going = asyncio.gather(
            *(write(world, held, event(0, n + 1, partition=held.partition)) for n, held in enumerate(leases))
        )
        seen = []
        query = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = $1"
        while not going.done():
            seen.append(await asyncio.to_thread(postgresql.execute, query, None, (database_of(tables_url),)))
        assert [got for got, _ in await going] == [[Outcome.APPLIED]] * 12
        assert max(seen) == [(1,)]


class TestNoProgress(mariadb_suite.TestNoProgress):
    """The same as on MariaDB."""

    refusal: ClassVar[tuple[str, ...]] = (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.name = 'refused' THEN RAISE EXCEPTION 'refused'; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER refuse BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION refuse()",
    )


class TestOutages(mariadb_suite.TestOutages):
    async def test_a_stopped_owner_does_not_block_its_successor(
        self, tables_url: str, new_world: NewWorld
    ) -> None:
        """The server ends a transaction that says nothing; its locks go with it."""
        stopped, successor = new_world(tables_url, 1), new_world(tables_url, 1)
        await stopped.clear()
        await claimed(stopped)
        seen = await stopped.sink.position(CUSTOMERS)
        rival = position(0, claim_id="b" * 32)
        with pytest.raises(ConnectionLost):
            await hang_until(stopped, successor.sink.claim(CUSTOMERS, seen, rival))
        assert await successor.sink.position(CUSTOMERS) == rival

    async def test_a_silent_network_is_given_up(
        self, tables_url: str, proxy: SqlProxy, new_world: NewWorld
    ) -> None:
        """Within the deadline, as an unknown outcome; nothing is left waiting, and nothing used again."""
        world, held = await self.through(proxy, tables_url, new_world, seconds=0.5)
        backend = await scalar(world.database, "SELECT pg_backend_pid()")
        before = asyncio.all_tasks()
        proxy.at_commit = At.SILENCE
        started = time.monotonic()
        with pytest.raises(ConnectionLost):
            await world.sink.apply(work(event(0)), held)
        assert time.monotonic() - started < 5
        assert proxy.silent.is_set()
        assert world.database.in_use == 0
        await asyncio.sleep(0.05)
        left = [task for task in asyncio.all_tasks() - before if "asyncpg" in repr(task)]
        assert left == []
        assert await scalar(world.database, "SELECT pg_backend_pid()") != backend

    async def test_a_server_that_is_killed_keeps_what_was_committed(self, new_world: NewWorld) -> None:
        """The fence goes on where the last commit was, over fresh connections."""
        with PostgreSql() as server:
            url = await asyncio.to_thread(own_tables, server)
            world = new_world(url)
            _, held = await write(world, await claimed(world), event(0))
            server.kill()
            with pytest.raises(Unavailable):
                await world.sink.apply(work(event(1)), held)
            server.start()
            assert (await write(world, held, event(1)))[0] == [Outcome.APPLIED]
            with pytest.raises(FenceLost):
                await world.sink.apply(work(event(1)), held)


async def hang_until(stopped: SqlWorld, done: Awaitable[object]) -> None:
    """Stand in the middle of a transaction that has locked a position; the server ends it after a second."""
    async with stopped.database.transaction() as transaction:
        await transaction.execute(text("SET idle_in_transaction_session_timeout = '1s'"))
        await transaction.execute(update(consumer_positions).values(next_offset=9))
        await done


def own_tables(server: PostgreSql) -> str:
    url = server.create_database()
    create_tables(url)
    return url


class TestErrors:
    @pytest.mark.parametrize(
        ("partition", "columns", "error_class", "place"),
        [
            pytest.param(CUSTOMERS, {"status": None}, "ColumnCannotBeNull", "23502 (status)", id="null"),
            pytest.param(CUSTOMERS, {"name": SECRET * 50}, "DataTooLong", "22001", id="long"),
            pytest.param(CUSTOMERS, {"name": "\0"}, "IncorrectValue", "22021", id="nul"),
            pytest.param(CUSTOMERS, {"name": "\ud800"}, "IncorrectValue", "22000", id="half-a-character"),
            pytest.param(PRODUCTS, {"currency": "EURO"}, "DataTooLong", "22001", id="four-letters"),
            pytest.param(PRODUCTS, {"stock_quantity": 2**31}, "IncorrectValue", "22000", id="integer"),
            pytest.param(ORDERS, {"total": Decimal(10) ** 14}, "OutOfRange", "22003", id="decimal"),
            pytest.param(ORDERS, {"placed_at": SECRET}, "IncorrectValue", "22000", id="no-moment"),
        ],
    )
    async def test_a_value_that_does_not_fit_is_permanent(
        self, world: SqlWorld, partition: Partition, columns: dict[str, object], error_class: str, place: str
    ) -> None:
        """Named by code and place, without the value; its neighbours are applied."""
        bad = replace(event(1, 2, partition=partition), columns=columns)
        whole = work(event(0, 1, partition=partition), bad, event(2, 3, partition=partition))
        held = await claimed(world, partition)
        with pytest.raises(PermanentError) as raised:
            await world.sink.apply(whole, held)
        assert raised.value.error_class == error_class
        assert str(raised.value) == f"SQL error {place}"
        await isolated(world, held, whole)
        stored = await world.stored()
        assert sorted(entity_id for _, entity_id in stored.rows) == [1, 3]
        assert [(each.record.offset, each.error_class) for each in stored.letters] == [(1, error_class)]

    @pytest.mark.parametrize("there", [False, True], ids=["insert", "update"])
    async def test_a_value_is_never_cut(self, world: SqlWorld, there: bool) -> None:
        """Neither a new row's nor a later one's: a cast to the column's type would."""
        held = await claimed(world)
        if there:
            _, held = await write(world, held, event(0, 1, name="Ann"))
        with pytest.raises(PermanentError, match="22001"):
            await write(world, held, event(held.expected, 1, phone="1" * 65))

    async def test_a_foreign_key_of_somebody_elses_is_permanent(self, own_world: SqlWorld) -> None:
        """And so is a check; both by name."""
        await execute(
            own_world,
            "ALTER TABLE orders ADD CONSTRAINT fk_customer FOREIGN KEY (customer_id) REFERENCES customers",
            "ALTER TABLE orders ADD CONSTRAINT ck_status CHECK (status <> 'odd')",
        )
        held = await claimed(own_world, ORDERS)
        for columns, told in (({"customer_id": 9}, "fk_customer"), ({"status": "odd"}, "ck_status")):
            with pytest.raises(PermanentError, match=rf"^SQL error 235\d\d \({told}\)$"):
                await own_world.sink.apply(
                    work(replace(event(0, partition=ORDERS, lines=[line(1, 1)]), columns=columns)), held
                )

    @pytest.mark.parametrize(
        ("statement", "code"),
        [
            pytest.param("ALTER TABLE customers DROP COLUMN phone", "42703", id="column-missing"),
            pytest.param("DROP TABLE processed_events", "42P01", id="marks-missing"),
            pytest.param("DROP TABLE customers", "42P01", id="table-missing"),
        ],
    )
    async def test_a_schema_that_is_behind_is_waited_for(
        self, own_world: SqlWorld, statement: str, code: str
    ) -> None:
        """Good records would die otherwise."""
        held = await claimed(own_world)
        await execute(own_world, statement)
        with pytest.raises(Unavailable, match=rf"SQL error {code}\b") as raised:
            await own_world.sink.apply(work(event(0, phone=SECRET)), held)
        assert not isinstance(raised.value, ConnectionLost)

    async def test_a_read_only_server_is_waited_for(self, world: SqlWorld, postgresql: PostgreSql) -> None:
        """And written to as soon as it may be."""
        held = await claimed(world)
        async with read_only(postgresql, world.database):
            with pytest.raises(Unavailable, match="SQL error 25006"):
                await world.sink.apply(work(event(0)), held)
        assert (await write(world, held, event(0)))[0] == [Outcome.APPLIED]

    async def test_a_row_that_stays_locked_is_temporary(self, tables_url: str, new_world: NewWorld) -> None:
        """Half of a transaction must not be committed because of it."""
        world, blocker = new_world(tables_url, 1), new_world(tables_url, 1)
        await world.clear()
        _, held = await write(world, await claimed(world), event(0, 7))
        await execute(world, "SET lock_timeout = '300ms'")
        async with blocker.database.transaction() as transaction:
            await transaction.execute(select(customers).where(customers.c.id == 7).with_for_update())
            with pytest.raises(TemporaryError, match="SQL error 55P03"):
                await world.sink.apply(work(event(1, 1), event(2, 7)), held)
        stored = await world.sink.position(CUSTOMERS)
        assert stored is not None
        assert stored.next_offset == 1
        assert (await write(world, held, event(1, 1), event(2, 7)))[0] == [Outcome.APPLIED] * 2

    @pytest.mark.parametrize("mode", ["SHARE", "ACCESS EXCLUSIVE"])
    @pytest.mark.parametrize("table", ["orders", "order_items", "processed_events"])
    async def test_a_table_that_is_locked_as_a_whole_is_waited_for(
        self, tables_url: str, new_world: NewWorld, table: str, mode: str
    ) -> None:
        """While an index is built, say: it is no record's fault."""
        world, blocker = new_world(tables_url, 1), new_world(tables_url, 1)
        await execute(world, "SET lock_timeout = '300ms'")
        async with blocker.database.transaction() as transaction:
            await transaction.execute(text(f"LOCK TABLE {table} IN {mode} MODE"))
            with pytest.raises(Unavailable, match="tables of orders are locked: SQL error 55P03"):
                await world.sink.check_writable("orders")
        await world.sink.check_writable("orders")

    async def test_rows_that_are_locked_leave_the_table_writable(
        self, tables_url: str, new_world: NewWorld
    ) -> None:
        """Every one of them."""
        world, blocker = new_world(tables_url, 1), new_world(tables_url, 1)
        await world.clear()
        await write(world, await claimed(world), event(0, 7))
        await execute(world, "SET lock_timeout = '300ms'")
        async with blocker.database.transaction() as transaction:
            await transaction.execute(select(customers).with_for_update())
            await world.sink.check_writable("customers")

    @pytest.mark.parametrize("what", ["fence", "claim"])
    async def test_a_position_that_stays_locked_is_waited_for(
        self, tables_url: str, new_world: NewWorld, what: str
    ) -> None:
        """It says nothing about the records."""
        world, blocker = new_world(tables_url, 1), new_world(tables_url, 1)
        await world.clear()
        held = await claimed(world)
        seen = await world.sink.position(CUSTOMERS)
        await execute(world, "SET lock_timeout = '300ms'")
        async with blocker.database.transaction() as transaction:
            await transaction.execute(select(consumer_positions).with_for_update())
            attempts: dict[str, Callable[[], Awaitable[object]]] = {
                "fence": lambda: world.sink.apply(work(event(0)), held),
                "claim": lambda: world.sink.claim(CUSTOMERS, seen, position(0, claim_id="b" * 32)),
            }
            with pytest.raises(Unavailable, match="position is locked"):
                await attempts[what]()

    async def test_a_deadlock_is_temporary_and_rolled_back(
        self, tables_url: str, postgresql: PostgreSql, new_world: NewWorld
    ) -> None:
        """One of the two is ended by the server; the next run succeeds."""
        world, other = new_world(tables_url, 1), new_world(tables_url, 1)
        await world.clear()
        _, held = await write(world, await claimed(world), *some_customers(2, 0))
        # It waits for longer than we do, so that it is we who look for a deadlock.
        await execute(other, "SET lock_timeout = 0")
        async with other.database.transaction() as transaction:
            await transaction.execute(update(customers).where(customers.c.id == 2).values(name="theirs"))
            applying = asyncio.create_task(world.sink.apply(work(event(2, 1), event(3, 2)), held))
            await until_waiting(postgresql)
            theirs = transaction.execute(update(customers).where(customers.c.id == 1).values(name="theirs"))
            with pytest.raises(TemporaryError, match="SQL error 40P01"):
                await asyncio.gather(theirs, applying)
        assert (await write(world, held, event(2, 1), event(3, 2)))[0] == [Outcome.APPLIED] * 2


@asynccontextmanager
async def read_only(postgresql: PostgreSql, database: Database) -> AsyncIterator[None]:
    """A server that takes no writes for a while; open sessions learn of it too."""
    if postgresql.given_address is not None:
        raise ServerMissing("PostgreSQL: only a server of our own can be made read-only")
    await set_read_only(postgresql, database, "on")
    try:
        yield
    finally:
        await set_read_only(postgresql, database, "off")


async def set_read_only(postgresql: PostgreSql, database: Database, value: str) -> None:
    for statement in (
        f"ALTER SYSTEM SET default_transaction_read_only = {value}",
        "SELECT pg_reload_conf()",
    ):
        await asyncio.to_thread(postgresql.execute, statement)
    async with asyncio.timeout(5):
        while await scalar(database, "SHOW default_transaction_read_only") != value:  # noqa: ASYNC110 - as below
            await asyncio.sleep(0.02)


async def until_waiting(postgresql: PostgreSql) -> None:
    """Wait until a transaction waits for a lock."""
    query = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    async with asyncio.timeout(5):
        while not await asyncio.to_thread(postgresql.execute, query):  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.05)


class TestMigrationUnderTheService:
    """A schema that is one step ahead is fine, also for connections that have prepared their statements."""

    @pytest.mark.parametrize(
        "statement",
        [
            pytest.param("ALTER TABLE customers ADD COLUMN later TEXT", id="column-added"),
            pytest.param("ALTER TABLE customers ADD COLUMN later TEXT NOT NULL DEFAULT 'x'", id="default"),
            pytest.param("CREATE INDEX ix_name ON customers (name)", id="index"),
            pytest.param("ALTER TABLE customers ALTER name TYPE VARCHAR(500)", id="wider-column"),
        ],
    )
    async def test_an_ordinary_step_is_not_noticed(self, own_world: SqlWorld, statement: str) -> None:
        """No batch fails."""
        _, held = await write(own_world, await claimed(own_world), event(0, 1, name="a"))
        await execute(own_world, statement)
        got, held = await write(own_world, held, event(1, 1, name="b"), event(2, 2, name="c"))
        assert got == [Outcome.APPLIED] * 2

    async def test_a_stale_statement_costs_one_attempt(self, own_world: SqlWorld) -> None:
        """No dead letter, no loop: what reads a column of another type now is prepared anew."""
        lanes = [Partition("customers", number) for number in range(3)]
        leases = [await claimed(own_world, lane) for lane in lanes]
        # Side by side: every connection has prepared its statements.
        await asyncio.gather(*(own_world.sink.apply(one_event(held), held) for held in leases))
        await execute(
            own_world,
            "ALTER TABLE processed_events ALTER entity TYPE VARCHAR(128)",
            "ALTER TABLE customers ALTER version TYPE NUMERIC(30)",
        )
        attempts = [await attempts_of(own_world, held.moved_to(1)) for held in leases]
        assert max(attempts) == 2


async def attempts_of(world: SqlWorld, held: Lease) -> int:
    """How often a batch of one event is run until no statement of it is stale."""
    for attempt in range(1, 10):
        try:
            await world.sink.apply(one_event(held), held)
        except Unavailable as error:
            if error.code != "0A000":
                raise
        else:
            return attempt
    raise AssertionError("never got through")


def one_event(held: Lease) -> Work:
    return work(event(held.expected, held.partition.number + 1, partition=held.partition))
