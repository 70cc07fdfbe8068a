"""The demo's producers: a seeded, endless stream of changes, with everything in it that real ones bring.

Copies of earlier events at a distance, events that newer ones have overtaken, deletes (as events and as null
values), partial updates, hostile records. The feeder of `play` asks for one message after the other; the
oracle takes them as they come to lie in Kafka.
"""

from __future__ import annotations

import heapq
import random
import uuid
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import cycle

from service.demo.catalogue import PAYLOADS, SINGULAR, json_text
from service.demo.hostile import Document, ways
from service.demo.messages import PARTITIONS, TOPICS, Change, Message

SUBJECTS_PER_TOPIC = 300
# Between two records with the same event id lie at least, and from the first on at most, so many others.
NEAREST_COPY, FARTHEST_COPY = 50, 1000
OVERTAKEN_BY = (5, 60)


class _Subject:
    """One record of one topic, as its producer remembers it."""

    def __init__(self, topic: str, entity_id: int) -> None:
        self.topic = topic
        self.entity_id = entity_id
        self.key = str(entity_id).encode()
        self.partition = zlib.crc32(self.key) % PARTITIONS
        self.version = 0


class Stream:
    """The same seed, share of `duplicates` (0 to 1) and times give the same messages, byte for byte."""

    def __init__(self, seed: int, duplicates: float) -> None:
        self._random = random.Random(seed)  # noqa: S311 - reproducible on purpose
        self._duplicates = duplicates
        self._subjects = [
            _Subject(topic, number) for topic in TOPICS for number in range(1, SUBJECTS_PER_TOPIC + 1)
        ]
        self._actions: dict[Callable[[_Subject, datetime], Message], int] = {
            self._changed: 86,
            self._overtaking: 5,
            self._deleted: 4,
            self._null_value: 1,
            self._broken: 3,
            self._stolen_id: 1,
        }
        self._ways = {topic: cycle(ways(topic)) for topic in TOPICS}
        self._sent = 0
        self._copyable: deque[Message] = deque(maxlen=FARTHEST_COPY)
        self._held: list[tuple[int, int, Message]] = []
        self._last: dict[tuple[str, int], Change] = {}

    def next(self, now: datetime) -> Message:
        """What is sent at `now` (naive UTC, never before the last one's)."""
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        self._sent += 1
        message = self._copied(now) or self._late(now) or self._new(now)
        self._remember(message)
        return message

    def _new(self, now: datetime) -> Message:
        [action] = self._random.choices(list(self._actions), list(self._actions.values()))
        return action(self._random.choice(self._subjects), now)

    def _copied(self, now: datetime) -> Message | None:
        """An earlier event once more: the producer did not hear that the first one had arrived."""
        # Each message sent is the last of `_copyable`, so that the nearest ones lie at its end.
        far_enough = len(self._copyable) - NEAREST_COPY
        if self._random.random() >= self._duplicates or far_enough <= 0:
            return None
        chosen = self._random.randrange(far_enough)
        original = self._copyable[chosen]
        del self._copyable[chosen]
        return _at(original, now, kind="copy")

    def _late(self, now: datetime) -> Message | None:
        if not self._held or self._held[0][0] > self._sent:
            return None
        return _at(heapq.heappop(self._held)[2], now, kind="overtaken")

    def _remember(self, message: Message) -> None:
        change = message.change
        if change is None or change.event_id is None:
            # Not to be copied: without an id of its own, a copy is another event.
            return
        self._copyable.append(message)
        self._last[message.topic, message.partition] = change

    def _changed(self, subject: _Subject, now: datetime) -> Message:
        operation = "update" if subject.version and self._random.random() < 0.8 else "create"
        payload = PAYLOADS[subject.topic](self._random, subject.entity_id, now)
        if operation == "update" and self._random.random() < 0.4:
            known = self._random.sample(sorted(payload.data), self._random.randint(1, 3))
            payload = payload.only(set(known))
        change = self._change(subject, now, operation)
        document = _document(subject, change) | {"data": payload.data}
        whole = replace(change, columns=payload.columns, lines=payload.lines)
        return _message("change", subject, whole, json_text(document).encode(), now)

    def _overtaking(self, subject: _Subject, now: datetime) -> Message:
        """A change, while the one before it is still on its way."""
        overtaken = self._changed(subject, now)
        release = self._sent + self._random.randint(*OVERTAKEN_BY)
        heapq.heappush(self._held, (release, self._sent, overtaken))
        return self._changed(subject, now)

    def _deleted(self, subject: _Subject, now: datetime) -> Message:
        change = self._change(subject, now, "delete")
        return _message("delete", subject, change, json_text(_document(subject, change)).encode(), now)

    def _null_value(self, subject: _Subject, now: datetime) -> Message:
        """A delete as compacted topics have it: the key and nothing else."""
        if not subject.version:
            return self._changed(subject, now)
        change = Change(subject.entity_id, None, "delete", None, now, {})
        return _message("null value", subject, change, None, now)

    def _broken(self, subject: _Subject, now: datetime) -> Message:
        payload = PAYLOADS[subject.topic](self._random, subject.entity_id, now)
        document = _document(subject, self._change(subject, now, "update")) | {"data": payload.data}
        kind, spoil = next(self._ways[subject.topic])
        return _message(kind, subject, None, spoil(document), now)

    def _stolen_id(self, subject: _Subject, now: datetime) -> Message:
        """A change under an id that another record of the same partition has used."""
        victim = self._last.get((subject.topic, subject.partition))
        if victim is None or victim.entity_id == subject.entity_id or victim.event_id is None:
            return self._broken(subject, now)
        change = self._change(subject, now, "update")
        document = _document(subject, change) | {"event_id": victim.event_id.decode(), "data": {}}
        return _message("id of another record", subject, None, json_text(document).encode(), now)

    def _change(self, subject: _Subject, now: datetime, operation: str) -> Change:
        """An empty change that is newer than all of `subject` before it."""
        subject.version += self._random.choice((1, 1, 1, 2))
        event_id = str(uuid.UUID(int=self._random.getrandbits(128), version=4)).encode()
        return Change(subject.entity_id, event_id, operation, subject.version, now, {})


def _at(message: Message, now: datetime, kind: str) -> Message:
    """The same event, sent (again) at `now`."""
    return replace(message, kind=kind, timestamp_ms=_milliseconds(now))


def _document(subject: _Subject, change: Change) -> Document:
    """The envelope of an event, without its data."""
    return {
        "event_id": (change.event_id or b"").decode(),
        "event_type": f"{SINGULAR[subject.topic]}.changed",
        "operation": change.operation,
        "entity_id": subject.entity_id,
        "version": change.version,
        "occurred_at": f"{change.occurred_at.isoformat(timespec='milliseconds')}Z",
        "source": "demo",
    }


def _message(
    kind: str, subject: _Subject, change: Change | None, value: bytes | None, now: datetime
) -> Message:
    return Message(kind, subject.topic, subject.partition, subject.key, value, _milliseconds(now), change)


def _milliseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1)) // timedelta(milliseconds=1)
