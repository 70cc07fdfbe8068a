"""A reader of parts of a topic that belongs to no group: it moves no offset, and no member hears of it.

`upsertd replay` reads with it, one partition at a time; what becomes of the records is `pipeline.replay`'s
business. Batches come as `KafkaSource` has them: committed records only, odd headers and records without
bytes included, and an end behind markers and compacted gaps.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer

from service.core.types import Batch, Partition
from service.sources.kafka_closing import STOP_SECONDS, finishes
from service.sources.kafka_errors import answered
from service.sources.kafka_options import MAX_PARTITION_FETCH_BYTES, KafkaOptions, consumer_settings
from service.sources.kafka_reading import kafka_name, take
from service.sources.kafka_tolerant import take_tolerantly

_CLOSE_SECONDS = 1


class KafkaRange:
    """Reads partitions of `topic` in the cluster `cluster_id`, each batch from the offset that is asked for.

    Raises at construction what `consumer_settings` raises. It connects when it is first asked something,
    and anew after a failure; every question ends within `deadline_seconds`.
    """

    def __init__(
        self, options: KafkaOptions, topic: str, cluster_id: str, *, deadline_seconds: float = 8
    ) -> None:
        self._settings = consumer_settings(options) | {"group_id": None}
        self._topic = topic
        self._cluster_id = cluster_id
        self._deadline_seconds = deadline_seconds
        self._consumer: AIOKafkaConsumer | None = None

    async def close(self) -> None:
        """End every connection, within seconds; never raises. A later question makes new ones."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await _close(consumer)

    async def offsets_at(self, partitions: Collection[Partition], timestamp_ms: int) -> dict[Partition, int]:
        """The first offset of each partition whose record is of `timestamp_ms` or later.

        Partitions without such a record are left out. The offset may lie beyond what readers of committed
        records see. Raises `Unavailable`.
        """
        names = {kafka_name(partition): partition for partition in partitions}
        async with self._asking("offsets of a time", self._deadline_seconds) as consumer:
            found = await consumer.offsets_for_times(dict.fromkeys(names, max(0, timestamp_ms)))
        return {names[tp]: at.offset for tp, at in found.items() if at is not None}

    async def fetch(self, partition: Partition, offset: int, max_records: int, wait_seconds: float) -> Batch:
        """The next records from `offset` on, at most `max_records`; without any, an empty batch.

        It waits for them for `wait_seconds`. The batch's `end` is where the next fetch begins: beyond
        `offset`, unless Kafka has records and is slow, or nothing was written yet. Cancelling loses nothing.
        Raises `OffsetOutOfRange` when the log does not reach `offset`, and `Unavailable`.
        """
        async with self._asking(f"fetch {partition}", wait_seconds + self._deadline_seconds) as consumer:
            await _go_to(consumer, partition, offset)
            batch = await take(consumer, partition, self._cluster_id, max_records, wait_seconds)
            if batch.end == offset:
                # aiokafka is as silent about brokers that are away as about a log that has nothing.
                batch = Batch((), await _next_offset(consumer, partition, offset))
            return batch

    @asynccontextmanager
    async def _asking(self, question: str, seconds: float) -> AsyncIterator[AIOKafkaConsumer]:
        """The consumer, for a question that ends in time; one that fails takes its connection along."""
        try:
            async with answered(question, seconds):
                yield await self._connected()
        except BaseException:
            await self.close()
            raise

    async def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            self._consumer = AIOKafkaConsumer(**self._settings)
            await self._consumer.start()
            # Waited for: a client that is closed while it refreshes leaves a connection behind.
            await self._consumer._client.set_topics([self._topic])
        return self._consumer


async def _go_to(consumer: AIOKafkaConsumer, partition: Partition, offset: int) -> None:
    """Let the consumer read `partition`, and nothing else, from `offset` on."""
    tp = kafka_name(partition)
    if consumer.assignment() != {tp}:
        consumer.assign([tp])
    elif await consumer.position(tp) == offset:
        return
    consumer.seek(tp, offset)


async def _next_offset(consumer: AIOKafkaConsumer, partition: Partition, offset: int) -> int:
    """Ask the leader itself where to go on after nothing came from `offset` on; raises aiokafka's errors."""
    tp = kafka_name(partition)
    # First: what is committed after this question was not looked at by the next one.
    end: int = (await consumer.end_offsets([tp]))[tp]
    taken = await take_tolerantly(consumer, tp, offset, 1, MAX_PARTITION_FETCH_BYTES)
    if taken.records or end <= offset:
        return offset
    # Nothing but markers and aborted records, as far as the answer goes; or nothing at all.
    return taken.end if taken.end > offset else end


async def _close(consumer: AIOKafkaConsumer) -> None:
    """End every task and connection: `kafka_closing` does this for members of a group."""
    if await finishes(consumer.stop(), STOP_SECONDS):
        return
    fetcher = consumer._fetcher
    for task in () if fetcher is None else (fetcher._fetch_task, *fetcher._pending_tasks):
        task.cancel()
    await finishes(consumer._client.close(), _CLOSE_SECONDS)
