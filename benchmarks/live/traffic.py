"""Traffic without end: the same records over and over, a version later each time; copies and garbage too.

Called by `playing`. Nothing grows here, however long it runs: a copy is one of the last few thousand
originals. What is kept is what `checking` has to know: how many of each kind were made.
"""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Iterator
from enum import StrEnum
from itertools import count, islice
from typing import NamedTuple

from benchmarks.load import Message, change, event_id
from benchmarks.tables import customers
from service.demo.hostile import ways

ENTITY = "customers"
RECORDS = 20_000
# A copy comes at least this many originals after its original, of all partitions together.
APART = 3_000


class Kind(StrEnum):
    """What becomes of an event: a new version of its row, nothing, or a dead letter."""

    ORIGINAL = "original"
    COPY = "copy"
    HOSTILE = "hostile"


class Event(NamedTuple):
    """A message and its kind."""

    message: Message
    kind: Kind


class Traffic:
    """Changes of `records` customers in turn; shares of the events are copies, and records nobody can apply.

    The same seed makes the same events. `first` makes every record once and comes before all others.
    """

    def __init__(
        self, seed: int, *, copied_share: float = 0, hostile_share: float = 0, records: int = RECORDS
    ) -> None:
        self._draw = random.Random(seed)
        self._numbers = count()
        self._records = list(islice(customers(), records))
        self._hostile_below = hostile_share
        self._copy_below = hostile_share + copied_share
        self._ways = [break_ for _name, break_ in ways(ENTITY)]
        self._past: deque[Event] = deque(maxlen=2 * APART)
        self._originals = self._changes()

    def first(self) -> list[Event]:
        """The first version of every record."""
        return list(islice(self._originals, len(self._records)))

    def __iter__(self) -> Iterator[Event]:
        while True:
            drawn = self._draw.random()
            if drawn < self._hostile_below:
                yield self._hostile()
            elif drawn < self._copy_below and len(self._past) > APART:
                yield self._copy()
            else:
                yield next(self._originals)

    def _changes(self) -> Iterator[Event]:
        for version in count(1):
            for record_id, data in self._records:
                message = change(ENTITY, record_id, data, self._new_id(), version)
                self._past.append(Event(message, Kind.COPY))
                yield Event(message, Kind.ORIGINAL)

    def _copy(self) -> Event:
        """One that lies far enough back, byte for byte."""
        return self._past[self._draw.randrange(len(self._past) - APART)]

    def _hostile(self) -> Event:
        """A valid change with an id of its own, spoilt in one of many ways."""
        record_id, data = self._draw.choice(self._records)
        valid = change(ENTITY, record_id, data, self._new_id(), version=1)
        spoilt = self._draw.choice(self._ways)(json.loads(valid.value))
        return Event(valid._replace(value=spoilt), Kind.HOSTILE)

    def _new_id(self) -> str:
        return event_id(self._draw, next(self._numbers))
