"""A seeded stream of Kafka records with everything in it that real producers do, and worse.

Drawn from TPC-H data: creates, full and partial updates, deletes, re-creations, copies at a distance,
versions out of order, ids used twice, missing versions, times and ids, odd spellings, odd headers, and the
catalogue of hostile records. The same seed gives the same messages. `producing` sends them, `oracle` judges.

All records of one entity key go to one partition, so the order of that partition decides the result.
"""

from __future__ import annotations

import random
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from tests.e2e import tpch
from tests.e2e.author import Author, Subject
from tests.e2e.messages import ENTITIES, Change, Message

_COPIED_AT_MOST = 20_000  # bytes: the giants of the catalogue are sent once


@dataclass(frozen=True, slots=True)
class Shape:
    """How a stream looks. Shares are of all messages; `subjects` is the number of records per entity.

    `plain`: only changes, with ascending versions, ids of their own and the usual spelling.
    """

    partitions: int = 3
    subjects: int = 120
    entities: tuple[str, ...] = ENTITIES
    copies: float = 0.3
    hostile: float = 0.04
    reordered: float = 0.05
    plain: bool = False


PLAIN = Shape(copies=0, hostile=0, reordered=0, plain=True)


class Workload:
    """An endless stream; `take` goes on where the last one ended."""

    def __init__(self, seed: int, shape: Shape | None = None) -> None:
        self._shape = shape or Shape()
        self._random = random.Random(seed)
        subjects = [subject for entity in self._shape.entities for subject in self._draw(entity)]
        self._author = Author(self._random, subjects, plain=self._shape.plain)
        self._recent: deque[Message] = deque(maxlen=2_000)
        self._stream = self._reordered(self._generate())

    def take(self, number: int) -> list[Message]:
        """The next `number` messages, in the order in which they are to be sent."""
        return list(islice(self._stream, number))

    def strays(self, sent: Sequence[Message], number: int) -> list[Message]:
        """Ids of messages that were handled already, arriving by logs where nobody expects them.

        One half are copies in another partition, the other changes of other entities under a known id.
        """
        named = [
            message for message in sent if isinstance(message.meaning, Change) and message.meaning.event_id
        ]
        return [self._stray(self._random.choice(named), moved=bool(index % 2)) for index in range(number)]

    def _stray(self, original: Message, *, moved: bool) -> Message:
        if moved:
            partition = (original.partition + 1) % self._shape.partitions
            return replace(original, kind="copy in another partition", partition=partition)
        assert isinstance(original.meaning, Change)
        return self._author.steal(original.meaning.event_id, original.entity)

    def _draw(self, entity: str) -> Iterator[Subject]:
        for row in tpch.rows(entity, self._shape.subjects):
            partition = zlib.crc32(str(row.entity_id).encode()) % self._shape.partitions
            yield Subject(entity, row, partition)

    def _generate(self) -> Iterator[Message]:
        while True:
            if self._recent and self._random.random() < self._shape.copies:
                yield self._author.copy(self._random.choice(self._recent))
                continue
            hostile = self._random.random() < self._shape.hostile
            message = self._author.next_hostile() if hostile else self._author.next_message()
            if len(message.value or b"") <= _COPIED_AT_MOST:
                self._recent.append(message)
            yield message

    def _reordered(self, messages: Iterator[Message]) -> Iterator[Message]:
        """Hold some messages back for a while, so that later ones overtake them."""
        held: list[tuple[int, Message]] = []
        for number, message in enumerate(messages):
            if self._random.random() < self._shape.reordered:
                held.append((number + self._random.randint(2, 60), message))
            else:
                yield message
            due = [item for item in held if item[0] <= number]
            held = [item for item in held if item[0] > number]
            yield from (late for _, late in due)
