"""The envelope of specification 1: what each of its fields may say, and what becomes of it."""

from __future__ import annotations

from datetime import datetime

import pytest

from service.core.types import Operation
from tests.unit.native_records import KAFKA_TIME, decoded, envelope, record, refused


@pytest.mark.parametrize("field", ["operation", "entity_id", "data"])
@pytest.mark.parametrize("value", [pytest.param(..., id="missing"), pytest.param(None, id="null")])
def test_a_required_field_must_be_there(field: str, value: object) -> None:
    """Missing and null are the same, and the message names the field."""
    error = refused(envelope(**{field: value}))
    assert (error.error_class, str(error)) == ("SchemaViolation", f"{field} is missing")


def test_camel_case_counts_where_snake_case_is_absent() -> None:
    """Both spellings are known fields."""
    event = decoded(envelope(entity_id=..., entityId=4711, eventId="a", occurredAt="2026-01-01T00:00:00Z"))
    assert (event.entity_id, event.event_id) == (4711, b"a")
    assert (event.occurred_at, event.unknown_fields) == (datetime(2026, 1, 1), 0)


def test_snake_case_wins_over_camel_case() -> None:
    """In the envelope, in the data and where it is null."""
    data = {"lines": [{"line_no": 1, "lineNo": 2}], "orderNumber": "camel", "order_number": None}
    event = decoded(envelope(entity_id=4711, entityId=1, version=None, data=data), "orders")
    assert (event.entity_id, event.columns["order_number"]) == (4711, None)
    assert event.lines is not None
    assert event.lines[0]["line_no"] == 1


def test_unknown_fields_are_counted_everywhere() -> None:
    """In the envelope, in the data and in each line; none of them reaches the columns."""
    lines = [{"line_no": 1, "x": 1}, {"line_no": 2, "x": 1, "y": 2}]
    event = decoded(envelope(x=1, data={"x": 1, "id": 4711, "lines": lines}), "orders")
    assert (event.unknown_fields, event.columns) == (6, {})


def test_the_last_of_two_equal_names_counts() -> None:
    """As most JSON parsers read it."""
    assert decoded(b'{"operation":"delete","entity_id":1,"entity_id":2}').entity_id == 2


@pytest.mark.parametrize("operation", list(Operation))
def test_every_operation_is_read(operation: Operation) -> None:
    """By its lower-case name."""
    assert decoded(envelope(operation=operation.value)).operation is operation


@pytest.mark.parametrize("operation", ["upsert", "CREATE", "", 1, ["create"]])
def test_no_other_operation_is_read(operation: object) -> None:
    """Not even in capitals."""
    assert refused(envelope(operation=operation)).error_class == "SchemaViolation"


def test_a_delete_ignores_its_data() -> None:
    """A delete carries neither columns nor lines, whatever the producer sends along."""
    event = decoded(envelope(operation="delete", data={"status": None, "lines": 1}), "orders")
    assert (event.columns, event.lines) == ({}, None)


@pytest.mark.parametrize("entity_id", [1, "1", 2**63 - 1, str(2**63 - 1), "0007"])
def test_an_entity_id_is_a_number_or_digits(entity_id: int | str) -> None:
    """Up to the end of BIGINT."""
    assert decoded(envelope(entity_id=entity_id)).entity_id == int(entity_id)


@pytest.mark.parametrize(
    "entity_id",
    [0, "0", -1, "-1", 2**63, str(2**63), True, 1.0, "1.0", "1e1", "", " 1", "+1", "1_0", "\u0661", [1]],
)
def test_nothing_else_is_an_entity_id(entity_id: object) -> None:
    """A boolean in particular is none, though Python thinks otherwise."""
    error = refused(envelope(entity_id=entity_id))
    assert error.error_class == "SchemaViolation"
    assert str(error).startswith("entity_id ")


@pytest.mark.parametrize("version", [0, 1, 2**63 - 1, None, ...])
def test_a_version_may_be_any_bigint_or_missing(version: object) -> None:
    """Zero is a version."""
    assert decoded(envelope(version=version)).version == (version if isinstance(version, int) else None)


@pytest.mark.parametrize("version", [-1, 2**63, "1", 1.0, True, [], 10**4000])
def test_nothing_else_is_a_version(version: object) -> None:
    """A JSON integer only."""
    assert str(refused(envelope(version=version))).startswith("version ")


