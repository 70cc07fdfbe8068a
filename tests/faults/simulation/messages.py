"""What producers send in a history: changes of a few records, copies, reused ids, and what cannot be applied.

A record's value is a number that stands for a `Message`; `Press.decode` is the decoder of the lanes. Nobody
but `world` prints messages, and the judge reads the same ones: what a message means is no matter of opinion.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from service.core.errors import PermanentError
from service.core.types import Event, Operation, Record

NOON = datetime(2026, 11, 21, 12)
ENTITY = "customers"
COLUMNS = ("email", "name", "phone")
_OPERATIONS = (Operation.UPDATE, Operation.UPDATE, Operation.CREATE, Operation.DELETE)


class Kind(StrEnum):
    """What is special about a message."""

    GOOD = "good"
    HOSTILE = "hostile"  # cannot be decoded
    REFUSED = "refused"  # the database refuses it for good, until it is mended
    STICKY = "sticky"  # it fails for now in every transaction, until it is mended


class Message(NamedTuple):
    """One value that was produced, once or several times."""

    kind: Kind
    event_id: bytes
    entity_id: int
    operation: Operation
    version: int | None
    occurred_at: datetime
    columns: Mapping[str, str]


class Press:
    """Prints the messages of a history; `special` is how often one is not plain and new, from 0 to 1."""

    def __init__(self, rng: random.Random, special: float) -> None:
        self.messages: list[Message] = []
        self.mended = False
        self._entities = rng.choice((2, 4, 12))
        self._rng = rng
        self._special = special
        self._clock = 0

    def print(self) -> bytes:
        """The value of the next record."""
        rng = self._rng
        if rng.random() >= self._special:
            return self._new(Kind.GOOD)
        choice = rng.random()
        if choice < 0.4 and self.messages:
            return b"%d" % rng.randrange(len(self.messages))
        if choice < 0.55 and self.messages:
            return self._new(Kind.GOOD, event_id=rng.choice(self.messages).event_id)
        return self._new(rng.choice((Kind.HOSTILE, Kind.REFUSED, Kind.STICKY)))

    def message(self, value: bytes | None) -> Message:
        """What a value stands for."""
        return self.messages[int(value or b"")]

    def decode(self, record: Record) -> Event:
        """The event of a record, as the formats make it."""
        message = self.message(record.value)
        if message.kind is Kind.HOSTILE:
            raise PermanentError("not an object", error_class="SchemaViolation", stage="decode")
        return Event(
            message.event_id,
            ENTITY,
            message.entity_id,
            message.operation,
            message.version,
            message.occurred_at,
            record,
            message.columns,
        )

    def fails(self, value: bytes | None) -> Kind | None:
        """Why the database does not take this value now; None: it does."""
        kind = self.message(value).kind
        return None if self.mended or kind in (Kind.GOOD, Kind.HOSTILE) else kind

    def _new(self, kind: Kind, event_id: bytes | None = None) -> bytes:
        rng = self._rng
        number = len(self.messages)
        self._clock += rng.choice((0, 1, 1, 2))
        late = rng.choice((0, 0, 0, 2, 5))
        operation = rng.choice(_OPERATIONS)
        is_delete = operation is Operation.DELETE
        columns = {} if is_delete else {rng.choice(COLUMNS): str(number), rng.choice(COLUMNS): str(-number)}
        version = None if rng.random() < 0.3 else max(1, self._clock - late)
        moment = NOON + timedelta(seconds=self._clock - rng.choice((0, late)))
        entity_id = rng.randint(1, self._entities)
        own_id = b"id-%d" % number
        self.messages.append(
            Message(kind, event_id or own_id, entity_id, operation, version, moment, columns)
        )
        return b"%d" % number
