"""The SQL sink on a real MariaDB: what it costs, who wins a race, what errors become, what outages leave."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, ClassVar

import pytest
import pytest_asyncio
from msgspec.structs import replace
from sqlalchemy import insert, select, text, update
from sqlalchemy.engine import make_url

from service.bookkeeping import consumer_positions, dead_letters, processed_events
from service.core.errors import (
    ConnectionLost,
    FenceLost,
    PermanentError,
    TemporaryError,
    Unavailable,
)
from service.core.types import Batch, DeadLetter, Event, Lease, Outcome, Partition, Work, Written
from service.database import Transaction
from service.entities.registry import ENTITIES
from service.pipeline.isolate import apply_isolated
from service.pipeline.observe import Observer
from service.pipeline.process import Route, process
from service.sinks.look_ups import EVERYTHING, FIRST_STRETCH, LookUp, LookUps
from service.sinks.rows import mark_row
from service.sinks.sql import SqlSink
from service.telemetry.metrics import Metrics
from service.testing.cache import InMemoryProcessedCache
from tests.building import (
    CUSTOMERS,
    NOON,
    ORDERS,
    Unheard,
    at,
    decode_message,
    event,
    letter,
    line,
    message,
    position,
    record,
    work,
)
from tests.contracts.sink_worlds import (
    GROUP,
    FirstRunLooks,
    SqlWorld,
    claimed,
    create_tables,
    outcomes,
    write,
)
from tests.integration.sql_proxy import At, SqlProxy
from tests.servers import MariaDb, database_of

SECRET = "s3cret"
PRODUCTS = Partition("products", 0)
customers = ENTITIES["customers"].table


@pytest.fixture(scope="module")
def tables_url(mariadb: MariaDb) -> Iterator[str]:
    """A database with the tables, for the tests that leave them as they are."""
    url = mariadb.create_database()
    create_tables(url)
    yield url
    mariadb.drop_database(database_of(url))


NewWorld = Callable[..., SqlWorld]


@pytest_asyncio.fixture
async def new_world() -> AsyncIterator[NewWorld]:
    """Makes sinks, and closes their connections in the end."""
    made: list[SqlWorld] = []

    def create(
        url: str, pool_size: int = 3, transaction_seconds: float = 30, look_ups: LookUps | None = None
    ) -> SqlWorld:
        made.append(SqlWorld(url, pool_size, transaction_seconds, look_ups))
        return made[-1]

    yield create
    for world in made:
        await world.database.close()


@pytest_asyncio.fixture
async def world(tables_url: str, new_world: NewWorld) -> SqlWorld:
    """A sink in front of empty tables."""
    world = new_world(tables_url)
    await world.clear()
    return world


@pytest.fixture
def own_world(database_url: str, new_world: NewWorld) -> SqlWorld:
    """A sink in front of tables that the test may change."""
    create_tables(database_url)
    return new_world(database_url)


async def patiently(attempt: Callable[[], Awaitable[Written]]) -> Written:
    """As often as the pipeline would: a deadlock is no failure."""
    for _ in range(20):
        try:
            return await attempt()
        except TemporaryError:
            await asyncio.sleep(random.uniform(0.01, 0.05))
    raise AssertionError("never got through")


async def write_patiently(world: SqlWorld, held: Lease, batch: Sequence[Event]) -> Written:
    return await patiently(lambda: world.sink.apply(work(*batch), held))


async def isolated(world: SqlWorld, held: Lease, whole: Work) -> list[tuple[Work, Written]]:
    return [part async for part in apply_isolated(whole, held, world.sink, Unheard())]


def some_customers(count: int, first: int, **columns: object) -> list[Event]:
    return [
        replace(event(first + number, number + 1), columns={"name": f"n{number}", "email": "e@x", **columns})
        for number in range(count)
    ]


class TestCost:
    async def cost(self, mariadb: MariaDb, world: SqlWorld, held: Lease, whole: Work) -> tuple[int, int]:
        """Statements by the server's count, and by ours."""
        sent = world.statements
        asked = await questions_during(mariadb, lambda: world.sink.apply(whole, held))
        return asked, world.statements - sent

    @pytest.mark.parametrize("kind", ["new", "there", "letters", "orders"])
    async def test_a_large_batch_costs_as_many_statements_as_a_small_one(
        self, mariadb: MariaDb, world: SqlWorld, kind: str
    ) -> None:
        """The driver falls back on a statement a row in silence when it does not know one."""
        costs = []
        held = await claimed(world, ORDERS if kind == "orders" else CUSTOMERS)
        await world.sink.apply(work(end=0), held)
        for count in (2, 500):
            first = held.expected
            if kind == "there":
                whole = work(*some_customers(count, first))
                await world.sink.apply(whole, held)
                held = held.moved_to(whole.end)
                first = held.expected
            whole = work(*parts_of(kind, count, first))
            costs.append(await self.cost(mariadb, world, held, whole))
            held = held.moved_to(whole.end)
        (small, small_sent), (large, large_sent) = costs
        assert large == small <= 10
        assert (small_sent, large_sent) == (small, large)

    async def test_hits_cost_no_statement(self, mariadb: MariaDb, world: SqlWorld) -> None:
        """And no connection."""
        held = await claimed(world)
        observe = Observer(Metrics("test", ["customers"]), "customers", lambda: at(0))
        path = Route("customers", decode_message, InMemoryProcessedCache(), world.sink, observe)
        held = await process(Batch((record(0, message("a")),), 1), held, path, Unheard())
        again = Batch((record(1, message("a")),), 2)
        assert await questions_during(mariadb, lambda: process(again, held, path, Unheard())) == 0


