"""The second opinion: what the tables must hold after a history of records, in plain dicts.

Deliberately naive: one record at a time, no batches, no cache, no code shared with the service. Records are
taken in the order in which the service must have handled them: offset order within a partition. `judge`
compares a `Model` with the real servers. A jump of the position forward is a record that is not taken, a
jump back is a record taken again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from tests.e2e.messages import Change, Line, Place, Produced

# Defaults by specification 1; every column that is not named here defaults to null.
PAYLOAD_COLUMNS: Mapping[str, Mapping[str, object]] = {
    "customer": {
        "email": None,
        "name": None,
        "phone": None,
        "status": "active",
        "address": None,
        "attributes": None,
    },
    "product": {
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
    "order": {
        "customer_id": None,
        "order_number": None,
        "status": "new",
        "currency": None,
        "total": None,
        "placed_at": None,
    },
}

# The letters that may still be applied.
OPEN = ("retrying", "dead")
_AFTER_RETRY = {"applied": "replayed", "stale": "superseded", "duplicate": "superseded", "dead": "dead"}


class Subject(NamedTuple):
    """Which record of which entity."""

    entity: str
    entity_id: int


class Age(NamedTuple):
    """What a stored row says about its age."""

    version: int | None
    occurred_at: datetime
    source_partition: int
    source_offset: int


@dataclass(slots=True)
class Row:
    """A row of an entity's table; `lines` only where the entity is an order, `source` is for reports."""

    age: Age
    source: Place
    columns: dict[str, object]
    deleted: bool = False
    lines: dict[int, Line] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mark:
    """An entry of `processed_events`. `event_id` None: derived by the service."""

    event_id: bytes | None
    subject: Subject
    operation: str
    outcome: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter. `error_class` None: whatever the service calls it."""

    record: Produced
    status: str = "dead"
    error_class: str | None = None


@dataclass(slots=True)
class Model:
    """Everything that the database must hold; `outcomes` counts what became of each record taken.

    `past` keeps every age that a row went through, for the audit.
    """

    rows: dict[Subject, Row] = field(default_factory=dict)
    marks: dict[Place, Mark] = field(default_factory=dict)
    letters: dict[Place, Letter] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    past: dict[Subject, list[tuple[Age, bool]]] = field(default_factory=dict)
    kinds: dict[Place, str] = field(default_factory=dict)
    _owners: dict[bytes, Subject] = field(default_factory=dict)

    def take_all(self, records: Iterable[Produced]) -> None:
        """Handle records in the order given."""
        for record in records:
            self.take(record)

    def take(self, record: Produced) -> str:
        """Handle one record; returns its outcome: applied, stale, duplicate or dead."""
        self.kinds[record.place] = record.message.kind
        outcome = self._handle(record)
        self.outcomes[outcome] += 1
        return outcome

    def park(self, record: Produced, error_class: str) -> None:
        """Go by a record that failed for now: it is `retrying`."""
        self.kinds[record.place] = record.message.kind
        self.letters[record.place] = Letter(record, "retrying", error_class)

    def retry(self, record: Produced) -> str:
        """Handle a record of an open letter now, after all that was taken meanwhile; returns its outcome."""
        outcome = self.take(record)
        self.close(record, _AFTER_RETRY[outcome])
        return outcome

    def close(self, record: Produced, status: str) -> None:
        """Give a letter the status that a retry or an operator has left it in."""
        self.letters[record.place] = replace(self.letters[record.place], status=status)

    def _handle(self, record: Produced) -> str:
        meaning = record.message.meaning
        if not isinstance(meaning, Change):
            return self._give_up(record, None)
        subject = Subject(meaning.entity, meaning.entity_id)
        event_id = meaning.event_id or f"derived from {record.place}".encode()
        if event_id in self._owners:
            known = self._owners[event_id] == subject
            return "duplicate" if known else self._give_up(record, "EventIdReused")
        self._owners[event_id] = subject
        return self._mark(record, subject, meaning)

    def _give_up(self, record: Produced, error_class: str | None) -> str:
        # A letter that is there already stays as it is: its status is never reopened.
        self.letters.setdefault(record.place, Letter(record, error_class=error_class))
        return "dead"

    def _mark(self, record: Produced, subject: Subject, change: Change) -> str:
        place = record.place
        occurred_at = change.occurred_at or from_milliseconds(record.timestamp_ms)
        age = Age(change.version, occurred_at, place.partition, place.offset)
        outcome = self._apply(subject, age, place, change)
        self.marks[place] = Mark(change.event_id, subject, change.operation, outcome, occurred_at)
        if place in self.letters and self.letters[place].status in OPEN:
            self.close(record, "superseded")
        return outcome

    def _apply(self, subject: Subject, age: Age, place: Place, change: Change) -> str:
        row = self.rows.get(subject)
        if row is not None and not is_newer(age, row.age):
            return "stale"
        if row is None:
            row = self.rows[subject] = Row(age, place, dict(PAYLOAD_COLUMNS[subject.entity]))
        # A row keeps its highest version.
        version = row.age.version if age.version is None else age.version
        row.age, row.source = age._replace(version=version), place
        row.deleted = change.operation == "delete"
        if row.deleted:
            row.columns = dict(PAYLOAD_COLUMNS[subject.entity])
            row.lines = {}
        row.columns.update(change.columns)
        if change.lines is not None:
            row.lines = dict(change.lines)
        self.past.setdefault(subject, []).append((row.age, row.deleted))
        return "applied"


def is_newer(one: Age, other: Age) -> bool:
    """Say whether an event is newer than what a row holds ("Which of two events is newer")."""
    if one.version is not None and other.version is not None and one.version != other.version:
        return one.version > other.version
    return one[1:] > other[1:]


def from_milliseconds(timestamp_ms: int) -> datetime:
    """Kafka's timestamp as naive UTC."""
    return datetime(1970, 1, 1) + timedelta(milliseconds=timestamp_ms)
