"""Retention on each real database: what goes, what stays, and that nobody is in anybody's way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
import pytest_asyncio
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.event import listen, remove

from service.app import build_retention, utc_now
from service.bookkeeping import consumer_positions, dead_letter_actions, dead_letters, processed_events
from service.core.types import LetterStatus, Outcome, Partition
from service.database import Database
from service.settings import RetentionSettings
from service.sinks.rows import MARK_COLUMNS, mark_row
from service.stores import purging, retention
from service.stores.purging import LetterPurge, MarkPurge, Purge
from service.telemetry.metrics import Metrics
from tests.building import CUSTOMERS, NOON, ORDERS, at, event
from tests.contracts.conftest import DATABASES
from tests.contracts.sink_worlds import GROUP, SqlWorld, claimed, write

KEEP = timedelta(days=14)
HORIZON = 100
OLD, YOUNG = NOON - timedelta(days=15), NOON - timedelta(days=13)
PRODUCTS = Partition("products", 0)
LETTERS_KEEP = timedelta(days=90)
LONG_DEAD, LATELY_DEAD = NOON - timedelta(days=91), NOON - timedelta(days=89)


@pytest.fixture(params=DATABASES)
def tables_url(request: pytest.FixtureRequest) -> str:
    return cast("str", request.getfixturevalue(request.param))


@pytest_asyncio.fixture
async def world(tables_url: str) -> AsyncIterator[SqlWorld]:
    """Empty tables in each database, one after the other."""
    async for world in emptied(tables_url):
        yield world


@pytest_asyncio.fixture
async def small_world(sqlite_tables: str) -> AsyncIterator[SqlWorld]:
    """Empty tables in the database that is quickest to have, for what is the same in all."""
    async for world in emptied(sqlite_tables):
        yield world


@pytest_asyncio.fixture
async def mariadb_world(mariadb_tables: str) -> AsyncIterator[SqlWorld]:
    """Empty tables in MariaDB, for what is its own."""
    async for world in emptied(mariadb_tables):
        yield world


async def emptied(url: str) -> AsyncIterator[SqlWorld]:
    world = SqlWorld(url, pool_size=5)
    await world.clear()
    yield world
    await world.database.close()


class Clock:
    """The time, naive UTC, as a test sets it."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def marks_of(world: SqlWorld, clock: Clock | None = None, horizon: int = HORIZON) -> MarkPurge:
    return MarkPurge(world.database, KEEP, horizon, clock or Clock())


async def purged(purge: Purge, rows: int = 512) -> int:
    """One round in batches of `rows`: how many rows it removed."""
    purge.begin()
    removed = 0
    while True:
        step = await purge.step(rows)
        removed += step.removed
        if not step.left:
            return removed


# ---------------------------------------------------------------- marks


async def test_old_marks_far_below_the_position_go(world: SqlWorld) -> None:
    """And no other: neither young ones, nor those near the position, nor any above it."""
    await put_position(world, 1_000)
    await put_marks(world, OLD, range(1_010))
    await put_marks(world, YOUNG, range(2_000, 2_050), partition=ORDERS)
    await put_position(world, 9_000, ORDERS)
    assert await purged(marks_of(world), rows=128) == 900
    assert await offsets_left(world) == list(range(900, 1_010))
    assert len(await offsets_left(world, ORDERS)) == 50


async def test_marks_of_a_partition_without_a_position_stay(world: SqlWorld) -> None:
    """Whoever claims it first begins at its earliest record."""
    await put_marks(world, OLD, range(50), partition=PRODUCTS)
    assert await purged(marks_of(world)) == 0
    assert len(await offsets_left(world, PRODUCTS)) == 50


async def test_an_active_group_that_is_behind_keeps_its_marks(world: SqlWorld) -> None:
    """The marks belong to the database, and so to all of its groups."""
    await put_position(world, 1_000)
    await put_position(world, 300, group="another", updated_at=YOUNG)
    await put_marks(world, OLD, range(1_000))
    assert await purged(marks_of(world)) == 200
    assert await offsets_left(world) == list(range(200, 1_000))


async def test_a_group_that_left_long_ago_keeps_nothing(world: SqlWorld) -> None:
    """As long as another one is at work."""
    await put_position(world, 1_000)
    await put_position(world, 300, group="another", updated_at=OLD)
    await put_marks(world, OLD, range(1_000))
    assert await purged(marks_of(world)) == 900