@pytest.mark.parametrize("occurred_at", [pytest.param(None, id="null"), pytest.param(..., id="missing")])
def test_without_a_time_kafkas_counts(occurred_at: object) -> None:
    """The record's timestamp stands in for occurred_at."""
    assert decoded(envelope(occurred_at=occurred_at)).occurred_at == KAFKA_TIME


@pytest.mark.parametrize(
    ("timestamp_ms", "expected"),
    [
        pytest.param(-1, datetime(1970, 1, 1), id="none"),
        pytest.param(0, datetime(1970, 1, 1), id="epoch"),
        pytest.param(1, datetime(1970, 1, 1, 0, 0, 0, 1000), id="milliseconds"),
    ],
)
def test_kafkas_time_is_in_milliseconds(timestamp_ms: int, expected: datetime) -> None:
    """Where Kafka has none (-1), the epoch stands in: the oldest that such an event can be."""
    assert decoded(record(envelope(), timestamp_ms=timestamp_ms)).occurred_at == expected


@pytest.mark.parametrize("timestamp_ms", [2**62, -(2**62), 253_402_300_800_000])
def test_a_kafka_time_that_no_column_holds_is_refused(timestamp_ms: int) -> None:
    """A hostile producer sets it at will."""
    assert refused(record(envelope(), timestamp_ms=timestamp_ms)).error_class == "SchemaViolation"
    assert refused(record(None, timestamp_ms=timestamp_ms)).error_class == "SchemaViolation"


@pytest.mark.parametrize("event_type", ["customer.changed", "customers.x.y", "changed", "", None, ...])
def test_an_event_type_names_the_entity_or_nothing(event_type: object) -> None:
    """Before the first dot, in the singular or in the plural."""
    assert decoded(envelope(event_type=event_type)).entity == "customers"


@pytest.mark.parametrize("event_type", ["product.changed", "Customer.changed", ".customer", "customer .x"])
def test_an_event_type_of_another_entity_is_refused(event_type: str) -> None:
    """The topic says which entity its records belong to."""
    assert refused(envelope(event_type=event_type)).error_class == "WrongEntity"


def test_a_record_whose_bytes_are_missing_is_no_delete() -> None:
    """A value that the source could not hand over looks like null, and must not delete anything."""
    assert refused(record(None, missing_bytes=10**9)).error_class == "RecordTooLarge"


@pytest.mark.parametrize("key", [b"4711", b'"4711"', b"04711", b" 4711 "])
def test_a_null_value_deletes_its_key(key: bytes) -> None:
    """The id stands there in digits, bare, as a JSON number or as a JSON string."""
    event = decoded(record(None, key))
    assert (event.operation, event.entity_id, event.version) == (Operation.DELETE, 4711, None)
    assert (event.occurred_at, event.key_mismatch) == (KAFKA_TIME, False)


@pytest.mark.parametrize(
    "key",
    [
        None,
        b"",
        b"abc",
        b"1.0",
        b"1e3",
        b"true",
        b"null",
        b"0",
        b"-5",
        b"9223372036854775808",
        b'{"id":1}',
        "\uff11\uff12".encode(),
        b"\xff\xfe12",
        b'"4711',
        b"[" * 100_000,
        b"9" * 100_000,
    ],
)
def test_a_null_value_under_another_key_is_refused(key: bytes | None) -> None:
    """Nobody knows which record it deletes."""
    assert refused(record(None, key)).error_class == "InvalidKey"


@pytest.mark.parametrize(
    ("key", "mismatch"),
    [(None, False), (b"4711", False), (b'"4711"', False), (b"", True), (b"4712", True), (b"x", True)],
)
def test_a_key_that_is_not_the_id_is_noted(key: bytes | None, mismatch: bool) -> None:
    """Order between the events of a record holds within a partition, so within a key."""
    assert decoded(record(envelope(), key)).key_mismatch is mismatch


@pytest.mark.parametrize(
    ("fields", "ids"),
    [
        pytest.param({"event_id": "a"}, (b"a", 4711), id="both"),
        pytest.param({"eventId": "a", "entity_id": None}, (b"a", None), id="event"),
        pytest.param({"event_id": "kafka:a"}, (None, 4711), id="forbidden"),
        pytest.param({"event_id": 1, "entity_id": "x"}, (None, None), id="none"),
    ],
)
def test_a_refusal_says_the_ids_that_could_be_read(
    fields: dict[str, object], ids: tuple[bytes | None, int | None]
) -> None:
    """So that people find the letter of an event by its id."""
    error = refused(envelope(version="no version", **fields))
    assert (error.event_id, error.entity_id) == ids
