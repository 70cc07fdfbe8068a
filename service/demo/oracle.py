"""The second opinion: what the database must hold after the records that were sent, in plain dicts.

Deliberately naive: one record at a time, no batches, no cache, no code shared with the service. The producers
of `stream` keep to a simple rule, and so does the oracle: a change with a version counts if its version is
higher than the row's, one without a version comes in order and always counts. `verdict` compares.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from service.demo.messages import TOPICS, Change, Line, Message, Place

# Every column that is not named in a create, and all of them after a delete.
DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "customers": {
        "email": None,
        "name": None,
        "phone": None,
        "status": "active",
        "address": None,
        "attributes": None,
    },
    "products": {
        "sku": None,
        "name": None,
        "description": None,
        "category": None,
        "price": None,
        "currency": None,
        "stock_quantity": None,
        "status": "active",
        "attributes": None,
    },
    "orders": {
        "customer_id": None,
        "order_number": None,
        "status": "new",
        "currency": None,
        "total": None,
        "placed_at": None,
    },
}


@dataclass(slots=True)
class Row:
    """A row of a topic's table; `place` is the record that made it what it is."""

    columns: dict[str, object]
    version: int | None
    occurred_at: datetime
    place: Place
    deleted: bool
    lines: dict[object, Line] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mark:
    """An entry of the handled events; `event_id` None: whatever the service made of it."""

    event_id: bytes | None
    topic: str
    entity_id: int
    operation: str
    outcome: str


class Oracle:
    """Takes every record where it came to lie; each partition's in order of offset."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[int, Row]] = {topic: {} for topic in TOPICS}
        self.marks: dict[Place, Mark] = {}
        self.letters: dict[Place, Message] = {}
        self.outcomes: Counter[str] = Counter()
        self._ids: set[bytes] = set()

    def take(self, message: Message, offset: int) -> None:
        """Handle one record."""
        place = Place(message.topic, message.partition, offset)
        self.outcomes[self._outcome(message, place)] += 1

    def _outcome(self, message: Message, place: Place) -> str:
        change = message.change
        if change is None:
            self.letters[place] = message
            return "dead"
        if change.event_id is not None:
            if change.event_id in self._ids:
                return "duplicate"
            self._ids.add(change.event_id)
        outcome = self._apply(change, place)
        self.marks[place] = Mark(change.event_id, place.topic, change.entity_id, change.operation, outcome)
        return outcome

    def _apply(self, change: Change, place: Place) -> str:
        table = self.rows[place.topic]
        row = table.get(change.entity_id)
        highest = row.version if row else None
        if change.version is not None and highest is not None and change.version <= highest:
            return "stale"
        deleted = change.operation == "delete"
        before = row.columns if row and not deleted else DEFAULTS[place.topic]
        lines = dict(row.lines) if row and not deleted else {}
        if change.lines is not None:
            lines = {line["line_no"]: line for line in change.lines}
        version = highest if change.version is None else change.version
        columns = {**before, **change.columns}
        table[change.entity_id] = Row(columns, version, change.occurred_at, place, deleted, lines)
        return "applied"
