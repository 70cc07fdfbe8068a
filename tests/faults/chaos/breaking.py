"""Replicas and servers that are killed, stopped, frozen, emptied or put back. Listed in `faults`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.faults.chaos.fault import Place
from tests.faults.proxy import Weather

# ---------------------------------------------------------------- replicas


@asynccontextmanager
async def replica_killed(place: Place) -> AsyncIterator[None]:
    await place.replica.kill9()
    yield
    place.replica.start()


@asynccontextmanager
async def all_replicas_killed(place: Place) -> AsyncIterator[None]:
    for replica in place.stage.replicas:
        await replica.kill9()
    yield
    for replica in place.stage.replicas:
        replica.start()


@asynccontextmanager
async def replica_restarted(place: Place) -> AsyncIterator[None]:
    code = await place.replica.sigterm(timeout_seconds=60)
    if code not in {0, 1}:  # 1: something else was away at the same time, and it said so
        raise place.replica.failed("it was asked to end")
    yield
    place.replica.start()


@asynccontextmanager
async def replica_frozen(place: Place) -> AsyncIterator[None]:
    place.replica.stop()
    yield
    place.replica.cont()


# ---------------------------------------------------------------- servers


@asynccontextmanager
async def database_killed(place: Place) -> AsyncIterator[None]:
    await asyncio.to_thread(place.servers.mariadb.kill)
    yield
    await asyncio.to_thread(place.servers.mariadb.start)


@asynccontextmanager
async def database_stopped(place: Place) -> AsyncIterator[None]:
    await asyncio.to_thread(place.servers.mariadb.stop)
    yield
    await asyncio.to_thread(place.servers.mariadb.start)


@asynccontextmanager
async def database_frozen(place: Place) -> AsyncIterator[None]:
    place.servers.mariadb.suspend()
    yield
    place.servers.mariadb.resume()


@asynccontextmanager
async def database_restored(place: Place) -> AsyncIterator[None]:
    """What was written while the fault was held is gone afterwards, as after a fail-over to a replica."""
    mariadb, database = place.servers.mariadb, place.stage.database
    backup = await asyncio.to_thread(mariadb.dump, database)
    yield
    # A half-restored database is nobody's to see: without its positions it would look like a new one.
    proxies = [each.database for each in place.servers.proxies]
    for proxy in proxies:
        proxy.weather = Weather.REFUSED
    await asyncio.to_thread(mariadb.restore, database, backup)
    for proxy in proxies:
        proxy.weather = Weather.CLEAR


@asynccontextmanager
async def broker_killed(place: Place) -> AsyncIterator[None]:
    await asyncio.to_thread(place.servers.kafka.kill)
    yield
    await asyncio.to_thread(place.servers.kafka.start)


@asynccontextmanager
async def broker_stopped(place: Place) -> AsyncIterator[None]:
    await asyncio.to_thread(place.servers.kafka.stop)
    yield
    await asyncio.to_thread(place.servers.kafka.start)


@asynccontextmanager
async def broker_frozen(place: Place) -> AsyncIterator[None]:
    place.servers.kafka.suspend()
    yield
    place.servers.kafka.resume()


@asynccontextmanager
async def redis_killed(place: Place) -> AsyncIterator[None]:
    await asyncio.to_thread(place.servers.redis.kill)
    yield
    await asyncio.to_thread(place.servers.redis.start)


@asynccontextmanager
async def redis_flushed(place: Place) -> AsyncIterator[None]:
    await asyncio.to_thread(place.servers.redis.flush)
    yield


@asynccontextmanager
async def redis_frozen(place: Place) -> AsyncIterator[None]:
    place.servers.redis.suspend()
    yield
    place.servers.redis.resume()