async def test_ids_of_any_bytes_are_purged(world: SqlWorld) -> None:
    """Ids are compared byte for byte: quotes, NUL and what is no text are like any others."""
    ids = [b"'\\\"%s:x", b"\x00\xff", b"A", b"a", b"a ", bytes(range(1, 256))]
    await put_position(world, 1_000)
    await put_marks(world, OLD, range(len(ids)), ids=ids)
    await put_marks(world, YOUNG, range(500, 502), ids=[b"\x00\xfe", b"a  "])
    assert await purged(marks_of(world)) == len(ids)
    assert await offsets_left(world) == [500, 501]


async def test_a_mark_made_anew_meanwhile_stays(world: SqlWorld) -> None:
    """Another replica purged it, its event came once more: it is as good as any young one."""

    class Overtaken(MarkPurge):
        async def _delete(self, ids: Sequence[bytes], cut: datetime, rows: int) -> int:
            again = update(processed_events).where(processed_events.c.record_offset == 1)
            await execute(world.database, again.values(processed_at=NOON))
            return await super()._delete(ids, cut, rows)

    await put_position(world, 1_000)
    await put_marks(world, OLD, range(3))
    assert await purged(Overtaken(world.database, KEEP, HORIZON, Clock())) == 2
    assert await offsets_left(world) == [1]


async def test_two_replicas_purge_side_by_side(world: SqlWorld) -> None:
    """Without an error, and no row is counted twice."""
    await put_position(world, 10_000)
    await put_marks(world, OLD, range(3_000))
    rivals = [marks_of(world) for _ in range(3)]
    removed = 0
    while await offsets_left(world):
        removed += sum(await asyncio.gather(*(purged(rival, rows=64) for rival in rivals)))
    assert removed == 3_000


async def test_lanes_write_while_marks_are_purged(world: SqlWorld) -> None:
    """Neither side fails, what was written stays, and a copy of a purged event is stale."""
    await put_position(world, 100_000, ORDERS, group="another")
    await put_marks(world, OLD, range(3_000), partition=ORDERS)

    async def lane(number: int) -> None:
        partition = Partition("customers", number)
        lease = await claimed(world, partition)
        for batch in range(20):
            events = [event(batch * 10 + i, number * 10 + i + 1, partition=partition) for i in range(10)]
            outcomes, lease = await write(world, lease, *events)
            assert set(outcomes) == {Outcome.APPLIED}

    purging = asyncio.create_task(purged(marks_of(world), rows=64))
    await asyncio.gather(lane(0), lane(1))
    assert await purging == 3_000
    assert await count(world) == 400


async def test_a_record_that_is_read_again_without_its_mark_is_stale(world: SqlWorld) -> None:
    """Whatever became of its mark, no write makes a record older."""
    lease = await claimed(world)
    first, second = event(0, name="first"), event(1, name="second")
    _, lease = await write(world, lease, first, second)
    await execute(world.database, update(processed_events).values(processed_at=OLD))
    assert await purged(marks_of(world, horizon=0)) == 2
    outcomes, _ = await write(world, lease, first, second)
    assert outcomes == [Outcome.STALE, Outcome.STALE]


# ---------------------------------------------------------------- walks


