"""Sends messages to a real Kafka and says where each of them came to lie.

Called by scenarios. The producers are idempotent: what is in the log is what was sent, once, in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from aiokafka.structs import RecordMetadata

from tests.e2e.messages import Message, Place, Produced
from tests.e2e.world import World

_SLICE = 250  # messages on their way at a time


async def produce(world: World, messages: Sequence[Message], *, per_second: float = 0) -> list[Produced]:
    """Send `messages` in order, at most `per_second` of them where that is not 0."""
    async with _producer(world) as producer:
        return await _send_all(producer, world, messages, per_second)


async def produce_in_transactions(
    world: World, messages: Sequence[Message], *, size: int, aborted: frozenset[int]
) -> list[Produced]:
    """Send `messages` in transactions of `size`; those whose number is in `aborted` are rolled back.

    Returns what was committed.
    """
    committed: list[Produced] = []
    async with _producer(world, transactional_id=f"{world.group_id}-producer") as producer:
        for number, start in enumerate(range(0, len(messages), size)):
            await producer.begin_transaction()
            sent = await _send_all(producer, world, messages[start : start + size], 0)
            if number in aborted:
                await producer.abort_transaction()
            else:
                await producer.commit_transaction()
                committed += sent
    return committed


@asynccontextmanager
async def _producer(world: World, **options: object) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        bootstrap_servers=world.bootstrap,
        enable_idempotence=True,
        linger_ms=2,
        max_batch_size=256 * 1024,
        **options,
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def _send_all(
    producer: AIOKafkaProducer, world: World, messages: Sequence[Message], per_second: float
) -> list[Produced]:
    # Slices of a twentieth of a second, or as many as may be on their way.
    size = min(_SLICE, max(1, int(per_second / 20))) if per_second else _SLICE
    sent: list[Produced] = []
    started = asyncio.get_running_loop().time()
    for start in range(0, len(messages), size):
        sent += await _send(producer, world, messages[start : start + size])
        if per_second:
            due = started + len(sent) / per_second
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
    return sent


async def _send(producer: AIOKafkaProducer, world: World, messages: Sequence[Message]) -> list[Produced]:
    answers = [await _hand_over(producer, world.topics[message.entity], message) for message in messages]
    placed: list[RecordMetadata] = await asyncio.gather(*answers)
    return [_produced(message, where) for message, where in zip(messages, placed, strict=True)]


async def _hand_over(
    producer: AIOKafkaProducer, topic: str, message: Message
) -> asyncio.Future[RecordMetadata]:
    headers = list(message.headers)
    if message.key is None and message.value is None:
        # `send` refuses such a record, though Kafka takes it.
        batch = producer.create_batch()
        batch.append(key=None, value=None, timestamp=message.timestamp_ms, headers=headers)
        future = await producer.send_batch(batch, topic, partition=message.partition)
    else:
        future = await producer.send(
            topic,
            message.value,
            key=message.key,
            partition=message.partition,
            timestamp_ms=message.timestamp_ms,
            headers=headers,
        )
    return future  # type: ignore[no-any-return]  # aiokafka is untyped


def _produced(message: Message, where: RecordMetadata) -> Produced:
    # The topics keep the producer's timestamps. `where.timestamp` is that of the first record of its batch.
    return Produced(message, Place(where.topic, where.partition, where.offset), message.timestamp_ms)
