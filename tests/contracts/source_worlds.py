"""The two worlds in which `test_source.py` plays: Kafka in memory, and a real broker.

A world has one topic with three partitions and one group; it writes, trims and resets as producers,
retention and operators do, and makes members of the group.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Collection
from typing import Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from service.core.ports import Source
from service.core.types import Partition
from service.sources.kafka import KafkaOptions, KafkaSource
from service.testing.source import InMemoryKafka, InMemorySource
from tests.servers.kafka import Kafka

PARTITIONS = 3
PATIENCE_SECONDS = 20

Headers = tuple[tuple[str, bytes | None], ...]


class MonitoredSource(Source, Protocol):
    """A source with what the monitor asks beside the port."""

    async def lag_ends(self, partitions: Collection[Partition]) -> dict[Partition, int]: ...

    async def topic_partitions(self, topic: str) -> tuple[Partition, ...]: ...

    async def ping(self) -> None: ...


class World(Protocol):
    """What surrounds a source."""

    topic: str

    def source(self) -> MonitoredSource: ...

    async def produce(
        self,
        number: int,
        *values: bytes | None,
        key: bytes | None = None,
        headers: Headers = (),
        timestamp_ms: int = 0,
    ) -> None: ...

    async def commit_transaction(self, number: int, value: bytes) -> None:
        """One record and, after it, an offset that holds a marker."""

    async def abort_transaction(self, number: int, value: bytes) -> None:
        """Two offsets that readers of committed records never see."""

    async def trim(self, number: int, beginning: int) -> None: ...

    async def reset(self, number: int, offset: int) -> None:
        """Commit without our metadata; only while the group has no members."""


class MemoryWorld:
    """A world of `service.testing`."""

    def __init__(self) -> None:
        self.topic = "events"
        self.kafka = InMemoryKafka({self.topic: PARTITIONS})

    def source(self) -> InMemorySource:
        return InMemorySource(self.kafka)

    async def produce(
        self,
        number: int,
        *values: bytes | None,
        key: bytes | None = None,
        headers: Headers = (),
        timestamp_ms: int = 0,
    ) -> None:
        for value in values:
            self.kafka.append(self._at(number), value, key=key, headers=headers, timestamp_ms=timestamp_ms)

    async def commit_transaction(self, number: int, value: bytes) -> None:
        self.kafka.append(self._at(number), value)
        self.kafka.append_gap(self._at(number))

    async def abort_transaction(self, number: int, value: bytes) -> None:
        self.kafka.append_gap(self._at(number), 2)

    async def trim(self, number: int, beginning: int) -> None:
        self.kafka.trim(self._at(number), beginning)

    async def reset(self, number: int, offset: int) -> None:
        self.kafka.reset_group_offset(self._at(number), offset)

    def _at(self, number: int) -> Partition:
        return Partition(self.topic, number)


class KafkaWorld:
    """A world of its own on a real broker: a fresh topic, a fresh group."""

    def __init__(self, kafka: Kafka, partitions: int = PARTITIONS) -> None:
        self.topic = f"events-{uuid.uuid4().hex}"
        self.group = f"group-{uuid.uuid4().hex}"
        self.bootstrap = kafka.bootstrap
        kafka.create_topic(self.topic, partitions)

    def options(self) -> KafkaOptions:
        return KafkaOptions(
            bootstrap_servers=self.bootstrap,
            group_id=self.group,
            topics=(self.topic,),
            session_timeout_seconds=6,
            metadata_max_age_seconds=1,
        )

    def source(self) -> KafkaSource:
        return KafkaSource(self.options())

    async def produce(
        self,
        number: int,
        *values: bytes | None,
        key: bytes | None = None,
        headers: Headers = (),
        timestamp_ms: int = 0,
        compression: str | None = None,
    ) -> None:
        async with AIOKafkaProducer(
            bootstrap_servers=self.bootstrap, compression_type=compression
        ) as producer:
            for value in values:
                await producer.send_and_wait(
                    self.topic, value, key, number, headers=list(headers), timestamp_ms=timestamp_ms or None
                )

    async def commit_transaction(self, number: int, value: bytes) -> None:
        await self._transaction(number, value, keep=True)

    async def abort_transaction(self, number: int, value: bytes) -> None:
        await self._transaction(number, value, keep=False)

    async def _transaction(self, number: int, value: bytes, *, keep: bool) -> None:
        end = await self._stable_end(number) + 2
        async with AIOKafkaProducer(
            bootstrap_servers=self.bootstrap, transactional_id=f"writer-{uuid.uuid4().hex}"
        ) as producer:
            await producer.begin_transaction()
            await producer.send_and_wait(self.topic, value, partition=number)
            await (producer.commit_transaction() if keep else producer.abort_transaction())
        async with asyncio.timeout(PATIENCE_SECONDS):
            # The broker answers before its marker is written, and there is no event to wait for.
            while await self._stable_end(number) < end:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def _stable_end(self, number: int) -> int:
        async with AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, isolation_level="read_committed"
        ) as reader:
            partition = TopicPartition(self.topic, number)
            ends: dict[TopicPartition, int] = await reader.end_offsets([partition])
            return ends[partition]

    async def trim(self, number: int, beginning: int) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            await admin.delete_records({TopicPartition(self.topic, number): RecordsToDelete(beginning)})
        finally:
            await admin.close()

    async def reset(self, number: int, offset: int) -> None:
        operator = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, group_id=self.group, enable_auto_commit=False
        )
        operator.assign([TopicPartition(self.topic, number)])
        await operator.start()
        try:
            await operator.commit({TopicPartition(self.topic, number): offset})
        finally:
            await operator.stop()


class Lanes:
    """A listener that writes down what it hears, and that tests can wait for.

    It commits `last_commits` through `source` while its partitions are revoked.
    """

    def __init__(self) -> None:
        self.owned: tuple[Partition, ...] = ()
        self.revocations: list[tuple[Partition, ...]] = []
        self.last_commits: dict[Partition, int] = {}
        self.source: Source | None = None
        self._heard = asyncio.Event()

    async def on_assigned(self, partitions: Collection[Partition]) -> None:
        self.owned = tuple(sorted(partitions))
        self._tell()

    async def on_revoked(self, partitions: Collection[Partition]) -> None:
        for partition in partitions:
            if self.source is not None and partition in self.last_commits:
                await self.source.commit(partition, self.last_commits[partition])
        self.revocations.append(tuple(sorted(partitions)))
        self.owned = ()
        self._tell()

    async def own(self, *counts: int) -> tuple[Partition, ...]:
        """Wait until this member owns one of these numbers of partitions."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.owned) not in counts:
                await self._heard.wait()
        return self.owned

    async def lose(self) -> None:
        """Wait for the next revocation."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self.revocations:
                await self._heard.wait()

    def _tell(self) -> None:
        self._heard.set()
        self._heard = asyncio.Event()


async def read(source: Source, partition: Partition, count: int) -> list[bytes | None]:
    """The values of the next `count` records."""
    values: list[bytes | None] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(values) < count:
            batch = await source.fetch(partition, count - len(values), 0.5)
            values += [record.value for record in batch.records]
    return values


async def position_at(source: Source, partition: Partition, end: int) -> None:
    """Fetch, expecting no records, until the position is `end`."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (batch := await source.fetch(partition, 100, 0.2)).end < end:
            assert not batch.records
    assert batch.end == end
