"""Sends the load to Kafka: as fast as it goes, or at a steady pace. Called by `drain` and `paced`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import Producer

from benchmarks.load import Message

_QUEUED = 50_000


def produce(bootstrap: str, topics: Mapping[str, str], messages: Sequence[Message]) -> None:
    """Send all messages and wait until the broker has each; `topics` maps entities to topics."""
    failed: list[object] = []
    producer = _producer(bootstrap, linger_ms=20)
    for number, message in enumerate(messages, 1):
        _send(producer, topics, message, failed)
        if number % _QUEUED == 0:
            producer.flush()
    producer.flush()
    _refuse(failed)


def produce_paced(
    bootstrap: str,
    topics: Mapping[str, str],
    messages: Sequence[Message],
    per_second: float,
    on_send: Callable[[Message], None],
) -> None:
    """Send one message after the other, `per_second` of them; `on_send` hears of each right before."""
    failed: list[object] = []
    producer = _producer(bootstrap, linger_ms=0)
    begun = time.perf_counter()
    for number, message in enumerate(messages):
        while (wait := begun + number / per_second - time.perf_counter()) > 0:
            producer.poll(0)
            time.sleep(min(wait, 0.05))
        on_send(message)
        _send(producer, topics, message, failed)
    producer.flush()
    _refuse(failed)


def _producer(bootstrap: str, *, linger_ms: int) -> Producer:
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "linger.ms": linger_ms,
            "log_level": 3,  # errors: a coordinator that still comes up is waited for
        }
    )


def _send(producer: Producer, topics: Mapping[str, str], message: Message, failed: list[object]) -> None:
    def note(error: object, _record: object) -> None:
        if error is not None:
            failed.append(error)

    topic = topics[message.entity]
    producer.produce(topic, message.value, message.key, message.partition, on_delivery=note)


def _refuse(failed: Sequence[object]) -> None:
    if failed:
        raise RuntimeError(f"{len(failed)} messages could not be produced: {failed[0]}")
