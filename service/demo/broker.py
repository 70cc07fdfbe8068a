"""The demo's Kafka: librdkafka's mock broker, which lives inside this process, and a producer for it.

It makes a topic, with `PARTITIONS` partitions, when it is first asked for it. It drops the oldest records of
a partition beyond some 5 MB: whoever feeds it minds what is still unread.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

from confluent_kafka import KafkaError, Producer
from confluent_kafka import Message as Report

from service.demo.failure import DemoFailed
from service.demo.messages import PARTITIONS, TOPICS, Message

_ANSWER_SECONDS = 10.0

log = logging.getLogger(__name__)


class Broker:
    """A broker on loopback with the demo's topics; `on_arrival` hears of each message with its offset."""

    def __init__(self, on_arrival: Callable[[Message, int], None]) -> None:
        self._on_arrival = on_arrival
        settings = {"test.mock.num.brokers": 1, "linger.ms": 20, "enable.idempotence": True}
        # Without a logger of ours librdkafka would write into the live view.
        self._producer = Producer(settings, logger=log)
        self._ends: Counter[tuple[str, int]] = Counter()
        self.sent = 0
        self.arrived = 0
        self.address = self._find_address()

    @property
    def ends(self) -> dict[tuple[str, int], int]:
        """The end of each partition, by topic and number."""
        return {
            (topic, number): self._ends[topic, number] for topic in TOPICS for number in range(PARTITIONS)
        }

    def send(self, message: Message) -> None:
        """Hand one message over; it arrives in the background. `hear` tells of it."""

        def report(error: KafkaError | None, report: Report) -> None:
            self._report(message, error, report)

        self._producer.produce(
            message.topic,
            message.value,
            message.key,
            message.partition,
            on_delivery=report,
            timestamp=message.timestamp_ms,
        )
        self.sent += 1

    def hear(self) -> None:
        """Pass on what has arrived meanwhile."""
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until all that was sent has arrived. Raises `DemoFailed`."""
        if self._producer.flush(_ANSWER_SECONDS):
            raise DemoFailed("the embedded Kafka does not take records any more")

    def _find_address(self) -> str:
        for topic in TOPICS:
            found = self._producer.list_topics(topic, timeout=_ANSWER_SECONDS)
            if len(found.topics[topic].partitions) != PARTITIONS:
                raise DemoFailed("the embedded Kafka has other partitions than expected")
        [broker] = found.brokers.values()
        return f"{broker.host}:{broker.port}"

    def _report(self, message: Message, error: KafkaError | None, report: Report) -> None:
        offset = report.offset()
        place = (message.topic, message.partition)
        if error is not None or offset != self._ends[place]:
            raise DemoFailed(f"the embedded Kafka lost a record: {error or 'another offset than expected'}")
        self._ends[place] += 1
        self.arrived += 1
        self._on_arrival(message, offset)
