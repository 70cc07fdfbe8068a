"""The words of the proof: what a generated Kafka record says, and where Kafka put it.

The generator (`workload`) makes messages, `producing` sends them, the `oracle` takes what was sent. A
message carries its own meaning, so the oracle never decodes bytes: what a hostile value must become is
decided where the value is made. Nothing here is shared with the service.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

ENTITIES = ("customer", "product", "order")
TABLES = {"customer": "customers", "product": "products", "order": "orders"}


class Line(NamedTuple):
    """One line of an order, without its number."""

    product_id: int | None
    quantity: Decimal | None
    unit_price: Decimal | None


@dataclass(frozen=True, slots=True)
class Change:
    """A valid event. `columns` holds what SQL must give back; an absent column is left alone.

    `event_id` None: derived by the service. `occurred_at` None: the record's Kafka timestamp. Times are
    naive UTC. `lines` None: left alone.
    """

    entity: str
    entity_id: int
    operation: str
    event_id: bytes | None
    version: int | None
    occurred_at: datetime | None
    columns: Mapping[str, object] = field(default_factory=dict)
    lines: Mapping[int, Line] | None = None


@dataclass(frozen=True, slots=True)
class Hopeless:
    """A record that can never be applied and must become a dead letter."""


Meaning = Change | Hopeless


@dataclass(frozen=True, slots=True)
class Message:
    """A record to produce. `entity` names the topic it is sent to, `kind` says what it is, for reports."""

    kind: str
    entity: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_ms: int
    meaning: Meaning


class Place(NamedTuple):
    """The coordinates of a record."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Produced:
    """A message and where Kafka put it; `timestamp_ms` is the one that Kafka stored."""

    message: Message
    place: Place
    timestamp_ms: int
