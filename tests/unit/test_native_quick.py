"""The quick reading of the native envelope gives what the careful one gives, or declines."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.core.errors import PermanentError
from service.core.types import Event, Record
from service.entities.entity import Entity
from service.entities.registry import ENTITIES
from service.formats import native_quick
from service.formats.native import careful_reader
from tests.unit.native_records import record

QUICK = {name: native_quick.reader(entity) for name, entity in ENTITIES.items()}
CAREFUL = {name: careful_reader(entity) for name, entity in ENTITIES.items()}

# Values that fit, values at the edge of fitting, values of other types.
NUMBERS = (0, 1, 7, -1, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 1.0, 1.5, 0.0001, 12345678901234.5678)
TEXTS = ("", "1", "0007", "a" * 32, "a" * 33, "EUR", "eur", "é\U0001f600", "a\u0000b", "12.3400", "1e3")
# What Python takes for numbers, texts that end where no pattern's `$` would, and an exponent without end.
NEARLY = ("1_0", " 1", "1\n", "NaN", "-Infinity", "\u0661", "EUR\n", "\u0415UR", "1e9999999999999999999")
TIMES = (
    "2026-01-01T00:00:00Z",
    "2026-01-01t00:00:00.123456789z",
    "2026-01-01 00:00:00",
    "2026-13-01T00:00:00Z",
    "0999-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "2026-02-30T00:00:00Z",
    "2026-01-01T24:00:00Z",
    "2026-01-01T00:00:00+05:30",
    "2026-01-01T00:00:60Z",
)
WORDS = ("customer.changed", "orders.x", "product", "x.y", "create", "update", "delete", "kafka:1")
OTHERS: tuple[object, ...] = (None, True, {}, [], {"a": [1, {"b": None}]}, [{"line_no": 1}])
VALUES: st.SearchStrategy[object] = st.sampled_from((*NUMBERS, *TEXTS, *NEARLY, *TIMES, *WORDS, *OTHERS))
Document = dict[str, object]


def members(entity: Entity) -> st.SearchStrategy[Document]:
    """A payload: fields of the entity, now and then in another spelling or unknown."""
    names = [each.name for each in entity.fields] + ["unknown", "orderNumber"]
    payload: st.SearchStrategy[Document] = st.dictionaries(st.sampled_from(names), VALUES, max_size=4)
    if entity.lines is None:
        return payload
    keys = st.sampled_from([entity.lines.key.name, *(each.name for each in entity.lines.fields), "lineNo"])
    line = st.builds(
        lambda number, more: {"line_no": number, **more}, VALUES, st.dictionaries(keys, VALUES, max_size=2)
    )
    lines = st.lists(line, max_size=3) | VALUES
    return st.builds(lambda fields, own: {**fields, "lines": own}, payload, lines) | payload


def documents(entity: Entity) -> st.SearchStrategy[Document]:
    """Envelopes that are mostly right."""
    optional = st.dictionaries(
        st.sampled_from(["event_id", "event_type", "version", "occurred_at", "source", "x", "entityId"]),
        VALUES,
        max_size=4,
    )
    return st.builds(
        lambda operation, entity_id, data, more: {
            "operation": operation,
            "entity_id": entity_id,
            "data": data,
            **more,
        },
        st.sampled_from(["create", "update", "delete"]) | VALUES,
        st.just(7) | VALUES,
        members(entity) | VALUES,
        optional,
    )


CASES = st.sampled_from(sorted(ENTITIES)).flatmap(
    lambda name: st.tuples(st.just(name), documents(ENTITIES[name]))
)


def careful(name: str, event: Record) -> Event | None:
    with suppress(PermanentError):
        return CAREFUL[name](event, event.value or b"")
    return None


TWICE: Document = {
    "operation": "update",
    "entity_id": 7,
    "data": {"lines": [{"line_no": 1}, {"line_no": 1, "quantity": None}]},
}


@given(case=CASES, ascii_only=st.booleans())
@example(case=("orders", TWICE), ascii_only=True)
@example(case=("customers", {"operation": "update", "entity_id": 7, "data": None}), ascii_only=True)
def test_the_quick_reading_is_the_careful_one(case: tuple[str, Document], ascii_only: bool) -> None:
    """To the digit: a decimal's repr and a time's fraction are compared too."""
    name, document = case
    one = record(json.dumps(document, ensure_ascii=ascii_only).encode(), b"7")
    quick = QUICK[name](one, one.value or b"")
    if quick is not None:
        expected = careful(name, one)
        assert quick == expected
        assert repr(quick) == repr(expected)


def usual(name: str) -> Document:
    data: dict[str, Document] = {
        "customers": {"email": "a@x", "name": None, "status": "active", "address": {"a": 1}},
        "products": {"sku": "s", "price": "12.5", "currency": "EUR", "stock_quantity": 3},
        "orders": {"customer_id": 4, "total": 1.5, "lines": [{"line_no": 1, "quantity": "1.5"}]},
    }
    return {"operation": "update", "entity_id": 7, "event_id": "a", "version": 1, "data": data[name]}


@pytest.mark.parametrize("name", sorted(ENTITIES))
def test_the_usual_spelling_is_read_quickly(name: str) -> None:
    """Or nobody would notice that all is read carefully."""
    one = record(json.dumps(usual(name)).encode(), b"7")
    assert QUICK[name](one, one.value or b"") is not None


AMOUNTS = (
    *("0", "-0", "-0.0", "1E2", "1e-4", "1e-5", "12345678901234.5678", "123456789012345", "0.00001"),
    *("1e9999999999999999999", "-1e-9999999999999999999", "9" * 30, "9" * 5000, "0." + "1" * 5000, "true"),
    *(
        f'"{text}"'
        for text in ("1.50", "-0", "1E2", "", "1_0", " 1", "1 ", "+1", ".5", "5.", "NaN", "Infinity")
    ),
    *('"\\u0031"', '"\u0661"', '"1e9999999999999999999"', "[1.5]", '{"a": 1.5}', "null"),
)


@pytest.mark.parametrize("amount", AMOUNTS)
def test_an_amount_is_read_digit_by_digit_or_declined(amount: str) -> None:
    """In every way to write one, and in some that only Python knows."""
    data = f'{{"total": {amount}, "lines": [{{"line_no": 1, "quantity": {amount}}}]}}'
    one = record(f'{{"operation": "update", "entity_id": 7, "data": {data}}}'.encode(), b"7")
    quick = QUICK["orders"](one, one.value or b"")
    assert quick is None or repr(quick) == repr(careful("orders", one))


@pytest.mark.parametrize("name", sorted(ENTITIES))
def test_broken_bytes_are_declined_or_the_same(name: str) -> None:
    """One byte after the other is replaced by each of some awkward ones."""
    good = json.dumps({**usual(name), "occurred_at": "2026-01-01T00:00:00Z", "source": {"a": "é"}})
    value = good.encode()
    for position in range(len(value)):
        for byte in (0x00, 0x22, 0x5C, 0x80, 0xC3, 0xFF, ord("0"), ord("]")):
            one = record(value[:position] + bytes([byte]) + value[position + 1 :], b"7")
            quick = QUICK[name](one, one.value or b"")
            assert quick is None or quick == careful(name, one)
