"""Taking a batch out of aiokafka's consumer, whole, with the position after it.

`KafkaSource.fetch` calls `take` under its own deadline and decides who may have the batch. After any
exception the position is where it was, so that the next call starts at the same record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException, RecordTooLargeError

from service.core.types import Batch, Partition, Record
from service.sources.kafka_options import MAX_PARTITION_FETCH_BYTES, as_it_is
from service.sources.kafka_tolerant import take_tolerantly

# On top of what a caller is ready to wait: getmany's own timer comes first, but for a rebalance.
_GRACE_SECONDS = 0.25


class RawRecord(Protocol):
    """What is read of a record, whichever of aiokafka's types it has."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class _PlainRecords(fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka is untyped
    """What was fetched of a partition, for our consumers as aiokafka's parser in C hands it over.

    Its own records are frozen dataclasses: to make one takes longer than anything else on the way to ours.
    """

    def _consumer_record(self, tp: TopicPartition, record: RawRecord) -> object:
        if self._key_deserializer is as_it_is:
            return record
        return super()._consumer_record(tp, record)


# The name under which aiokafka's fetcher looks for it.
fetcher.PartitionRecords = _PlainRecords


def kafka_name(partition: Partition) -> TopicPartition:
    """The partition in aiokafka's words."""
    return TopicPartition(partition.topic, partition.number)


async def take(
    consumer: AIOKafkaConsumer, partition: Partition, cluster_id: str, max_records: int, wait_seconds: float
) -> Batch:
    """The next records of `partition`, as `Source.fetch` describes it; raises aiokafka's errors."""
    tp = kafka_name(partition)
    try:
        taken = await _getmany(consumer, tp, max_records, wait_seconds)
    except RecordTooLargeError as error:
        return Batch((_without_bytes(partition, cluster_id, error),), await consumer.position(tp))
    except (CorruptRecordException, UnicodeDecodeError):
        start = await consumer.position(tp)
        taken, end = await take_tolerantly(consumer, tp, start, max_records, MAX_PARTITION_FETCH_BYTES)
        if await consumer.position(tp) != start:
            return Batch((), await consumer.position(tp))  # sought meanwhile: not what was asked for any more
        consumer.seek(tp, end)
    # Valid since `seek`, so that this does not wait and nothing can come between it and the records.
    end = await consumer.position(tp)
    return Batch(tuple(_record(partition, cluster_id, record) for record in taken), end)


async def _getmany(
    consumer: AIOKafkaConsumer, tp: TopicPartition, max_records: int, wait_seconds: float
) -> list[RawRecord]:
    try:
        async with asyncio.timeout(wait_seconds + _GRACE_SECONDS):
            taken = await consumer.getmany(tp, timeout_ms=wait_seconds * 1000, max_records=max_records)
    except TimeoutError:
        return []  # a rebalance: getmany waits for its end, whatever its timeout says
    return list(taken.get(tp, ()))


def _record(partition: Partition, cluster_id: str, record: RawRecord) -> Record:
    return Record(
        partition,
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        tuple(record.headers),
        cluster_id,
    )


def _without_bytes(partition: Partition, cluster_id: str, error: RecordTooLargeError) -> Record:
    """What is known of a record that aiokafka did not hand over: it has moved beyond it already."""
    _message, _tp, offset, fetched_bytes = error.args
    return Record(partition, offset, -1, None, None, (), cluster_id, missing_bytes=fetched_bytes)
