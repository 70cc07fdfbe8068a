"""Where an outage takes place: a stage with one replica, a proxy before each of its servers, and a feed.

`tours` opens a theatre for each part and plays that part's outages there, one after the other. The harness
itself goes to the servers directly: what the service cannot see, the judge still can.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

from tests.e2e.messages import Produced
from tests.e2e.service_process import ServiceProcess
from tests.e2e.stage import Stage, staged
from tests.e2e.workload import Workload
from tests.faults.proxied import at_port
from tests.faults.proxy import Proxy
from tests.servers import Kafka, MariaDb, Redis

SHUTDOWN_SECONDS = 6
_PER_SLICE = 60  # records
_SLICE_SECONDS = 0.4


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers of a theatre; `schema` is a backup of a migrated, empty database."""

    kafka: Kafka
    mariadb: MariaDb
    redis: Redis
    schema: bytes


class Feed:
    """Produces without end, until it is paused or stopped."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self._stage = stage
        self._workload = Workload(seed)
        # One at a time: the model takes records in the order of their offsets.
        self._sending = asyncio.Lock()
        self._flowing = asyncio.Event()
        self._task = asyncio.create_task(self._flow())
        self.resume()

    async def send(self) -> list[Produced]:
        """Produce a few records now, also while the feed is paused; they reach most of the logs."""
        async with self._sending:
            return await self._stage.produce(self._workload.take(_PER_SLICE))

    async def pause(self) -> None:
        """Produce nothing: Kafka is about to go away, and a producer would not survive it."""
        self._flowing.clear()
        async with self._sending:
            pass

    def resume(self) -> None:
        """Go on producing."""
        self._flowing.set()

    async def stop(self) -> None:
        """End it, after what is on its way."""
        await self.pause()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _flow(self) -> None:
        while True:
            await self._flowing.wait()
            await self.send()
            await asyncio.sleep(_SLICE_SECONDS)


@dataclass(slots=True)
class Theatre:
    """One replica, its servers, and what lies between them."""

    servers: Servers
    stage: Stage
    replica: ServiceProcess
    feed: Feed
    kafka: Proxy | None
    database: Proxy
    redis: Proxy


@asynccontextmanager
async def opened(servers: Servers, kafka_proxy: Proxy | None, seed: int) -> AsyncIterator[Theatre]:
    """A theatre whose replica is ready and fed; `kafka_proxy` where there is one (`kafka_behind`)."""
    with ExitStack() as open_things:
        stage = open_things.enter_context(
            staged(servers.kafka, servers.mariadb, servers.redis, servers.schema)
        )
        database = open_things.enter_context(Proxy(servers.mariadb.port))
        redis = open_things.enter_context(Proxy(servers.redis.port))
        settings = {
            "DATABASE_URL": at_port(stage.world.database_url, database.port),
            "REDIS_URL": f"redis://127.0.0.1:{redis.port}/0",
            "SHUTDOWN_TIMEOUT_SECONDS": str(SHUTDOWN_SECONDS),
        }
        if kafka_proxy is not None:
            settings["KAFKA_BOOTSTRAP_SERVERS"] = f"127.0.0.1:{kafka_proxy.port}"
        replica = stage.start(**settings)
        await replica.wait_ready()
        feed = Feed(stage, seed)
        try:
            yield Theatre(servers, stage, replica, feed, kafka_proxy, database, redis)
        finally:
            await feed.stop()