async def test_marks_that_must_stay_are_not_walked_again_each_round(
    small_world: SqlWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they are many, rounds look at what became old since; after an hour at all of them."""
    monkeypatch.setattr(purging, "FEW_KEPT_MARKS", 10)
    clock = Clock()
    purge = marks_of(small_world, clock)
    await put_position(small_world, 50)
    await put_marks(small_world, OLD, range(40))
    assert await purged(purge, rows=16) == 0

    await put_position(small_world, 1_000)
    await put_marks(small_world, NOON - KEEP + timedelta(seconds=30), range(500, 520))
    clock.now += timedelta(minutes=1)
    assert await purged(purge, rows=16) == 20
    clock.now += timedelta(hours=1)
    assert await purged(purge, rows=16) == 40


async def test_few_marks_that_must_stay_are_looked_at_each_round(small_world: SqlWorld) -> None:
    """They go as soon as the position has moved on."""
    purge = marks_of(small_world)
    await put_position(small_world, 50)
    await put_marks(small_world, OLD, range(40))
    assert await purged(purge, rows=16) == 0
    await put_position(small_world, 1_000)
    assert await purged(purge, rows=16) == 40


async def test_within_a_round_no_mark_is_looked_at_twice(small_world: SqlWorld) -> None:
    """Also not those that were made at the same moment, which is what a batch does."""
    await put_position(small_world, 0)
    await put_marks(small_world, OLD, range(100))
    purge = marks_of(small_world)
    purge.begin()
    steps = 1
    while (await purge.step(16)).left:
        steps += 1
        assert steps < 20
    assert steps == 100 // 16 + 1


async def test_the_oldest_marks_are_found_by_their_index(mariadb_world: SqlWorld) -> None:
    """Without sorting, and without looking at young ones: the table may have a billion rows."""
    await put_marks(mariadb_world, OLD, range(500))
    await put_marks(mariadb_world, YOUNG, range(500, 5_000))
    await put_position(mariadb_world, 10_000)
    await execute(mariadb_world.database, text("ANALYZE TABLE processed_events"))
    found = await plans(mariadb_world, purged(marks_of(mariadb_world), rows=128))
    assert {(verb, key) for verb, key, _ in found} == {
        ("SELECT", "ix_processed_events_processed_at"),
        ("DELETE", "PRIMARY"),
    }
    assert not any("filesort" in extra for _, _, extra in found)


# ---------------------------------------------------------------- letters


async def test_letters_that_failed_long_ago_go(world: SqlWorld) -> None:
    """With what operators did to them; one that is still to be tried again stays, however old it is."""
    for failed_at in (LONG_DEAD, LATELY_DEAD):
        for status in LetterStatus:
            await put_letters(world, failed_at, [status])
    assert await purged(LetterPurge(world.database, LETTERS_KEEP, Clock()), rows=4) == 4
    left = await world.read(select(dead_letters.c.status, dead_letters.c.last_failed_at))
    assert {row["status"] for row in left if row["last_failed_at"] == LATELY_DEAD} == set(LetterStatus)
    assert [row["status"] for row in left if row["last_failed_at"] == LONG_DEAD] == ["retrying"]
    assert await count_actions(world) == len(left) == 6


async def test_a_letter_that_is_wanted_back_meanwhile_stays(world: SqlWorld) -> None:
    """An operator replays it between the look and the lock."""

    class Overtaken(LetterPurge):
        async def _delete(self, ids: Sequence[int], cut: datetime) -> int:
            again = update(dead_letters).where(dead_letters.c.id == ids[0]).values(status="retrying")
            await execute(world.database, again)
            return await super()._delete(ids, cut)

    await put_letters(world, LONG_DEAD, ["dead"] * 3)
    assert await purged(Overtaken(world.database, LETTERS_KEEP, Clock())) == 2
    assert [row["status"] for row in await world.read(select(dead_letters.c.status))] == ["retrying"]
    assert await count_actions(world) == 1


async def test_a_round_over_letters_ends_where_they_are_young(small_world: SqlWorld) -> None:
    """But for one an hour, which finds those that are out of order."""
    clock = Clock()
    purge = LetterPurge(small_world.database, LETTERS_KEEP, clock)
    assert await purged(purge) == 0
    await put_letters(small_world, LATELY_DEAD, ["dead"] * 20)
    await put_letters(small_world, LONG_DEAD, ["dead"])
    assert await purged(purge, rows=16) == 0
    clock.now += timedelta(hours=1)
    assert await purged(purge, rows=16) == 1


# ---------------------------------------------------------------- all of it


async def test_the_service_purges_both(world: SqlWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `app` puts it together, with the settings' days and records, counted by table."""
    monkeypatch.setattr(retention, "FIRST_ROUND_SECONDS", (0.0, 0.0))
    now = utc_now()
    await put_position(world, 1_000, updated_at=now)
    await put_marks(world, now - timedelta(days=10), range(1_000))
    await put_letters(world, now - timedelta(days=20), ["dead", "retrying"])
    metrics = Metrics("0")
    chosen = RetentionSettings.model_validate(
        {
            "MARK_RETENTION_DAYS": 7,
            "MARK_RETENTION_HORIZON_RECORDS": 50,
            "DEAD_LETTER_RETENTION_DAYS": 15,
        }
    )
    task = asyncio.create_task(
        build_retention(chosen, world.database, asyncio.Lock(), metrics).run(), name="retention"
    )
    wanted = {"processed_events": 950, "dead_letters": 1}
    async with asyncio.timeout(30):
        while counted(metrics) != wanted:  # noqa: ASYNC110 - metrics tell nobody
            await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await offsets_left(world) == list(range(950, 1_000))


# ---------------------------------------------------------------- what tests put and look at


async def execute(
    database: Database, statement: Any, rows: Sequence[Mapping[str, object]] | None = None
) -> None:
    async with database.transaction() as transaction:
        await transaction.execute(statement, rows)


async def put_position(
    world: SqlWorld,
    next_offset: int,
    partition: Partition = CUSTOMERS,
    *,
    group: str = GROUP,
    updated_at: datetime = NOON,
) -> None:
    """Let a group stand there, where it last moved at `updated_at`."""
    columns = consumer_positions.c
    key = {"group_id": group, "topic": partition.topic, "partition_id": partition.number}
    row = key | {
        "next_offset": next_offset,
        "handled_offset": next_offset,
        "claim_id": "0" * 32,
        "epoch": 1,
        "cache_namespace": "0",
        "updated_at": updated_at,
    }
    async with world.database.transaction() as transaction:
        here = (columns.group_id == group) & (columns.topic == partition.topic)
        await transaction.execute(consumer_positions.delete().where(here))
        await transaction.execute(insert(consumer_positions), [row])


async def put_marks(
    world: SqlWorld,
    processed_at: datetime,
    offsets: Iterable[int],
    *,
    partition: Partition = CUSTOMERS,
    ids: Sequence[bytes] | None = None,
) -> None:
    """Marks of records at these offsets, all made at one moment."""
    events = [
        event(offset, partition=partition, event_id=None if ids is None else ids[number], seconds=0)
        for number, offset in enumerate(offsets)
    ]
    rows = [mark_row(each, Outcome.APPLIED, processed_at) for each in events]
    async with world.database.transaction() as transaction:
        await transaction.write(world.database.dialect.insert(processed_events, MARK_COLUMNS, rows))


async def put_letters(world: SqlWorld, failed_at: datetime, statuses: Sequence[str]) -> None:
    """Letters with these statuses, one after the other, each with an action."""
    for status in statuses:
        number = await count(world, dead_letters) + 1
        row = {
            "topic": "customers",
            "partition_id": 0,
            "record_offset": number,
            "record_timestamp": 0,
            "record_headers": "[]",
            "size": 0,
            "digest": str(number),
            "stage": "apply",
            "error_class": "X",
            "error_message": "",
            "attempts": 1,
            "status": str(status),
            "first_failed_at": failed_at,
            "last_failed_at": failed_at,
        }
        async with world.database.transaction() as transaction:
            result = await transaction.execute(insert(dead_letters).values(row))
            action = {
                "letter_id": (result.inserted_primary_key or (None,))[0],
                "action": "replay",
                "actor": "test",
                "status": str(status),
                "acted_at": at(0),
            }
            await transaction.execute(insert(dead_letter_actions), [action])


async def offsets_left(world: SqlWorld, partition: Partition = CUSTOMERS) -> list[int]:
    query = select(processed_events.c.record_offset).where(processed_events.c.topic == partition.topic)
    return sorted(row["record_offset"] for row in await world.read(query))


async def count(world: SqlWorld, table: Any = processed_events) -> int:
    ((row),) = await world.read(select(func.count().label("n")).select_from(table))
    return int(row["n"])


async def count_actions(world: SqlWorld) -> int:
    """The actions whose letter is there; none is left behind."""
    actions = await count(world, dead_letter_actions)
    joined = select(dead_letters.c.id).join(
        dead_letter_actions, dead_letter_actions.c.letter_id == dead_letters.c.id
    )
    assert len(await world.read(joined)) == actions
    return actions


async def plans(world: SqlWorld, work: Awaitable[object]) -> list[tuple[str, str, str]]:
    """Do `work`, then ask MariaDB how it went about the marks: each statement's verb, index, and the rest."""
    sent: list[tuple[str, Any]] = []
    engine = world.database.engine

    def note(_connection: Any, _cursor: Any, sql: str, values: Any, *_rest: Any) -> None:
        sent.append((sql, values))

    listen(engine.sync_engine, "before_cursor_execute", note)
    await work
    remove(engine.sync_engine, "before_cursor_execute", note)
    async with engine.connect() as connection:
        found = []
        for sql, values in sent:
            if processed_events.name in sql:
                plan = (await connection.exec_driver_sql(f"EXPLAIN {sql}", values)).one()
                found.append((sql.split()[0], plan.key, plan.Extra))
        await connection.rollback()
    return found


def counted(metrics: Metrics) -> dict[str, float]:
    tables = ("processed_events", "dead_letters")
    value = metrics.registry.get_sample_value
    return {table: value("upsertd_purged_total", {"table": table}) or 0 for table in tables}
