"""What the sink writes, as rows: marks, dead letters and the rows of entities.

Pure; called by `sinks.sql` inside its transaction. A row or a letter that no packet can carry would look
like an outage, so what is too large is known before it is sent.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter

from service.core.decide import Change
from service.core.types import DeadLetter, Event, LetterStatus, Outcome, Record
from service.entities.entity import Lines

# What a text writes as two bytes.
_ESCAPED = bytes(range(0x20)) + b'"\\'

# Room in a packet for everything of a row that is not one of its long values.
PACKET_MARGIN_BYTES = 64 * 1024


# What every row of an entity says beside its payload.
_VERSION_COLUMNS = ("version", "occurred_at", "source_partition", "source_offset", "synced_at", "deleted_at")

MARK_COLUMNS = (
    "event_id",
    "entity",
    "entity_id",
    "operation",
    "outcome",
    "topic",
    "partition_id",
    "record_offset",
    "occurred_at",
    "processed_at",
)

Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Rows that one statement can write: all new or all there, with the same columns."""

    is_new: bool
    columns: tuple[str, ...]
    rows: list[Row]


def group_rows(changes: Iterable[Change], defaults: Mapping[str, object], now: datetime) -> list[RowGroup]:
    """The rows of `changes`, in their order; payload columns that a change does not name are left alone.

    A row that is not there yet is inserted, never upserted: nobody holds a lock on it, and a rival's newer
    row must not be overwritten.
    """
    groups: dict[tuple[bool, tuple[str, ...]], list[Row]] = defaultdict(list)
    all_names = tuple(defaults)
    for change in changes:
        # New rows have all columns: then one statement inserts them, in the order of their keys. Two that
        # took turns with another writer's two would wait for each other.
        columns = change.columns
        if len(columns) < len(defaults) and (change.from_defaults or change.is_new):
            columns = {**defaults, **columns}
        names = all_names
        if len(columns) < len(defaults):
            names = tuple(name for name in defaults if name in columns)
        age = change.version
        groups[change.is_new, names].append(
            (
                change.entity_id,
                *map(columns.__getitem__, names),
                age.version,
                age.occurred_at,
                age.source_partition,
                age.source_offset,
                now,
                age.occurred_at if change.deleted else None,
            )
        )
    return [
        RowGroup(is_new, ("id", *names, *_VERSION_COLUMNS), rows) for (is_new, names), rows in groups.items()
    ]


def line_rows(lines: Lines, changes: Iterable[Change]) -> tuple[tuple[str, ...], list[Row]]:
    """The columns of an entity's lines, and the rows of `changes` in the order of their key."""
    names = (lines.key.name, *(each.name for each in lines.fields))
    rows: list[Row] = [
        (change.entity_id, *[line[name] for name in names])
        for change in changes
        for line in change.lines or ()
    ]
    rows.sort(key=itemgetter(0, 1))
    return (lines.parent, *names), rows


def mark_row(event: Event, outcome: Outcome, now: datetime) -> Row:
    """The mark, in `MARK_COLUMNS`, of an event that was applied or found stale."""
    record = event.record
    return (
        event.event_id,
        event.entity,
        event.entity_id,
        event.operation,
        outcome,
        record.partition.topic,
        record.partition.number,
        record.offset,
        event.occurred_at,
        now,
    )


def reused_letter(event: Event) -> DeadLetter:
    """The letter of an event whose id stands for another record."""
    return DeadLetter(
        event.record,
        stage="check",
        error_class="EventIdReused",
        error_message="this event id was used for another record before",
        event_id=event.event_id,
        entity=event.entity,
        entity_id=event.entity_id,
    )


def letter_row(letter: DeadLetter, now: datetime, max_packet_bytes: int | None) -> dict[str, object]:
    """A letter's row: its bytes as they came, or none of them where no packet can carry them."""
    record = letter.record
    next_attempt_at = later(now, letter.retry_in_seconds)
    headers = json.dumps([[name, _base64(value)] for name, value in record.headers])
    key, value = record.key, record.value
    if _fits([key or b"", value or b"", headers.encode()], max_packet_bytes):
        kept = (key, value, headers)
    else:
        kept = (None, None, "[]")
    return {
        "event_id": letter.event_id,
        "entity": letter.entity,
        "entity_id": letter.entity_id,
        "topic": record.partition.topic,
        "partition_id": record.partition.number,
        "record_offset": record.offset,
        "cluster_id": record.cluster_id[:64],
        "record_timestamp": record.timestamp_ms,
        "record_key": kept[0],
        "record_value": kept[1],
        "record_headers": kept[2],
        "size": len(record.value or b"") if record.missing_bytes is None else record.missing_bytes,
        "digest": digest(record),
        "stage": letter.stage,
        "error_class": letter.error_class,
        "error_message": letter.error_message[:1024],
        "attempts": letter.attempts,
        "status": (LetterStatus.DEAD if next_attempt_at is None else LetterStatus.RETRYING).value,
        "next_attempt_at": next_attempt_at,
        "first_failed_at": now,
        "last_failed_at": now,
    }


def later(now: datetime, seconds: float | None) -> datetime | None:
    """The moment `seconds` from now; None for never."""
    return None if seconds is None else now + timedelta(seconds=seconds)


def digest(record: Record) -> str:
    """What tells a record from another one that had its offset in a topic of the same name."""
    return hashlib.sha256(record.value or b"").hexdigest()


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode("ascii")


def fits_packets(events: Sequence[Event], max_packet_bytes: int | None) -> bool:
    """Whether the row of every event can be sent at all; None: packets have no limit."""
    if max_packet_bytes is None or not events:
        return True
    # A row holds no more than its record's value.
    if 2 * max(len(event.record.value or b"") for event in events) + PACKET_MARGIN_BYTES <= max_packet_bytes:
        return True
    return all(_fits(_texts_of(event), max_packet_bytes) for event in events)


def _texts_of(event: Event) -> list[bytes]:
    return [value.encode() for value in event.columns.values() if isinstance(value, str)]


def _fits(values: list[bytes], max_packet_bytes: int | None) -> bool:
    return (
        max_packet_bytes is None or sum(map(_packed_bytes, values)) + PACKET_MARGIN_BYTES <= max_packet_bytes
    )


def _packed_bytes(value: bytes) -> int:
    """The most that `value` takes in a statement of MySQL's, which is a text: see `dialects.mysql_text`."""
    try:
        value.decode()
    except UnicodeDecodeError:
        return 2 * len(value) + len("x''")
    return len(value) + len('""') + len(value) - len(value.translate(None, _ESCAPED))