def parts_of(kind: str, count: int, first: int) -> Sequence[Event | DeadLetter]:
    match kind:
        case "letters":
            return [letter(record(first + number)) for number in range(count)]
        case "orders":
            return some_orders(count, first)
        case "new":
            return [replace(each, entity_id=each.record.offset + 1) for each in some_customers(count, first)]
        case _:
            return some_customers(count, first, phone="1")


def some_orders(count: int, first: int) -> list[Event]:
    return [
        event(first + n, first + n + 1, partition=ORDERS, lines=[line(1, 10), line(2, 20)])
        for n in range(count)
    ]


async def questions_during(mariadb: MariaDb, act: Callable[[], Awaitable[object]]) -> int:
    """Statements that the server was sent by `act`."""
    before = questions(mariadb)
    await act()
    return questions(mariadb) - before


# Not `Questions`: it also counts the goodbye of a connection that another test has closed a moment ago.
_COUNTED = ("begin", "commit", "delete", "insert", "insert_select", "rollback", "select", "update")


def questions(mariadb: MariaDb) -> int:
    """Statements of a batch's kinds that the server has been sent so far."""
    names = ", ".join(f"'Com_{name}'" for name in _COUNTED)
    rows = mariadb.execute(f"SHOW GLOBAL STATUS WHERE Variable_name IN ({names})")
    return sum(int(str(count)) for _, count in rows)


LOOKING = pytest.mark.parametrize(
    "look_ups", [pytest.param(LookUps, id="looks"), pytest.param(FirstRunLooks, id="first-run-does-not")]
)


