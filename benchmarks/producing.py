"""Sends the load to Kafka: as fast as it goes, or at a steady pace. Called by `stage` and by paced loads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from confluent_kafka import Producer

from benchmarks.load import Message

_QUEUED = 50_000
# Reports of deliveries are taken from the producer this often: it queues no more than 100,000.
_REPORTS = 1_000
# At thousands a second several are sent at once: sleeping between any two would cost more than sending.
_LEAST_SLEEP_SECONDS = 0.0005


def produce(bootstrap: str, topics: Mapping[str, str], messages: Sequence[Message]) -> None:
    """Send all messages and wait until the broker has each; `topics` maps entities to topics."""
    Sender(bootstrap, topics, linger_ms=20).send(messages)


class Sender:
    """A producer that stays: what it sends after its first messages does not wait for it to start.

    A new one asks the broker who it is before it sends anything, which takes half a second: at a pace that
    would be the delay of hundreds of messages.
    """

    def __init__(self, bootstrap: str, topics: Mapping[str, str], *, linger_ms: int = 0) -> None:
        self._topics = topics
        self._failed: list[object] = []
        self._handed_over = 0
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "linger.ms": linger_ms,
                "log_level": 3,  # errors: a coordinator that still comes up is waited for
            }
        )

    def send(self, messages: Iterable[Message]) -> None:
        """Send all messages and wait until the broker has each; RuntimeError when one did not arrive."""
        for number, message in enumerate(messages, 1):
            self.hand_over(message)
            if number % _QUEUED == 0:
                self._producer.flush()
        self.finish()

    def send_paced(
        self,
        messages: Iterable[Message],
        per_second: float,
        on_send: Callable[[Message, float], None] | None = None,
    ) -> None:
        """Send one message after the other, `per_second` of them, and wait until the broker has each.

        `on_send` hears of each right before, with the moment (`time.perf_counter`) that it is due at. Late
        ones follow at once: the pace is kept whatever a single one takes. Raises as `send` does.
        """
        begun = time.perf_counter()
        for number, message in enumerate(messages):
            due = begun + number / per_second
            self.wait_until(due)
            if on_send is not None:
                on_send(message, due)
            self.hand_over(message)
        self.finish()

    def wait_until(self, moment: float) -> None:
        """Wait until `time.perf_counter` says `moment`; late at once."""
        while (wait := moment - time.perf_counter()) > 0:
            self._producer.poll(0)
            time.sleep(min(max(wait, _LEAST_SLEEP_SECONDS), 0.05))

    def hand_over(self, message: Message) -> None:
        """Send without waiting for the broker."""
        topic = self._topics[message.entity]
        self._producer.produce(
            topic, message.value, message.key, message.partition, on_delivery=self._note_failure
        )
        self._handed_over += 1
        if self._handed_over % _REPORTS == 0:
            self._producer.poll(0)

    def finish(self) -> None:
        """Wait until the broker has everything; raises RuntimeError when something did not arrive."""
        self._producer.flush()
        if self._failed:
            raise RuntimeError(f"{len(self._failed)} messages could not be produced: {self._failed[0]}")

    def close(self) -> None:
        """Let go of the broker: a producer that outlives it complains."""
        self._producer.close()

    def _note_failure(self, error: object, _record: object) -> None:
        if error is not None:
            self._failed.append(error)
