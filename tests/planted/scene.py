"""One run of a scenario: the service's real parts, what is done to them, and what they are judged by.

Real are lanes, sink, decoders, MariaDB and Redis; Kafka lives in memory. The oracle, the judge and the audit
triggers are those of the end-to-end tests. Beside what they see in the end, each commit of an offset is held
against the database's position at once (I3).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from service.app import utc_now
from service.core.types import Partition
from service.entities.registry import ENTITIES
from service.sinks.sql import SqlSink
from service.stores.processed_cache import RedisProcessedCache
from service.telemetry.metrics import Metrics
from service.testing.source import InMemoryKafka
from tests.e2e import audit, judge
from tests.e2e.messages import TABLES, Message, Place, Produced
from tests.e2e.oracle import Model
from tests.e2e.world import Log, Progress, World
from tests.planted.member import Member, Parts
from tests.planted.ports import StagedDatabase
from tests.planted.steps import PATIENCE_SECONDS
from tests.planted.tables import Tables

GROUP = "upsertd"
PARTITIONS = {"customers": 2, "orders": 1}
_POLL_SECONDS = 0.01
# A lane that has not moved for so long will not move any more: a bug has stopped it.
_STILL_SECONDS = 2.5


class Scene:
    """A stage for one scenario; `open` and `close` frame it."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        self.kafka = InMemoryKafka(PARTITIONS)
        self.database = StagedDatabase(database_url, pool_size=6)
        self.redis_url = redis_url
        # A generous deadline: a miss for want of time would hide what a scenario is about.
        self._cache = RedisProcessedCache(redis_url, deadline_seconds=5)
        self._parts = Parts(
            self.kafka,
            SqlSink(self.database, ENTITIES, GROUP, utc_now),
            self._cache,
            Metrics("planted", ENTITIES),
            self._note_commit,
        )
        self._members: list[Member] = []
        self._steps = [self.database.steps]
        self._model = Model()
        self._world = world_of(database_url, redis_url)
        self.tables = Tables(self._world)
        self._noted: list[str] = []
        self._resets = False

    async def open(self) -> None:
        """Empty the tables."""
        self.tables.open()

    async def close(self) -> None:
        """End what is left, close every connection, leave empty tables as they were made."""
        await self.stop()
        await self._cache.close()
        await self.database.close()
        self.tables.close()

    # ---------------------------------------------------------------- what happens

    async def start(self, *, batch_records: int = 500) -> Member:
        """A new member joins the group."""
        member = self.member(batch_records=batch_records)
        await member.consumer.start()
        return member

    def member(self, *, batch_records: int = 500) -> Member:
        """A member that has not joined yet."""
        member = Member(self._parts, batch_records)
        self._members.append(member)
        self._steps.append(member.steps)
        return member

    async def stop(self) -> None:
        """Every member leaves, having drained its lanes."""
        while self._members:
            await self._members.pop().consumer.stop(2)

    def produce(self, *messages: Message) -> list[Produced]:
        """Append records; `expect` says which of them must be handled, in which order."""
        return [self._append(message) for message in messages]

    def expect(self, records: Iterable[Produced]) -> None:
        """Let the oracle take records that the service must handle."""
        self._model.take_all(records)

    def handle(self, *messages: Message) -> None:
        """Append records that must all be handled, in this order."""
        self.expect(self.produce(*messages))

    def reset(self, partition: Partition, offset: int) -> None:
        """Do as an operator: set the group's offset while no member is there."""
        self._resets = True
        self.kafka.reset_group_offset(partition, offset)

    # ---------------------------------------------------------------- what is seen

    def position(self, partition: Partition) -> int:
        """The position that the database has; -1 where nobody has claimed yet."""
        return self.tables.positions().get(partition, -1)

    def unreached(self) -> list[str]:
        """The steps that were planned and never reached: without them a scenario shows nothing."""
        return [step for steps in self._steps for step in steps.pending]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds; raises TimeoutError where it never does."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():  # noqa: ASYNC110 -- the database tells nobody
                await asyncio.sleep(_POLL_SECONDS)

    async def settle(self) -> None:
        """Wait until every log is handled and committed to its end, or nothing moves any more."""
        now = asyncio.get_running_loop().time
        last, moved_at = self._progress(), now()
        while any(state != (end, end) for state, end in last) and now() < moved_at + _STILL_SECONDS:
            await asyncio.sleep(_POLL_SECONDS)
            if (progress := self._progress()) != last:
                last, moved_at = progress, now()

    async def violations(self) -> list[str]:
        """Let everything come to its end, and list what the invariants say about it."""
        await self.settle()
        await self.stop()
        return [
            *self._noted,
            *await judge.verify(self._model, self._world),
            *audit.check(self._model, self._world, resets=self._resets),
        ]

    async def kafka_progress(self, _world: World) -> Progress:
        """What the judge asks Kafka."""
        offsets = {_log(partition): stored.offset for partition, stored in self.kafka.group_offsets.items()}
        ends = {_log(partition): self.kafka.log_range(partition).end for partition in self.kafka.partitions}
        return Progress(group_offsets=offsets, ends=ends)

    def _note_commit(self, partition: Partition, offset: int) -> None:
        """Hold an accepted commit against the position; a restored database heals only at its next claim."""
        position = self.position(partition)
        if not self.tables.restored and offset > position:
            self._noted.append(f"I3 {partition}: offset {offset} committed, the position is {position}")

    def _progress(self) -> list[tuple[tuple[int, int], int]]:
        positions, offsets = self.tables.positions(), self.kafka.group_offsets
        return [
            (
                (positions.get(partition, -1), offsets[partition].offset if partition in offsets else -1),
                self.kafka.log_range(partition).end,
            )
            for partition in self.kafka.partitions
        ]

    def _append(self, message: Message) -> Produced:
        partition = Partition(TABLES[message.entity], message.partition)
        offset = self.kafka.append(
            partition,
            message.value,
            key=message.key,
            headers=message.headers,
            timestamp_ms=message.timestamp_ms,
        )
        return Produced(message, Place(partition.topic, partition.number, offset), message.timestamp_ms)


def world_of(database_url: str, redis_url: str) -> World:
    """What the judge and the audit have to know; Kafka has no address here."""
    topics = {entity: table for entity, table in TABLES.items() if table in PARTITIONS}
    return World("", GROUP, database_url, topics, redis_url)


def _log(partition: Partition) -> Log:
    return Log(partition.topic, partition.number)
