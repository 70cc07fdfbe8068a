"""The load: a workload that flows into Kafka at a steady pace, and waits while the broker is away.

Called by `act`. One idempotent producer for the whole act. A broker that is killed may have forgotten what it
has taken from a producer: then a message lies in the log twice. So what was produced is what the log says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from tests.e2e.messages import Message, Place, Produced
from tests.e2e.stage import Stage
from tests.e2e.workload import Workload
from tests.e2e.world import Log

_SLICE_SECONDS = 0.1
# A batch that is not through by then is given up, and nobody knows what became of it: never here.
_PATIENCE_MS = 300_000


# A topic, and what one of its records is: copies of a message mean the same.
Content = tuple[str, bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]


class Flow:
    """What was produced so far: `ends` are the offsets behind it."""

    def __init__(self, stage: Stage, workload: Workload, per_second: int) -> None:
        self.ends: dict[Log, int] = {}
        self._stage = stage
        self._workload = workload
        self._per_second = per_second
        self._sent: dict[Content, Message] = {}
        self._enough = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    @property
    def produced(self) -> int:
        """The number of records."""
        return sum(self.ends.values())

    def begin(self) -> None:
        """Produce until `end`."""
        self._running = asyncio.create_task(self._run())

    async def end(self) -> None:
        """Produce no more; afterwards the stage knows all that was produced."""
        self._enough.set()
        if self._running is not None:
            await self._running
            self._running = None
            async for record in _records(self._stage.world.bootstrap, self.ends):
                self._stage.take([self._produced(record)])

    async def _run(self) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._stage.world.bootstrap,
            enable_idempotence=True,
            linger_ms=2,
            max_batch_size=256 * 1024,
            request_timeout_ms=_PATIENCE_MS,
        )
        await producer.start()
        try:
            while not self._enough.is_set():
                begun = asyncio.get_running_loop().time()
                await self._send(producer, self._workload.take(int(self._per_second * _SLICE_SECONDS)))
                # What a broker that was away has held up is not made up for: the pace is the most there is.
                await asyncio.sleep(max(0.0, begun + _SLICE_SECONDS - asyncio.get_running_loop().time()))
        finally:
            await producer.stop()

    async def _send(self, producer: AIOKafkaProducer, messages: Sequence[Message]) -> None:
        # aiokafka sends no record that has neither key nor value; other runs do.
        sendable = [each for each in messages if (each.key, each.value) != (None, None)]
        placed = await asyncio.gather(*[await self._hand_over(producer, each) for each in sendable])
        for message, where in zip(sendable, placed, strict=True):
            self._sent[where.topic, message.key, message.value, message.headers] = message
            self.ends[Log(where.topic, where.partition)] = where.offset + 1

    def _produced(self, record: ConsumerRecord) -> Produced:
        message = self._sent[record.topic, record.key, record.value, tuple(record.headers)]
        return Produced(message, Place(record.topic, record.partition, record.offset), record.timestamp)

    async def _hand_over(self, producer: AIOKafkaProducer, message: Message) -> asyncio.Future[Place]:
        future: asyncio.Future[Place] = await producer.send(
            self._stage.world.topics[message.entity],
            message.value,
            key=message.key,
            partition=message.partition,
            timestamp_ms=message.timestamp_ms,
            headers=list(message.headers),
        )
        return future


@asynccontextmanager
async def flowing(stage: Stage, workload: Workload, per_second: int) -> AsyncIterator[Flow]:
    """A flow that ends with the context, or before."""
    flow = Flow(stage, workload, per_second)
    flow.begin()
    try:
        yield flow
    finally:
        await flow.end()


async def _records(bootstrap: str, ends: Mapping[Log, int]) -> AsyncIterator[ConsumerRecord]:
    """All records of the logs, one log after the other."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        for log, end in sorted(ends.items()):
            partition = TopicPartition(*log)
            consumer.assign([partition])
            await consumer.seek_to_beginning(partition)
            while await consumer.position(partition) < end:
                for records in (await consumer.getmany(partition, timeout_ms=1000)).values():
                    for record in records:
                        yield record
    finally:
        await consumer.stop()
