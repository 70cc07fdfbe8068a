"""The native envelope in its usual spelling, decoded in one go: snake_case, known fields, values that fit.

`native` tries this first and leaves everything that it declines, hostile records above all, to its own
careful reading, which takes three times as long. Whatever is read here is read the same there: a property
test holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, DecimalException
from typing import Protocol

from msgspec import MsgspecError, Raw, Struct, defstruct
from msgspec.json import Decoder

from service.core.errors import PermanentError
from service.core.types import Event, Operation, Record
from service.entities import values
from service.entities.entity import Entity, Payload
from service.entities.typed import TypedPayload
from service.formats import event_ids, json_object
from service.formats.kafka_facts import is_mismatch, kafka_time

_DECLINED = (
    MsgspecError,
    UnicodeDecodeError,
    RecursionError,
    DecimalException,
    PermanentError,
    values.InvalidValue,
)
_NO_PAYLOAD = Payload({}, None, 0)


class Envelope(Protocol):
    """What `native_quick` decodes a record to."""

    operation: Operation
    entity_id: int
    event_id: str | None
    event_type: str | None
    version: int | None
    occurred_at: str | None
    data: Struct | None


def reader(entity: Entity) -> Callable[[Record, bytes], Event | None]:
    """The quick way from a record and its value to the event; None for what it declines."""
    payload = TypedPayload(entity)
    decoder: Decoder[Envelope] = Decoder(_envelope(entity, payload.type), float_hook=Decimal)
    types = (f"{entity.singular}.", f"{entity.name}.")

    def read(record: Record, value: bytes) -> Event | None:
        try:
            if not value.isascii():
                value.decode()  # msgspec.Raw does not look at it
            envelope = decoder.decode(value)
            if (b"\\" in value and b"\\u0000" in value) or not _is_usual(envelope, types):
                return None
            if _may_be_deep(value) and values.is_deeper(value.decode(), json_object.MAX_LEVELS):
                return None  # in what nobody reads: the source, the data of a delete, the first of two
            return _event(entity, record, envelope, payload)
        except _DECLINED:
            return None

    return read


def _may_be_deep(value: bytes) -> bool:
    """Whether there is room for too many levels: most records are too short for them."""
    return len(value) > 2 * json_object.MAX_LEVELS and values.openers(value) > json_object.MAX_LEVELS


def _is_usual(envelope: Envelope, types: tuple[str, str]) -> bool:
    """Whether the type names this entity, or none, and there is a payload unless it is a delete."""
    kind = envelope.event_type
    if kind is not None and not kind.startswith(types) and "." in kind:
        return False
    return envelope.data is not None or envelope.operation is Operation.DELETE


def _event(entity: Entity, record: Record, envelope: Envelope, payload: TypedPayload) -> Event:
    data = None if envelope.operation is Operation.DELETE else envelope.data
    said = _NO_PAYLOAD if data is None else payload.read(data)
    occurred_at = envelope.occurred_at
    return Event(
        event_ids.derived(record) if envelope.event_id is None else event_ids.supplied(envelope.event_id),
        entity.name,
        envelope.entity_id,
        envelope.operation,
        envelope.version,
        kafka_time(record) if occurred_at is None else values.moment_in(occurred_at),
        record,
        said.columns,
        said.lines,
        key_mismatch=is_mismatch(record.key, envelope.entity_id),
    )


def _envelope(entity: Entity, payload: type[Struct]) -> type[Envelope]:
    return defstruct(  # type: ignore[return-value]  # a type that is made here
        f"{entity.name}_envelope",
        [
            ("operation", Operation),
            ("entity_id", values.Id),
            ("event_id", str | None, None),
            ("event_type", str | None, None),
            ("version", values.Version | None, None),
            ("occurred_at", str | None, None),
            ("source", Raw, Raw()),
            ("data", payload | None, None),
        ],
        forbid_unknown_fields=True,
        gc=False,
    )
