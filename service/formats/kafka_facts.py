"""What Kafka itself says of a record, beside its value: a time and a key. Called by the formats."""

from __future__ import annotations

from datetime import datetime

from msgspec import MsgspecError, Raw
from msgspec.json import Decoder

from service.core.types import Record
from service.entities import values
from service.entities.fields import violation

_KEY = Decoder(Raw)


def kafka_time(record: Record) -> datetime:
    """The record's timestamp as naive UTC; raises `PermanentError` for one that no column holds."""
    try:
        return values.moment_of(record.timestamp_ms)
    except values.InvalidValue as problem:
        raise violation(f"the record's timestamp {problem}") from None


def is_mismatch(key: bytes | None, entity_id: int) -> bool:
    """Whether there is a key that stands for another id than `entity_id`."""
    # Most keys are the bare id: the comparison spares the parsing.
    return key is not None and key != b"%d" % entity_id and id_in_key(key) != entity_id


def id_in_key(key: bytes | None) -> int | None:
    """The id that a Kafka key stands for: ASCII digits, bare or as a JSON number or string."""
    if key is None:
        return None
    try:
        return values.identifier_in(key.decode()) if key.isdigit() else values.identifier(_KEY.decode(key))
    except (values.InvalidValue, MsgspecError, UnicodeDecodeError, RecursionError):
        return None
