"""One scenario: its topics, its database, its replicas, what was sent, and the model of what must come of it.

The fixture `stage` makes one for each test; scenarios read as a list of what happens on it. It runs the
service by its outside names only.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager

import pymysql
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from tests.e2e import audit, judge
from tests.e2e.hostile import CANARY
from tests.e2e.messages import TABLES, Message, Place, Produced
from tests.e2e.oracle import Model
from tests.e2e.producing import produce
from tests.e2e.service_process import ServiceFailed, ServiceProcess
from tests.e2e.workload import Workload
from tests.e2e.world import Fields, Log, World, connect, read_progress, select
from tests.servers import Kafka, MariaDb, Redis

PARTITIONS = 3
_POLL_SECONDS = 0.25
# What Python writes when a task or a connection was forgotten.
_LEAKS = ("never retrieved", "never awaited", "was destroyed but it is pending", "Unclosed ")


@contextmanager
def staged(kafka: Kafka, mariadb: MariaDb, redis_server: Redis, schema: bytes) -> Iterator[Stage]:
    """A stage, and its end."""
    stage = Stage(kafka, mariadb, redis_server, schema)
    try:
        yield stage
    finally:
        stage.close()


class Stage:
    """The world of one scenario on shared servers; `close` ends its processes."""

    def __init__(self, kafka: Kafka, mariadb: MariaDb, redis_server: Redis, schema: bytes) -> None:
        """Make topics and database; `schema` is a backup of a migrated, empty database."""
        name = secrets.token_hex(4)
        self._kafka = kafka
        self._mariadb = mariadb
        self._schema = schema
        self.database = f"upsertd_e2e_{name}"
        topics = {entity: f"{table}-{name}" for entity, table in TABLES.items()}
        for topic in topics.values():
            # The records carry times of the past: Kafka's retention would remove them.
            kafka.create_topic(topic, PARTITIONS, retention_ms=-1)
        redis_server.flush()
        url = mariadb.url(self.database)
        self.world = World(kafka.bootstrap, f"group-{name}", url, topics, redis_server.url)
        self.model = Model()
        self.sent: list[Produced] = []
        self.replicas: list[ServiceProcess] = []
        self.renew_database()

    def renew_database(self) -> None:
        """Put a fresh database with empty, audited tables in the place of what is there."""
        self._mariadb.restore(self.database, self._schema)
        audit.install(self.world)

    def start(self, **settings: str) -> ServiceProcess:
        """Start one more replica; `wait_ready` waits."""
        replica = ServiceProcess({**self._settings(), **settings}, f"upsertd-{len(self.replicas) + 1}")
        self.replicas.append(replica)
        replica.start()
        return replica

    async def produce(self, messages: Sequence[Message], *, per_second: float = 0) -> list[Produced]:
        """Send messages; the model takes them as records that will be handled in this order."""
        produced = await produce(self.world, messages, per_second=per_second)
        self.take(produced)
        return produced

    def take(self, records: Sequence[Produced]) -> None:
        """Let the model handle records that the service will handle."""
        self.sent += records
        self.model.take_all(records)

    @asynccontextmanager
    async def load(self, workload: Workload, *, per_second: float) -> AsyncIterator[None]:
        """Produce without end, as long as the context is open."""
        enough = asyncio.Event()

        async def flow() -> None:
            while not enough.is_set():
                await self.produce(workload.take(int(per_second / 2)), per_second=per_second)

        flowing = asyncio.create_task(flow())
        try:
            yield
        finally:
            enough.set()
            await flowing

    async def settle(self, timeout_seconds: float = 60) -> None:
        """Wait until group offsets and positions are at the ends. Raises `ServiceFailed` with what lags."""
        ends = (await read_progress(self.world)).ends

        def drained(positions: Mapping[Log, int]) -> bool:
            return all(positions.get(log, 0) == end for log, end in ends.items())

        deadline = time.monotonic() + timeout_seconds
        await self._wait_for_positions(drained, timeout_seconds)
        while lagging := list((await read_progress(self.world)).lagging()):
            if time.monotonic() > deadline:
                raise self._failed("positions are at the ends, but:\n" + "\n".join(lagging))
            await asyncio.sleep(_POLL_SECONDS)

    async def wait_for_progress(
        self, timeout_seconds: float = 60, *, of_each: Collection[Log] | None = None
    ) -> None:
        """Wait until some position, or each one of these, has moved on from where it is now."""
        before = self.positions()

        def moved(now: Mapping[Log, int]) -> bool:
            if of_each is None:
                return sum(now.values()) > sum(before.values())
            return all(now.get(log, 0) > before.get(log, 0) for log in of_each)

        await self._wait_for_positions(moved, timeout_seconds)

    async def wait_until(self, holds: Callable[[], bool], why: str, timeout_seconds: float = 60) -> None:
        """Wait until something holds; `why` says what it means when it never does."""
        deadline = time.monotonic() + timeout_seconds
        while not await asyncio.to_thread(holds):
            if time.monotonic() > deadline:
                raise self._failed(why)
            await asyncio.sleep(_POLL_SECONDS)

    async def judge(self, *, resets: bool = False) -> None:
        """Fail unless tables, offsets, cache, logs and the list of all writes are as they must be."""
        differences = await judge.verify(self.model, self.world)
        differences += audit.check(self.model, self.world, resets=resets)
        logs = [replica.log for replica in self.replicas]
        differences += [f"I9 {CANARY} in a log" for log in logs if CANARY in log]
        differences += [f"I6 {leak!r} in a log" for leak in _LEAKS for log in logs if leak in log]
        assert not differences, "\n".join(differences)

    async def reset_group(self, offsets: Mapping[Log, int]) -> None:
        """Commit offsets as an operator's tool does: no metadata, the service stopped."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.world.bootstrap, group_id=self.world.group_id, enable_auto_commit=False
        )
        await consumer.start()
        try:
            consumer.assign([TopicPartition(*log) for log in offsets])
            plain = {TopicPartition(*log): OffsetAndMetadata(at, "") for log, at in offsets.items()}
            await consumer.commit(plain)
        finally:
            await consumer.stop()

    def count(self, table: str) -> int:
        """The number of rows of a table."""
        with connect(self.world) as connection:
            [row] = select(connection, f"SELECT COUNT(*) AS number FROM {table}")
        return int(str(row["number"]))

    def positions(self) -> dict[Log, int]:
        """Where the partitions stand in the database."""
        with connect(self.world) as connection:
            rows = select(connection, "SELECT topic, partition_id, next_offset FROM consumer_positions")
        return {
            Log(str(row["topic"]), int(str(row["partition_id"]))): int(str(row["next_offset"]))
            for row in rows
        }

    def letters(self) -> dict[Place, Fields]:
        """The dead letters as they are now."""
        with connect(self.world) as connection:
            rows = select(connection, "SELECT * FROM dead_letters")
        return {judge.place_of(row): row for row in rows}

    def logs(self, *entities: str) -> list[Log]:
        """The partitions of these entities' topics."""
        return [Log(self.world.topics[entity], number) for entity in entities for number in range(PARTITIONS)]

    def connections(self) -> int:
        """How many connections to the database are open, besides the one that asks."""
        sql = "SELECT COUNT(*) FROM information_schema.processlist WHERE db = %s"
        [(number,)] = self._mariadb.execute(sql, parameters=(self.database,))
        return int(str(number))

    def close(self) -> None:
        """End every replica, remove database and topics."""
        for replica in self.replicas:
            replica.close()
        self._mariadb.start()
        self._mariadb.drop_database(self.database)
        for topic in self.world.topics.values():
            self._kafka.delete_topic(topic)

    def _settings(self) -> dict[str, str]:
        topics = {
            f"KAFKA_TOPIC_{TABLES[entity].upper()}": topic for entity, topic in self.world.topics.items()
        }
        return {
            **topics,
            "KAFKA_BOOTSTRAP_SERVERS": self.world.bootstrap,
            "KAFKA_GROUP_ID": self.world.group_id,
            "KAFKA_SESSION_TIMEOUT_SECONDS": "6",
            "DATABASE_URL": self.world.database_url,
            "REDIS_URL": self.world.redis_url or "",
            "LOG_FORMAT": "json",
        }

    async def _wait_for_positions(
        self, holds: Callable[[Mapping[Log, int]], bool], timeout_seconds: float
    ) -> None:
        deadline = time.monotonic() + timeout_seconds
        while not holds(positions := await asyncio.to_thread(self.positions)):
            if time.monotonic() > deadline:
                raise await self._stuck(positions)
            if self.replicas and not any(replica.running for replica in self.replicas):
                raise self._failed("no replica is running")
            await asyncio.sleep(_POLL_SECONDS)

    async def _stuck(self, positions: Mapping[Log, int]) -> ServiceFailed:
        try:
            lagging = list((await read_progress(self.world)).lagging())
        except (KafkaError, pymysql.Error) as error:
            lagging = [f"offsets cannot be read: {type(error).__name__}", str(positions)]
        return self._failed("it does not get on:\n" + "\n".join(lagging))

    def _failed(self, why: str) -> ServiceFailed:
        tails = "\n".join(str(replica.failed("")) for replica in self.replicas)
        return ServiceFailed(f"{why}\n{tails}")