class TestRaces:
    @LOOKING
    async def test_two_partitions_with_the_same_new_events_and_rows(
        self, tables_url: str, world: SqlWorld, new_world: NewWorld, look_ups: Callable[[], LookUps]
    ) -> None:
        """Each event is applied once, and of two events of a record the newer one wins."""
        sinks = [new_world(tables_url, look_ups=look_ups()) for _ in range(2)]
        partitions = [Partition("customers", number) for number in range(2)]
        leases = [await claimed(each, partition) for each, partition in zip(sinks, partitions, strict=True)]
        for round_number in range(30):
            batches = [race(partition, round_number) for partition in partitions]
            written = await asyncio.gather(*map(write_patiently, sinks, leases, batches))
            leases = [
                held.moved_to(batch[-1].record.offset + 1)
                for held, batch in zip(leases, batches, strict=True)
            ]
            copies = [outcomes(each)[:10] for each in written]
            assert sorted(map(set_of_values, zip(*copies, strict=True))) == [["applied", "duplicate"]] * 10
        rows = await world.read(select(customers.c.version).where(customers.c.id % 100 >= 50))
        assert [row["version"] for row in rows] == [2] * 300
        assert len(await world.read(select(processed_events.c.event_id))) == 30 * 30

    @LOOKING
    @pytest.mark.parametrize("there", [True, False], ids=["rows-there", "rows-new"])
    async def test_eight_writers_with_the_same_rows(
        self, tables_url: str, new_world: NewWorld, there: bool, look_ups: Callable[[], LookUps]
    ) -> None:
        """No update is lost, nobody gives up; rows that are there are locked in key order: no deadlock."""
        world = new_world(tables_url, 8, look_ups=look_ups())
        await world.clear()
        if there:
            first = Partition("customers", 99)
            seeds = [event(n, n + 1, version=0, partition=first) for n in range(60)]
            await write(world, await claimed(world, first), *seeds)
        random.seed(7)
        versions = iter(random.sample(range(1, 10_000), 8 * 8 * 20))
        plan = {
            Partition("customers", number): [
                [
                    replace(
                        event(
                            batch * 20 + n,
                            random.randint(1, 60),
                            version=(version := next(versions)),
                            partition=Partition("customers", number),
                        ),
                        # Half of the rows name another column: several statements write each batch.
                        columns={"name": str(version)} if n % 2 else {"name": str(version), "phone": "1"},
                    )
                    for n in range(20)
                ]
                for batch in range(8)
            ]
            for number in range(8)
        }
        runs = 0

        async def write_all(partition: Partition) -> None:
            nonlocal runs
            held = await claimed(world, partition)
            for batch in plan[partition]:

                async def attempt(batch: Sequence[Event] = batch, held: Lease = held) -> Written:
                    nonlocal runs
                    runs += 1
                    return await world.sink.apply(work(*batch), held)

                await patiently(attempt)
                held = held.moved_to(batch[-1].record.offset + 1)

        await asyncio.gather(*map(write_all, plan))
        highest: dict[int, int] = {}
        for each in (each for batches in plan.values() for batch in batches for each in batch):
            highest[each.entity_id] = max(each.version or 0, highest.get(each.entity_id, 0))
        rows = await world.read(select(customers.c.id, customers.c.version, customers.c.name))
        rows = [row for row in rows if row["version"] != 0]
        found = {row["id"]: row["version"] for row in rows}
        assert found == highest
        assert all(row["name"] == str(row["version"]) for row in rows)
        assert not there or runs == 64

    async def test_one_connection_serves_many_lanes(
        self, tables_url: str, mariadb: MariaDb, new_world: NewWorld
    ) -> None:
        """They wait for each other, and the server never sees a second one."""
        world = new_world(tables_url, 1)
        await world.clear()
        partitions = [Partition("customers", number) for number in range(12)]
        leases = [await claimed(world, partition) for partition in partitions]
        going = asyncio.gather(
            *(
                write(
                    world,
                    held,
                    *(event(n, held.partition.number + 1, partition=held.partition) for n in range(5)),
                )
                for held in leases
            )
        )
        seen = []
        query = "SELECT COUNT(*) FROM information_schema.processlist WHERE db = %s"
        while not going.done():
            seen.append(await asyncio.to_thread(mariadb.execute, query, None, (database_of(tables_url),)))
        assert [got for got, _ in await going] == [[Outcome.APPLIED] * 5] * 12
        assert max(seen) == [(1,)]
        assert world.database.in_use_peak == 1


