"""Records, events, letters and leases with as few words as a test wants to say.

For the tests of the sink and of the pipeline: what a test does not name takes a value that never matters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from service.core.errors import PermanentError, TemporaryError, Unavailable
from service.core.types import (
    DeadLetter,
    Event,
    Lease,
    Operation,
    Partition,
    Record,
    RowVersion,
    StoredPosition,
    Work,
)

NOON = datetime(2026, 11, 21, 12)
CUSTOMERS = Partition("customers", 0)
ORDERS = Partition("orders", 0)
CLAIM = "c1a1" * 8

Lines = Sequence[Mapping[str, object]]


def at(seconds: float) -> datetime:
    """A moment so many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def record(
    offset: int,
    value: bytes | None = b"{}",
    *,
    partition: Partition = CUSTOMERS,
    key: bytes | None = b"1",
    headers: tuple[tuple[str, bytes | None], ...] = (),
    missing_bytes: int | None = None,
) -> Record:
    return Record(partition, offset, 1_700_000_000_000, key, value, headers, "cluster", missing_bytes)


def event(
    offset: int,
    entity_id: int = 1,
    *,
    event_id: bytes | None = None,
    version: int | None = None,
    seconds: float | None = None,
    operation: Operation = Operation.UPDATE,
    partition: Partition = CUSTOMERS,
    lines: Lines | None = None,
    value: bytes | None = None,
    **columns: object,
) -> Event:
    """An event of the entity that its topic is named after, by default as old as its offset in seconds."""
    return Event(
        event_id=b"%s:%d" % (str(partition).encode(), offset) if event_id is None else event_id,
        entity=partition.topic,
        entity_id=entity_id,
        operation=operation,
        version=version,
        occurred_at=at(offset if seconds is None else seconds),
        record=record(offset, b'{"offset": %d}' % offset if value is None else value, partition=partition),
        columns=columns,
        lines=None if lines is None else tuple(lines),
    )


def delete(offset: int, entity_id: int = 1, **more: object) -> Event:
    return event(offset, entity_id, operation=Operation.DELETE, **more)  # type: ignore[arg-type]  # passed on


def line(line_no: int, product_id: int | None = None) -> Mapping[str, object]:
    """A line of an order, with every column, as a format hands it over."""
    return {"line_no": line_no, "product_id": product_id, "quantity": None, "unit_price": None}


def letter(of: Record, error_class: str = "SchemaViolation") -> DeadLetter:
    """The letter of a record that could not be decoded."""
    return DeadLetter(of, "decode", error_class, "name is longer than 255 characters")


def lease(
    expected: int = 0,
    *,
    partition: Partition = CUSTOMERS,
    claim_id: str = CLAIM,
    handled: int | None = None,
    namespace: str = "5eed",
) -> Lease:
    return Lease(partition, claim_id, expected, expected if handled is None else handled, namespace)


def position(
    next_offset: int = 0,
    *,
    handled: int | None = None,
    claim_id: str = CLAIM,
    epoch: int = 1,
    owner: str | None = "host:1",
    namespace: str = "5eed",
    cluster_id: str | None = "cluster",
) -> StoredPosition:
    handled_offset = next_offset if handled is None else handled
    return StoredPosition(next_offset, handled_offset, claim_id, epoch, owner, namespace, cluster_id)


def work(*parts: Event | DeadLetter, end: int | None = None) -> Work:
    """The transaction of these, given in offset order; it ends behind the last one."""
    last = parts[-1].record.offset + 1 if parts else 0
    return Work(
        tuple(part for part in parts if isinstance(part, Event)),
        tuple(part for part in parts if isinstance(part, DeadLetter)),
        last if end is None else end,
    )


def age(
    version: int | None = None, seconds: float = 0, *, partition_number: int = 0, offset: int = 0
) -> RowVersion:
    return RowVersion(version, at(seconds), partition_number, offset)


def message(event_id: str, entity_id: int = 1, version: int | None = None, **columns: object) -> bytes:
    """The value of a record as `decode_message` reads it; `version=None` leaves time to decide."""
    body = {"event_id": event_id, "entity_id": entity_id, "version": version, "columns": columns}
    return json.dumps(body).encode()


def decode_message(record: Record) -> Event:
    """The decoder of `message`: small, so that tests of the pipeline do not depend on a format."""
    if record.value is None or not record.value.startswith(b"{"):
        raise PermanentError("not an object", error_class="SchemaViolation", stage="decode")
    body = json.loads(record.value)
    return Event(
        event_id=body["event_id"].encode(),
        entity=record.partition.topic,
        entity_id=body["entity_id"],
        operation=Operation.UPDATE,
        version=body["version"],
        occurred_at=at(record.offset),
        record=record,
        columns=body["columns"],
    )


class Unheard:
    """Hears how a batch gets on, and keeps it to itself."""

    def retrying(self, error: TemporaryError | Unavailable) -> None:
        """Nothing."""

    def reached(self, offset: int) -> None:
        """Nothing."""
