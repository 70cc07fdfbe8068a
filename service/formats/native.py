"""The native envelope of specification 1: JSON in UTF-8, one change event a record.

`decoder` is called once for each topic, what it returns for each record. The payload is the entity's to
parse; which event is newer and whether it is known already is decided later.

A record that can never be an event raises `PermanentError` with one of these classes:
`RecordTooLarge` its bytes are not to be had · `InvalidJson` its value is not one clean JSON object ·
`InvalidKey` a delete by null value whose key is no id · `InvalidEventId` its id may not be used ·
`WrongEntity` its `event_type` names another entity · `SchemaViolation` a field is missing or does not fit.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from msgspec import MsgspecError, Raw
from msgspec.json import Decoder

from service.core.errors import PermanentError
from service.core.ports import Decode
from service.core.types import Event, Operation, Record
from service.entities import values
from service.entities.entity import Entity, Object, Payload, spelled
from service.entities.fields import camel, violation
from service.formats import event_ids, json_object, native_quick
from service.formats.kafka_facts import id_in_key, is_mismatch, kafka_time

T = TypeVar("T")

_NAMES = (
    "event_id",
    "event_type",
    "operation",
    "entity_id",
    "version",
    "occurred_at",
    "source",
    "data",
)
_KNOWN = frozenset((*_NAMES, *map(camel, _NAMES)))
_OPERATION = Decoder(Operation)
_NULL = Raw(b"null")
_PAYLOAD = Decoder(Object)
_NO_PAYLOAD = Payload({}, None, 0)


def decoder(entity: Entity) -> Decode:
    """The decoder of a topic that carries `entity`."""
    quick, carefully = native_quick.reader(entity), careful_reader(entity)

    def decode(record: Record) -> Event:
        if record.missing_bytes is not None:
            raise PermanentError("the record is too large", error_class="RecordTooLarge", stage="decode")
        if record.value is None:
            return _delete_of_key(entity, record)
        # The usual spelling at a third of the price; whatever is wrong is told by the careful reading.
        return quick(record, record.value) or carefully(record, record.value)

    return decode


def careful_reader(entity: Entity) -> Callable[[Record, bytes], Event]:
    """Reads every spelling, counts unknown fields, and says what is wrong by raising `PermanentError`."""

    def read(record: Record, value: bytes) -> Event:
        envelope = json_object.read(value)
        try:
            return _event(entity, record, envelope)
        except PermanentError as error:
            error.event_id, error.entity_id = _ids(envelope)
            raise

    return read


def _ids(envelope: Object) -> tuple[bytes | None, int | None]:
    """The ids of an event that is none, as far as they can be read."""
    event_id = entity_id = None
    with suppress(PermanentError):
        raw = _present("event_id", envelope)
        event_id = None if raw is None else _supplied_id(raw)
    with suppress(PermanentError):
        entity_id = _optional("entity_id", envelope, values.identifier)
    return event_id, entity_id


def _delete_of_key(entity: Entity, record: Record) -> Event:
    entity_id = id_in_key(record.key)
    if entity_id is None:
        message = "a null value, and the key is not an id from 1 to 2^63-1"
        raise PermanentError(message, error_class="InvalidKey", stage="decode")
    return Event(
        event_id=event_ids.derived(record),
        entity=entity.name,
        entity_id=entity_id,
        operation=Operation.DELETE,
        version=None,
        occurred_at=kafka_time(record),
        record=record,
    )


def _event(entity: Entity, record: Record, envelope: Object) -> Event:
    _check_event_type(entity, envelope)
    entity_id = _required("entity_id", envelope, values.identifier)
    operation = _required("operation", envelope, _operation)
    payload = _NO_PAYLOAD if operation is Operation.DELETE else _payload(entity, envelope)
    return Event(
        event_id=_event_id(record, envelope),
        entity=entity.name,
        entity_id=entity_id,
        operation=operation,
        version=_optional("version", envelope, values.version),
        occurred_at=_optional("occurred_at", envelope, values.moment) or kafka_time(record),
        record=record,
        columns=payload.columns,
        lines=payload.lines,
        unknown_fields=len(envelope.keys() - _KNOWN) + payload.unknown_fields,
        key_mismatch=is_mismatch(record.key, entity_id),
    )


def _payload(entity: Entity, envelope: Object) -> Payload:
    return entity.parse(_required("data", envelope, _object))


def _check_event_type(entity: Entity, envelope: Object) -> None:
    """A type like `customer.changed` names its entity; one without a dot names none."""
    event_type = _optional("event_type", envelope, values.string)
    if event_type is None or "." not in event_type:
        return
    if event_type.partition(".")[0] not in (entity.singular, entity.name):
        message = f"event_type names another entity than {entity.name}"
        raise PermanentError(message, error_class="WrongEntity", stage="decode")


def _event_id(record: Record, envelope: Object) -> bytes:
    raw = _present("event_id", envelope)
    return event_ids.derived(record) if raw is None else _supplied_id(raw)


def _supplied_id(raw: Raw) -> bytes:
    try:
        return event_ids.supplied(values.string(raw))
    except values.InvalidValue as problem:
        raise event_ids.invalid(f"event_id {problem}") from None


def _operation(raw: Raw) -> Operation:
    try:
        return _OPERATION.decode(raw)
    except MsgspecError:
        raise values.InvalidValue("is not create, update or delete") from None


def _object(raw: Raw) -> Object:
    try:
        return _PAYLOAD.decode(raw)
    except (MsgspecError, RecursionError):
        raise values.InvalidValue("is not an object") from None


def _required(name: str, envelope: Object, read: Callable[[Raw], T]) -> T:
    value = _optional(name, envelope, read)
    if value is None:
        raise violation(f"{name} is missing")
    return value


def _optional(name: str, envelope: Object, read: Callable[[Raw], T]) -> T | None:
    """The value of a field, None where it is missing or null."""
    raw = _present(name, envelope)
    if raw is None:
        return None
    try:
        return read(raw)
    except values.InvalidValue as problem:
        raise violation(f"{name} {problem}") from None


def _present(name: str, envelope: Object) -> Raw | None:
    raw = spelled(envelope, name)
    return None if raw is None or raw == _NULL else raw