def race(partition: Partition, round_number: int) -> list[Event]:
    """Ten copies of what the other partition has too, and ten events of records that it has others of."""
    first, base = round_number * 20, round_number * 100
    copies = [
        event(first + n, base + n + 1, event_id=b"copy-%d-%d" % (round_number, n), partition=partition)
        for n in range(10)
    ]
    own = [
        event(first + 10 + n, base + 50 + n, version=partition.number + 1, partition=partition)
        for n in range(10)
    ]
    return copies + own


def set_of_values(pair: Sequence[Outcome]) -> list[str]:
    return sorted(outcome.value for outcome in pair)


class TestNoProgress:
    refusal: ClassVar[tuple[str, ...]] = (
        "CREATE TRIGGER refuse BEFORE INSERT ON customers FOR EACH ROW"
        " IF NEW.name = 'refused' THEN SIGNAL SQLSTATE '45000'; END IF",
    )

    async def test_a_rerun_that_finds_something_new_goes_on(self, world: SqlWorld) -> None:
        """However many rivals are faster, one after the other: nobody's event is given up."""
        held = await claimed(world)
        batch = [event(n, n + 1, event_id=b"%d" % n) for n in range(4)]
        rivalled = Rivalled(world, batch[:3])
        written = await rivalled.apply(work(*batch), held)
        assert outcomes(written) == [Outcome.DUPLICATE] * 3 + [Outcome.APPLIED]

    async def test_a_rerun_that_finds_nothing_new_is_a_permanent_failure(self, own_world: SqlWorld) -> None:
        """Another unique index on the table: never a loop, and the value is not told."""
        held = await with_unique_email(own_world)
        started = time.monotonic()
        with pytest.raises(PermanentError) as raised:
            await own_world.sink.apply(work(event(1, 2, email=SECRET)), held)
        assert raised.value.error_class == "DuplicateKey"
        assert SECRET not in str(raised.value)
        assert time.monotonic() - started < 5

    async def test_a_copy_is_a_duplicate_though_the_server_refuses_its_body(
        self, own_world: SqlWorld
    ) -> None:
        """Nobody has looked for its mark when the row is refused: that comes before anybody is blamed."""
        await execute(own_world, "ALTER TABLE customers ADD CONSTRAINT ck_name CHECK (name <> 'refused')")
        _, held = await write(own_world, await claimed(own_world), event(0, 1, event_id=b"a", name="good"))
        copy = event(1, 1, event_id=b"a", version=9, name="refused")
        assert (await write(own_world, held, copy))[0] == [Outcome.DUPLICATE]

    @pytest.mark.parametrize("marks", [True, False], ids=["marks-looked-up", "nothing-looked-up"])
    async def test_what_is_stale_is_no_failure_though_the_server_refuses_its_body(
        self, own_world: SqlWorld, marks: bool
    ) -> None:
        """Nobody has looked for its row when it is refused; it would not have been written at all."""
        sink = sink_that(own_world, FirstRunLooks(marks=marks))
        await execute(own_world, "ALTER TABLE customers ADD CONSTRAINT ck_name CHECK (name <> 'refused')")
        _, held = await write(own_world, await claimed(own_world), event(0, 1, version=5, name="good"))
        stale = work(event(1, 1, version=4, name="refused"))
        assert outcomes(await sink.apply(stale, held)) == [Outcome.STALE]

    async def test_after_a_failure_the_next_run_looks(self, own_world: SqlWorld) -> None:
        """An answer that nobody has foreseen may be one to a row that would not have been written."""
        look_ups = LookUps()
        look_ups.note(CUSTOMERS, FIRST_STRETCH, EVERYTHING, LookUp(marks=False, rows=False))
        sink = sink_that(own_world, look_ups)
        await execute(own_world, *self.refusal)
        _, held = await write(own_world, await claimed(own_world), event(0, 1, version=5, name="good"))
        stale = work(event(1, 1, version=4, name="refused"))
        with pytest.raises(Unavailable):
            await sink.apply(stale, held)
        assert outcomes(await sink.apply(stale, held)) == [Outcome.STALE]

    @pytest.mark.parametrize("there", [False, True], ids=["insert", "update"])
    async def test_only_the_culprit_dies_of_it(self, own_world: SqlWorld, there: bool) -> None:
        """Whether its row is new or not; the row that has the value stays as it is."""
        held = await with_unique_email(own_world)
        if there:
            _, held = await write(own_world, held, event(1, 2, email="other"))
        first = held.expected
        whole = work(event(first, 3), event(first + 1, 2, email=SECRET), event(first + 2, 4))
        await isolated(own_world, held, whole)
        stored = await own_world.stored()
        assert [each.record.offset for each in stored.letters] == [first + 1]
        assert {3, 4} <= {entity_id for _, entity_id in stored.rows}
        assert stored.rows["customers", 1].columns["email"] == SECRET
        assert not there or stored.rows["customers", 2].columns["email"] == "other"


