"""Redis and the database go away and come back: the service waits for the one and does without the other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import cycle

import pytest
import redis

from tests.e2e.messages import Change, Message
from tests.e2e.service_process import ServiceProcess
from tests.e2e.stage import Stage, staged
from tests.e2e.workload import PLAIN, Workload
from tests.e2e.world import CACHE_PREFIX, read_progress
from tests.servers import Kafka, MariaDb, Redis

_PER_SECOND = 600


@pytest.fixture
def own_redis() -> Iterator[Redis]:
    """A Redis that may be killed."""
    with Redis() as server:
        yield server


@pytest.fixture
def own_mariadb() -> Iterator[MariaDb]:
    """A MariaDB that may be killed."""
    with MariaDb() as server:
        yield server


async def test_redis_emptied_stopped_and_started(
    kafka: Kafka, mariadb: MariaDb, own_redis: Redis, schema: bytes, seed: int
) -> None:
    """Without Redis, or with an empty one, the same rows come out, and it is used again when it is back."""
    workload = Workload(seed)
    with staged(kafka, mariadb, own_redis, schema) as stage:
        replica = stage.start()
        await replica.wait_ready()
        async with stage.load(workload, per_second=_PER_SECOND):
            await stage.wait_for_progress()
            own_redis.flush()
            await stage.wait_for_progress()
            own_redis.kill()
            await stage.wait_for_progress()
            await asyncio.sleep(1)
            await replica.wait_ready()  # degraded is ready
            own_redis.start()
            await _wait_for_hits(replica)
        await stage.settle()
        await stage.judge()


async def test_the_database_stopped_and_crashed(
    kafka: Kafka, own_mariadb: MariaDb, redis_server: Redis, schema: bytes, seed: int
) -> None:
    """While the database is away the service is unready and loses nothing; then it goes on by itself."""
    with staged(kafka, own_mariadb, redis_server, schema) as stage:
        replica = stage.start()
        await replica.wait_ready()
        async with stage.load(Workload(seed), per_second=_PER_SECOND):
            for end in (own_mariadb.stop, own_mariadb.kill):
                await stage.wait_for_progress()
                await asyncio.to_thread(end)
                await replica.wait_for_status("/health/ready", 503, timeout_seconds=15)
                await replica.wait_for_status("/health/live", 200)
                await asyncio.to_thread(own_mariadb.start)
                await replica.wait_ready()
        await stage.settle()
        await stage.judge()


async def test_planted_cache_entries_cost_nothing(stage: Stage, seed: int) -> None:
    """Entries with wrong values or types under ids that are still to come are no hits."""
    replica = stage.start()
    workload = Workload(seed, PLAIN)
    await stage.produce(workload.take(300))
    await stage.settle()
    messages = workload.take(600)
    await _plant(stage, messages)
    before = await _hits(replica)
    await stage.produce(messages)
    await stage.settle()
    await stage.judge()
    assert await _hits(replica) == before


async def _wait_for_hits(replica: ServiceProcess) -> None:
    before = await _hits(replica)
    async with asyncio.timeout(30):
        while await _hits(replica) == before:  # noqa: ASYNC110 -- another process tells nobody
            await asyncio.sleep(0.2)


async def _hits(replica: ServiceProcess) -> float:
    return (await replica.metrics()).total("upsertd_cache_lookups_total", result="hit")


async def _plant(stage: Stage, messages: list[Message]) -> None:
    positions = (await read_progress(stage.world)).positions
    namespaces = cycle(position.cache_namespace for position in positions.values())
    assert stage.world.redis_url is not None
    with redis.Redis.from_url(stage.world.redis_url) as client:
        for number, message in enumerate(messages):
            assert isinstance(message.meaning, Change)
            key = CACHE_PREFIX + (message.meaning.event_id or b"")
            namespace, identity = next(namespaces), message.meaning.entity_id
            values = (
                "1",
                "",
                f"{'0' * len(namespace)}:0:{identity}",
                f"{namespace}:{2**62}:{identity}",
                f"{namespace}:0:{identity + 1}",
                f"{namespace}:-1:{identity}",
                f"{namespace}:0",
                b"\xff\x00:0:1",
            )
            kind = number % (len(values) + 2)
            if kind < len(values):
                client.set(key, values[kind])
            elif kind == len(values):
                client.rpush(key, f"{namespace}:0:{identity}")
            else:
                client.hset(key, "value", f"{namespace}:0:{identity}")
