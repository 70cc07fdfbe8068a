"""Records in the native format, for the tests of entities and of the decoder."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from service.core.errors import PermanentError
from service.core.types import Event, Partition, Record
from service.entities.registry import ENTITIES
from service.formats import native

# 2026-11-21T09:00:00Z
TIMESTAMP_MS = 1_795_251_600_000
KAFKA_TIME = datetime(2026, 11, 21, 9)


def record(
    value: bytes | None,
    key: bytes | None = b"4711",
    *,
    offset: int = 5,
    timestamp_ms: int = TIMESTAMP_MS,
    missing_bytes: int | None = None,
) -> Record:
    """A record of partition 0, with Kafka's time of `KAFKA_TIME`."""
    return Record(
        Partition("customers", 0),
        offset,
        timestamp_ms,
        key,
        value,
        cluster_id="test-cluster",
        missing_bytes=missing_bytes,
    )


def envelope(**fields: object) -> bytes:
    """An update of record 4711 that says nothing, with `fields` added or, where they are `...`, left out."""
    document: dict[str, object] = {"operation": "update", "entity_id": 4711, "data": {}, **fields}
    return json.dumps({name: value for name, value in document.items() if value is not ...}).encode()


def with_data(name: str, json_text: str | bytes) -> bytes:
    """An update of record 4711 whose data has one field, with this text as its value."""
    text = json_text.encode() if isinstance(json_text, str) else json_text
    return b'{"operation":"update","entity_id":4711,"data":{"%b":%b}}' % (name.encode(), text)


def decoded(value: bytes | Record | None, entity: str = "customers") -> Event:
    """The event of a record, or of a value under the key 4711."""
    return native.decoder(ENTITIES[entity])(value if isinstance(value, Record) else record(value))


def refused(value: bytes | Record | None, entity: str = "customers") -> PermanentError:
    """The error that a record, or a value under the key 4711, is refused with."""
    with pytest.raises(PermanentError) as caught:
        decoded(value, entity)
    assert caught.value.stage == "decode"
    return caught.value