def sink_that(world: SqlWorld, look_ups: LookUps) -> SqlSink:
    """Another sink of the same database, with look-ups of its own."""
    return SqlSink(world.database, ENTITIES, GROUP, lambda: NOON, look_ups)


class Rivalled(SqlSink):
    """A sink that is overtaken after it has read the marks: by one rival at each attempt."""

    def __init__(self, world: SqlWorld, overtaken: Sequence[Event]) -> None:
        super().__init__(world.database, ENTITIES, GROUP, lambda: NOON)
        self._rival = world.database
        self._overtaken = list(overtaken)

    async def _handle(self, transaction: Transaction, *more: Any) -> Written:
        if self._overtaken:
            row = mark_row(self._overtaken.pop(0), Outcome.APPLIED, NOON)
            async with self._rival.transaction() as theirs:
                await theirs.execute(insert(processed_events).values(row))
        return await super()._handle(transaction, *more)


async def with_unique_email(world: SqlWorld) -> Lease:
    await execute(world, "CREATE UNIQUE INDEX uq_email ON customers (email)")
    _, held = await write(world, await claimed(world), event(0, 1, email=SECRET))
    return held


async def execute(world: SqlWorld, *statements: str) -> None:
    async with world.database.transaction() as transaction:
        for statement in statements:
            await transaction.execute(text(statement))


