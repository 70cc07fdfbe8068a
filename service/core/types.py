"""The words of upsertd as frozen values.

*record* raw, as the source gave it · *event* valid and typed · *mark* the entry in `processed_events` ·
*position* where a partition stands · *lease* an owner's right to write a partition · *outcome* what became
of an event · *dead letter* an event given up, kept whole.

They are msgspec's `Struct`s: several are made for every record, and a frozen dataclass takes twenty times
as long to make.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from msgspec import Struct, field


class Partition(Struct, frozen=True, order=True, gc=False):
    """One partition of one topic: what a lane works on."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.number}"


class Record(Struct, frozen=True, gc=False):
    """What the source gave, byte for byte. `timestamp_ms` is Kafka's, -1 where it has none."""

    partition: Partition
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    cluster_id: str = ""
    # Set where the source could not hand over the bytes (too large): what is known of them.
    missing_bytes: int | None = None

    @property
    def size_bytes(self) -> int:
        size = len(self.key or b"") + len(self.value or b"")
        if self.headers:
            size += sum(len(name) + len(value or b"") for name, value in self.headers)
        return size


class Batch(Struct, frozen=True, gc=False):
    """Consecutive records of one partition; `end` is the consumer's position after them.

    `end` may lie beyond the last record + 1 (transaction markers, aborted and compacted records), and a
    batch may hold no record at all.
    """

    records: tuple[Record, ...]
    end: int


class Operation(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class Event(Struct, frozen=True, gc=False):
    """A valid change of one record of one entity.

    `columns` has the payload columns that the event carries, as SQL values; an absent column is left
    alone. `lines`, where the entity has some: None leaves them alone, a list replaces all of them.
    `occurred_at` is naive UTC. A delete carries neither columns nor lines.
    """

    event_id: bytes
    entity: str
    entity_id: int
    operation: Operation
    version: int | None
    occurred_at: datetime
    record: Record
    columns: Mapping[str, object] = field(default_factory=dict)
    lines: tuple[Mapping[str, object], ...] | None = None
    unknown_fields: int = 0
    key_mismatch: bool = False


class Outcome(StrEnum):
    APPLIED = "applied"
    STALE = "stale"
    DUPLICATE = "duplicate"
    DEAD = "dead"


class DeadLetter(Struct, frozen=True, gc=False):
    """A record given up, with what is known of the reason. `error_message` holds no values of the record.

    With `retry_in_seconds` it is not dead yet but *parked*: tried again after so long.
    """

    record: Record
    stage: str
    error_class: str
    error_message: str
    event_id: bytes | None = None
    entity: str | None = None
    entity_id: int | None = None
    attempts: int = 1
    retry_in_seconds: float | None = None


class OpenLetter(Struct, frozen=True, gc=False):
    """A stored letter that may still be applied; it has failed `attempts` times.

    `record` has the original coordinates; its value is the corrected one where an operator gave one.
    """

    id: int
    record: Record
    attempts: int


class Action(Struct, frozen=True, gc=False):
    """What an operator did to a letter: `replay`, `correct` or `discard`, by whom and why."""

    kind: str
    actor: str
    reason: str | None = None


class LetterStatus(StrEnum):
    """What became of a letter; `retrying` and `dead` are open, the others are closed."""

    RETRYING = "retrying"
    DEAD = "dead"
    REPLAYED = "replayed"
    DISCARDED = "discarded"
    SUPERSEDED = "superseded"  # its record was applied otherwise, or a newer event overtook it


class Mark(Struct, frozen=True, gc=False):
    """An event id that SQL knows, and the record of which entity it stands for."""

    entity: str
    entity_id: int


class RowVersion(Struct, frozen=True, gc=False):
    """What a stored row says about its age; compared with an event by `core.decide.is_newer`."""

    version: int | None
    occurred_at: datetime
    source_partition: int
    source_offset: int


OPERATOR = "upsertd positions reset"
"""Owns a row that was reset beside a running group: Kafka lets nobody else move that group's offset."""


class StoredPosition(Struct, frozen=True, gc=False):
    """A row of `consumer_positions`; `owner` is for people, but for `OPERATOR`."""

    next_offset: int
    handled_offset: int
    claim_id: str
    epoch: int
    owner: str | None
    cache_namespace: str
    cluster_id: str | None
    handled_from: int = 0


class Lease(Struct, frozen=True, gc=False):
    """The right to write a partition: it holds while SQL has this claim and this position.

    `expected` is the position that SQL has confirmed. Everything from `handled_from` up to, not including,
    `handled_offset` was handled under `cache_namespace`: the three say which cache entries count.
    """

    partition: Partition
    claim_id: str
    expected: int
    handled_offset: int
    cache_namespace: str
    handled_from: int = 0

    def moved_to(self, position: int) -> Lease:
        """The lease after a transaction that took the position to `position`."""
        handled = max(self.handled_offset, position)
        namespace = (self.cache_namespace, self.handled_from)
        return Lease(self.partition, self.claim_id, position, handled, *namespace)


class Work(Struct, frozen=True, gc=False):
    """What one transaction takes on: cache misses and dead letters in offset order, and the new position."""

    events: tuple[Event, ...]
    letters: tuple[DeadLetter, ...]
    end: int


class Written(Struct, frozen=True, gc=False):
    """What a committed transaction did with each event, in offset order."""

    outcomes: tuple[tuple[Event, Outcome], ...] = ()

    @property
    def marked(self) -> tuple[Event, ...]:
        """The events whose id SQL has a mark of now."""
        return tuple(event for event, outcome in self.outcomes if outcome is not Outcome.DEAD)


class GroupOffset(Struct, frozen=True, gc=False):
    """Kafka's group offset of a partition; `ours` when it carries our metadata."""

    offset: int
    ours: bool


class LogRange(Struct, frozen=True, gc=False):
    """The offsets that Kafka has of a partition: from `beginning` up to, not including, `end`."""

    beginning: int
    end: int
