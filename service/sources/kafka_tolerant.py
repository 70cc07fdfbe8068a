"""Reading records that aiokafka cannot parse: header names that are not UTF-8.

Producers in C may write any bytes there; aiokafka then raises for the whole batch, again and again, and the
partition stands still. `KafkaSource.fetch` comes here for such a batch only: it is slow, because it fetches
anew and parses in Python. Bytes that are not UTF-8 come out as `\\xff`, everything else byte for byte.
"""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import KafkaConnectionError, LeaderNotAvailableError, for_code
from aiokafka.protocol.api import Response
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy

from service.sources.kafka_admin import READ_COMMITTED

_ANY_BYTES = 1
_MAGIC_WITH_HEADERS = 2


class Taken(NamedTuple):
    """Records and the position after them."""

    records: list[ConsumerRecord]
    end: int


async def take_tolerantly(
    consumer: AIOKafkaConsumer, tp: TopicPartition, offset: int, max_records: int, max_bytes: int
) -> Taken:
    """Read at most `max_records` from `offset` on, past the consumer, whose position stays.

    Raises aiokafka's errors; `CorruptRecordException` for a batch that is damaged indeed.
    """
    leader = consumer._client.cluster.leader_for_partition(tp)
    if leader is None or leader < 0:
        raise LeaderNotAvailableError(tp)
    partition = (tp.partition, offset, max_bytes)
    request = FetchRequest(0, _ANY_BYTES, max_bytes, READ_COMMITTED, [(tp.topic, [partition])])
    return _parsed(tp, offset, max_records, await consumer._client.send(leader, request))


def _parsed(tp: TopicPartition, offset: int, max_records: int, response: Response) -> Taken:
    if not response.topics:
        raise KafkaConnectionError("an empty answer to a fetch")
    _number, error_code, _highwater, *rest = response.topics[0][1][0]
    if error_code:
        raise for_code(error_code)(tp)
    # The layout that aiokafka's fetcher relies on as well: the preferred replica came with version 11.
    aborted = rest[2] if response.API_VERSION >= 11 else rest[-2]
    records = PartitionRecords(
        tp, _TolerantRecords(rest[-1]), aborted, offset, None, None, True, READ_COMMITTED
    )
    return Taken(list(islice(records, max_records)), records.next_fetch_offset)


class _TolerantRecords:
    """The batches of an answer, as `PartitionRecords` walks them."""

    def __init__(self, data: bytes) -> None:
        self._slices = _MemoryRecordsPy(data)

    def has_next(self) -> bool:
        return bool(self._slices.has_next())

    def next_batch(self) -> object:
        data = self._slices._next_slice
        batch = self._slices.next_batch()
        return _TolerantBatch(data) if batch.magic >= _MAGIC_WITH_HEADERS else batch


class _TolerantBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # aiokafka is untyped
    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _TolerantBytes(self._buffer)


class _TolerantBytes(bytearray):
    """Bytes whose slices decode whatever they hold: the parser decodes nothing but header names."""

    def __getitem__(self, key):  # type: ignore[no-untyped-def]  # the overloads of int and slice add nothing here
        item = super().__getitem__(key)
        return _TolerantBytes(item) if isinstance(key, slice) else item

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)
