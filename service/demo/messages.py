"""What the demo's producers send, and what they mean by it: the words that stream and oracle share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

TOPICS = ("customers", "products", "orders")

# What librdkafka's mock broker gives every topic.
PARTITIONS = 4

Line = Mapping[str, object]


class Place(NamedTuple):
    """Where a record lies."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Change:
    """What a valid event says of one record; SQL values in `columns`, JSON as its text.

    `event_id` and `version` None: the event carries none. `occurred_at` is naive UTC. `lines`: None leaves
    them alone.
    """

    entity_id: int
    event_id: bytes | None
    operation: str
    version: int | None
    occurred_at: datetime
    columns: Mapping[str, object]
    lines: tuple[Line, ...] | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One record before it has an offset. `change` None: nobody can apply it, it becomes a dead letter.

    `kind` is for people; `timestamp_ms` is Kafka's.
    """

    kind: str
    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    change: Change | None
