"""The baseline stays what it is: its statements for each event, counted on the server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiokafka import ConsumerRecord
from redis.asyncio import Redis

from benchmarks.load import Generator, Message
from benchmarks.naive import Base, NaiveConsumer, open_engine
from benchmarks.probe import QUESTIONS, Probe


@pytest.fixture
async def naive(database_url: str, redis_url: str) -> AsyncIterator[NaiveConsumer]:
    """A naive consumer with tables of its own; one connection is open already."""
    engine, cache = open_engine(database_url), Redis.from_url(redis_url)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield NaiveConsumer(engine, cache, ttl_seconds=300)
    await cache.aclose()
    await engine.dispose()


@pytest.mark.parametrize(
    ("entity", "inserts", "deletes"),
    [
        pytest.param("customers", 2, 0, id="customer"),
        pytest.param("products", 2, 0, id="product"),
        # The lines: one statement removes them, one writes all of them.
        pytest.param("orders", 3, 1, id="order-with-lines"),
    ],
)
async def test_an_original_takes_three_committed_statements(
    naive: NaiveConsumer, database_url: str, entity: str, inserts: int, deletes: int
) -> None:
    """Check, upsert and mark, each committed, and SQLAlchemy's ROLLBACK whenever a connection goes back."""
    counted = await _count(naive, database_url, _original(entity))
    assert counted == {
        QUESTIONS: 1 + inserts + deletes + 3 + 3,
        "Com_select": 1,
        "Com_insert": inserts,
        "Com_update": 0,
        "Com_delete": deletes,
        "Com_commit": 3,
        "Com_rollback": 3,
    }


async def test_a_copy_that_redis_knows_takes_none(naive: NaiveConsumer, database_url: str) -> None:
    """A cache hit costs the database nothing."""
    original = _original("customers")
    await naive.handle(_record(original))
    assert set((await _count(naive, database_url, original)).values()) == {0}


async def test_a_copy_that_redis_has_forgotten_takes_the_check(
    naive: NaiveConsumer, database_url: str, redis_url: str
) -> None:
    """The mark is found, and nothing is written."""
    original = _original("customers")
    await naive.handle(_record(original))
    async with Redis.from_url(redis_url) as cache:
        await cache.flushdb()
    counted = await _count(naive, database_url, original)
    assert {kind: number for kind, number in counted.items() if number} == {
        QUESTIONS: 3,
        "Com_select": 1,
        "Com_commit": 1,
        "Com_rollback": 1,
    }


async def _count(naive: NaiveConsumer, url: str, message: Message) -> dict[str, int]:
    """The statements that the server counts while this message is handled."""
    with Probe(url) as probe:
        before = probe.statements()
        await naive.handle(_record(message))
        return {kind: number - before[kind] for kind, number in probe.statements().items()}


def _original(entity: str) -> Message:
    load = Generator("mix", seed=7).load(30, 0)
    return next(message for message in load.measured if message.entity == entity)


def _record(message: Message) -> ConsumerRecord:
    return ConsumerRecord(
        topic=message.entity,
        partition=message.partition,
        offset=0,
        timestamp=0,
        timestamp_type=0,
        key=message.key,
        value=message.value,
        checksum=None,
        serialized_key_size=len(message.key),
        serialized_value_size=len(message.value),
        headers=(),
    )