class TestErrors:
    @pytest.mark.parametrize(
        ("partition", "columns", "error_class", "place"),
        [
            pytest.param(CUSTOMERS, {"status": None}, "ColumnCannotBeNull", "1048 (status)", id="1048"),
            pytest.param(
                PRODUCTS, {"stock_quantity": 2**31}, "OutOfRange", "1264 (stock_quantity)", id="1264"
            ),
            pytest.param(ORDERS, {"placed_at": SECRET}, "IncorrectValue", "1292 (placed_at)", id="1292"),
            pytest.param(ORDERS, {"total": SECRET}, "IncorrectValue", "1366 (total)", id="1366"),
            pytest.param(CUSTOMERS, {"name": SECRET * 50}, "DataTooLong", "1406 (name)", id="1406"),
            pytest.param(
                CUSTOMERS, {"address": SECRET}, "CheckViolated", "4025 (ck_customers_address_json)", id="4025"
            ),
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

    @pytest.mark.parametrize(
        ("statement", "code"),
        [
            pytest.param("ALTER TABLE customers DROP COLUMN phone", 1054, id="column-missing"),
            pytest.param("DROP TABLE processed_events", 1146, id="marks-missing"),
            pytest.param("DROP TABLE customers", 1146, id="table-missing"),
        ],
    )
    async def test_a_schema_that_is_behind_is_waited_for(
        self, own_world: SqlWorld, statement: str, code: int
    ) -> None:
        """Good records would die otherwise."""
        held = await claimed(own_world)
        await execute(own_world, statement)
        with pytest.raises(Unavailable, match=rf"SQL error {code}\b") as raised:
            await own_world.sink.apply(work(event(0, phone=SECRET)), held)
        assert not isinstance(raised.value, ConnectionLost)
        assert SECRET not in str(raised.value)

    async def test_a_read_only_server_is_waited_for(self, world: SqlWorld, mariadb: MariaDb) -> None:
        """And written to as soon as it may be, over the same connections."""
        held = await claimed(world)
        mariadb.execute("SET GLOBAL read_only = 1")
        try:
            with pytest.raises(Unavailable, match="SQL error 1290"):
                await world.sink.apply(work(event(0)), held)
        finally:
            mariadb.execute("SET GLOBAL read_only = 0")
        assert (await write(world, held, event(0)))[0] == [Outcome.APPLIED]

    async def test_a_row_that_stays_locked_is_temporary(self, tables_url: str, new_world: NewWorld) -> None:
        """Half of a transaction must not be committed because of it."""
        world, blocker = new_world(tables_url, 1), new_world(tables_url, 1)
        await world.clear()
        held = await claimed(world)
        _, held = await write(world, held, event(0, 7))
        await execute(world, "SET SESSION innodb_lock_wait_timeout = 1")
        async with blocker.database.transaction() as transaction:
            await transaction.execute(select(customers).where(customers.c.id == 7).with_for_update())
            with pytest.raises(TemporaryError, match="SQL error 1205"):
                await world.sink.apply(work(event(1, 1), event(2, 7)), held)
        stored = await world.sink.position(CUSTOMERS)
        assert stored is not None
        assert stored.next_offset == 1
        assert (await write(world, held, event(1, 1), event(2, 7)))[0] == [Outcome.APPLIED] * 2

    @pytest.mark.parametrize("kind", ["READ", "WRITE"])
    @pytest.mark.parametrize("table", ["orders", "order_items", "processed_events"])
    async def test_a_table_that_is_locked_as_a_whole_is_waited_for(
        self, tables_url: str, new_world: NewWorld, table: str, kind: str
    ) -> None:
        """By a backup, say, or while a column is added: it is no record's fault."""
        world, blocker = new_world(tables_url, 1), new_world(tables_url, 1)
        await execute(world, "SET SESSION lock_wait_timeout = 1")
        async with blocker.database.transaction() as transaction:
            await transaction.execute(text(f"LOCK TABLES {table} {kind}"))
            with pytest.raises(Unavailable, match="tables of orders are locked: SQL error 1205"):
                await world.sink.check_writable("orders")
            await transaction.execute(text("UNLOCK TABLES"))
        await world.sink.check_writable("orders")

    async def test_rows_that_are_locked_leave_the_table_writable(
        self, tables_url: str, new_world: NewWorld
    ) -> None:
        """Every one of them."""
        world, blocker = new_world(tables_url, 1), new_world(tables_url, 1)
        await world.clear()
        await write(world, await claimed(world), event(0, 7))
        await execute(world, "SET SESSION innodb_lock_wait_timeout = 1, lock_wait_timeout = 1")
        async with blocker.database.transaction() as transaction:
            await transaction.execute(select(customers).with_for_update())
            await transaction.execute(select(processed_events).with_for_update())
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
        await execute(world, "SET SESSION innodb_lock_wait_timeout = 1")
        async with blocker.database.transaction() as transaction:
            await transaction.execute(select(consumer_positions).with_for_update())
            attempts: dict[str, Callable[[], Awaitable[object]]] = {
                "fence": lambda: world.sink.apply(work(event(0)), held),
                "claim": lambda: world.sink.claim(CUSTOMERS, seen, position(0, claim_id="b" * 32)),
            }
            with pytest.raises(Unavailable, match="position is locked"):
                await attempts[what]()

    async def test_a_deadlock_is_temporary_and_rolled_back(
        self, tables_url: str, mariadb: MariaDb, new_world: NewWorld
    ) -> None:
        """The server ends the transaction that has changed less, and the next run succeeds."""
        world, other = new_world(tables_url, 1), new_world(tables_url, 1)
        await world.clear()
        held = await claimed(world)
        _, held = await write(world, held, *some_customers(20, 0))
        again = [event(20, 1), event(21, 2)]
        async with other.database.transaction() as transaction:
            await transaction.execute(update(customers).where(customers.c.id >= 2).values(name="theirs"))
            applying = asyncio.create_task(world.sink.apply(work(*again), held))
            await until_waiting(mariadb)
            await transaction.execute(update(customers).where(customers.c.id == 1).values(name="theirs"))
            with pytest.raises(TemporaryError, match="SQL error 1213"):
                await applying
        assert (await write(world, held, *again))[0] == [Outcome.APPLIED] * 2


async def until_waiting(mariadb: MariaDb) -> None:
    """Wait until a transaction waits for a lock."""
    query = "SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
    async with asyncio.timeout(5):
        while not await asyncio.to_thread(mariadb.execute, query):  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.15)  # asked more often, the server repeats its last answer


@pytest.fixture(scope="module")
def small_url() -> Iterator[str]:
    """Tables on a server that takes no more than a megabyte at once."""
    with MariaDb(options=("--max-allowed-packet=1M",)) as server:
        url = server.create_database()
        create_tables(url)
        yield url


class TestPackets:
    @pytest.mark.parametrize(
        "size", [pytest.param(3_000_000, id="three-megabytes"), pytest.param(1_000_000, id="just-too-large")]
    )
    async def test_a_row_that_no_packet_carries_is_a_dead_letter(
        self, small_url: str, new_world: NewWorld, size: int
    ) -> None:
        """With coordinates, size and digest; its neighbours are applied."""
        world = new_world(small_url)
        await world.clear()
        value = b'{"v": "' + b"x" * size + b'"}'
        huge = event(1, 2, value=value, attributes=value.decode())
        await isolated(world, await claimed(world), work(event(0, 1), huge, event(2, 3)))
        stored = await world.stored()
        assert sorted(entity_id for _, entity_id in stored.rows) == [1, 3]
        (row,) = await world.read(select(dead_letters))
        assert (row["record_offset"], row["error_class"], row["stage"]) == (1, "RecordTooLarge", "apply")
        assert (row["record_value"], row["size"]) == (None, len(value))
        assert row["digest"] == hashlib.sha256(value).hexdigest()

    @pytest.mark.parametrize(
        "text_",
        [
            pytest.param('"' + '\\"' * 300_000 + '"', id="quotes"),
            pytest.param("[" + "\t" * 600_000 + "1]", id="tabs"),
        ],
    )
    async def test_a_row_that_grows_by_escaping_is_a_dead_letter_too(
        self, small_url: str, new_world: NewWorld, text_: str
    ) -> None:
        """Its text has a backslash more for each of them."""
        world = new_world(small_url)
        await world.clear()
        huge = event(0, 1, value=text_.encode(), attributes=text_)
        await isolated(world, await claimed(world), work(huge))
        (row,) = await world.read(select(dead_letters))
        assert (row["error_class"], row["record_value"]) == ("RecordTooLarge", None)

    @pytest.mark.parametrize("value", [b"\xff" * 600_000, b"\t" * 600_000], ids=["hexadecimal", "tabs"])
    async def test_a_letter_that_grows_is_kept_without_its_bytes(
        self, small_url: str, new_world: NewWorld, value: bytes
    ) -> None:
        """Or its partition would wait for ever for a packet that is too large."""
        world = new_world(small_url)
        await world.clear()
        await isolated(world, await claimed(world), work(letter(record(0, value=value))))
        (row,) = await world.read(select(dead_letters))
        assert (row["record_value"], row["size"]) == (None, len(value))

    async def test_a_letter_that_just_fits_keeps_them(self, small_url: str, new_world: NewWorld) -> None:
        """Hexadecimal takes two characters a byte."""
        world = new_world(small_url)
        await world.clear()
        value = b"\xff" * 490_000
        await isolated(world, await claimed(world), work(letter(record(0, value=value))))
        (row,) = await world.read(select(dead_letters))
        assert row["record_value"] == value

    async def test_rows_that_fit_alone_are_applied_together(
        self, small_url: str, new_world: NewWorld
    ) -> None:
        """As many statements as it takes."""
        world = new_world(small_url)
        await world.clear()
        text_ = '"' + "x" * 400_000 + '"'
        rows = [event(n, n + 1, value=text_.encode(), attributes=text_) for n in range(6)]
        (written,) = [each for _, each in await isolated(world, await claimed(world), work(*rows))]
        assert outcomes(written) == [Outcome.APPLIED] * 6


class TestOutages:
    @pytest_asyncio.fixture
    async def proxy(self, tables_url: str) -> AsyncIterator[SqlProxy]:
        proxy = SqlProxy(port_of(tables_url))
        yield proxy
        await proxy.stop()

    async def through(
        self, proxy: SqlProxy, url: str, new_world: NewWorld, seconds: float = 30
    ) -> tuple[SqlWorld, Lease]:
        """A sink behind the proxy that has claimed its partition and has a connection."""
        world = new_world(url.replace(f":{port_of(url)}/", f":{await proxy.start()}/"), 1, seconds)
        await world.clear()
        held = await claimed(world)
        await world.sink.apply(work(end=0), held)
        return world, held

    async def test_a_commit_that_never_arrived_is_run_again(
        self, tables_url: str, proxy: SqlProxy, new_world: NewWorld
    ) -> None:
        """On a fresh connection, through the fence."""
        world, held = await self.through(proxy, tables_url, new_world)
        proxy.at_commit = At.BEFORE
        ((_, written),) = await isolated(world, held, work(event(0), event(1, 2)))
        assert outcomes(written) == [Outcome.APPLIED] * 2
        assert proxy.connections == 2
        assert (await world.position_row(CUSTOMERS))["next_offset"] == 2

    async def test_a_commit_whose_answer_was_lost_is_found_by_the_fence(
        self, tables_url: str, proxy: SqlProxy, new_world: NewWorld
    ) -> None:
        """The same error, but everything is there: once."""
        world, held = await self.through(proxy, tables_url, new_world)
        proxy.at_commit = At.AFTER
        with pytest.raises(FenceLost):
            await isolated(world, held, work(event(0, event_id=b"a"), letter(record(1))))
        stored = await world.stored()
        assert set(stored.marks) == {b"a"}
        assert len(stored.letters) == 1
        row = await world.position_row(CUSTOMERS)
        assert (row["next_offset"], row["claim_id"]) == (2, held.claim_id)

    async def test_both_look_the_same(self, tables_url: str, proxy: SqlProxy, new_world: NewWorld) -> None:
        """Nothing but the fence can tell them apart."""
        world, held = await self.through(proxy, tables_url, new_world)
        errors: list[str] = []
        for fate in (At.BEFORE, At.AFTER):
            await world.sink.ping()
            proxy.at_commit = fate
            with pytest.raises(ConnectionLost) as raised:
                await world.sink.apply(work(event(0)), held)
            errors.append(str(raised.value))
        assert errors[0] == errors[1]

    async def test_a_silent_network_is_given_up(
        self, tables_url: str, proxy: SqlProxy, new_world: NewWorld
    ) -> None:
        """Within the deadline, as an unknown outcome; the connection is never used again."""
        world, held = await self.through(proxy, tables_url, new_world, seconds=0.5)
        before = proxy.connections
        proxy.at_commit = At.SILENCE
        started = time.monotonic()
        with pytest.raises(ConnectionLost):
            await world.sink.apply(work(event(0)), held)
        assert time.monotonic() - started < 4
        assert proxy.silent.is_set()
        assert world.database.in_use == 0
        await world.sink.ping()
        assert proxy.connections == before + 1

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


async def hang_until(stopped: SqlWorld, done: Awaitable[object]) -> None:
    """Stand in the middle of a transaction that has locked a position; the server ends it after a second."""
    async with stopped.database.transaction() as transaction:
        await transaction.execute(text("SET SESSION wait_timeout = 1"))
        await transaction.execute(update(consumer_positions).values(next_offset=9))
        await done


def port_of(url: str) -> int:
    return make_url(url).port or 3306
