"""The catalogue of hostile records: every one must become a dead letter, and cost its neighbours nothing.

`workload` deals them out, `tests` may walk the catalogue. Each entry turns a valid envelope into a value
(and now and then a key) that specification 1 refuses. `CANARY` stands in their data: it must never show up
in an error message or a log (I9).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from tests.e2e.envelopes import Envelope
from tests.e2e.jsontext import Literal, encode
from tests.e2e.messages import ENTITIES

CANARY = "canary7c31"
KEPT_KEY = b"\0kept"  # stands for: the key that the record would have anyway

Breaker = Callable[[Envelope], bytes]


def catalogue(entity: str) -> Iterator[tuple[str, Breaker]]:
    """Every way to break the envelope of an event of `entity`, by name."""
    yield from _bytes_that_are_no_event()
    yield from _broken_envelopes(entity)
    yield from {"customer": _customers, "product": _products, "order": _orders}[entity]()


def hostile_keys() -> Iterator[tuple[str, bytes | None]]:
    """Keys that do not say which record a null value deletes."""
    yield "null key, null value", None
    yield "empty key, null value", b""
    yield "word as key, null value", b"abc"
    yield "fraction as key, null value", b"12.5"
    yield "true as key, null value", b"true"
    yield "zero as key, null value", b"0"
    yield "negative key, null value", b"-5"
    yield "key beyond 63 bits, null value", b"9223372036854775808"
    yield "full-width digits as key, null value", "\uff11\uff12".encode()
    yield "JSON object as key, null value", b'{"id":12}'
    yield "not UTF-8 as key, null value", b"\xff\xfe12"


def _bytes_that_are_no_event() -> Iterator[tuple[str, Breaker]]:
    def text(value: bytes) -> Breaker:
        return lambda document: value

    yield "empty value", text(b"")
    yield "blank value", text(b"  \n")
    yield "not JSON", text(f"{CANARY}, not JSON".encode())
    yield "cut off", lambda document: _value(document)[:-2]
    yield "two documents", lambda document: _value(document) * 2
    yield "JSON null", text(b"null")
    yield "JSON number", text(b"4711")
    yield "JSON string", text(b'"create"')
    yield "JSON list", lambda document: b"[" + _value(document) + b"]"
    yield "UTF-8 with BOM", lambda document: b"\xef\xbb\xbf" + _value(document)
    yield "UTF-16", lambda document: _value(document).decode().encode("utf-16")
    yield "Latin-1", lambda document: _value({**document, "source": "caf?"}).replace(b"caf?", b"caf\xe9")
    yield "nested 100,000 deep", text(b"[" * 100_000)
    yield (
        "data nested 100,000 deep",
        lambda document: _value({**document, "data": Literal("[" * 100_000 + "]" * 100_000)}),
    )
    yield "random bytes", text(bytes(range(256)))


def _broken_envelopes(entity: str) -> Iterator[tuple[str, Breaker]]:
    other = ENTITIES[(ENTITIES.index(entity) + 1) % len(ENTITIES)]
    yield "event type of another entity", _with("event_type", f"{other}.changed")
    yield "event type of no entity", _with("event_type", "supplier.changed")
    for name in ("operation", "entity_id", "data"):
        yield f"no {name}", partial(_without, name)
        yield f"{name} null", _with(name, None)
    yield "unknown operation", _with("operation", "upsert")
    yield "operation a number", _with("operation", 1)
    yield "data a list", _with("data", [])
    yield "data a string", _with("data", CANARY)
    for kind, value in _no_ids():
        yield f"entity id {kind}", _with("entity_id", value)
    for kind, value in _no_versions():
        yield f"version {kind}", _with("version", value)
    for kind, value in _no_times():
        yield f"occurred_at {kind}", _with("occurred_at", value)
    yield "event id empty", _with("event_id", "")
    yield "event id a number", _with("event_id", 17)
    yield "event id with NUL", _with("event_id", "a\0b")
    yield "event id of 256 bytes", _with("event_id", "e" * 256)
    yield "event id of 128 characters, 256 bytes", _with("event_id", "\u00e9" * 128)
    yield "event id of ours", _with("event_id", "kafka:" + "0" * 64)
    yield "event id a lone surrogate", _with("event_id", Literal('"\\ud800"'))
    yield "status null", _with_data("status", None)
    yield "status too long", _with_data("status", "s" * 33)


def _no_ids() -> Iterator[tuple[str, object]]:
    yield "true", True
    yield "zero", 0
    yield "negative", -1
    yield "beyond 63 bits", 2**63
    yield "a fraction", Literal("1.5")
    yield "a word", "12a"
    yield "empty", ""
    yield "full-width digits", "\uff11\uff12"
    yield "a list", [1]


def _no_versions() -> Iterator[tuple[str, object]]:
    yield "negative", -1
    yield "beyond 63 bits", 2**63
    yield "true", True
    yield "a fraction", Literal("1.5")
    yield "NaN", Literal("NaN")
    yield "infinite", Literal("Infinity")
    yield "of 100,000 digits", Literal("9" * 100_000)
    yield "a list", []


def _no_times() -> Iterator[tuple[str, object]]:
    yield "no time", CANARY
    yield "a number", 1_700_000_000
    yield "31 February", "2024-02-31T00:00:00Z"
    yield "25 o'clock", "2024-02-01T25:00:00Z"
    yield "beyond the column", "9999-12-31T23:59:59-01:00"


def _customers() -> Iterator[tuple[str, Breaker]]:
    yield "email too long", _with_data("email", "e" * 321)
    yield "name too long", _with_data("name", "\U0001f600" * 256)
    yield "phone too long", _with_data("phone", "1" * 65)
    yield "name a number", _with_data("name", 5)
    yield "name with NUL", _with_data("name", f"{CANARY}\0")
    yield "name with a lone surrogate", _with_data("name", Literal(f'"{CANARY}\\udc00"'))
    yield from _json_columns("address")


def _products() -> Iterator[tuple[str, Breaker]]:
    yield "sku too long", _with_data("sku", "s" * 65)
    yield "description too long", _with_data("description", "d" * 65_536)
    yield "description of 20,000 characters, 80,000 bytes", _with_data("description", "\U0001f600" * 20_000)
    yield "currency too long", _with_data("currency", "EURO")
    yield "stock a fraction", _with_data("stock_quantity", Literal("1.5"))
    yield "stock beyond 31 bits", _with_data("stock_quantity", 2**31)
    yield "stock true", _with_data("stock_quantity", True)
    for kind, value in _no_money():
        yield f"price {kind}", _with_data("price", value)
    yield from _json_columns("attributes")


def _orders() -> Iterator[tuple[str, Breaker]]:
    yield "customer id beyond 63 bits", _with_data("customer_id", 2**63)
    yield "customer id a word", _with_data("customer_id", CANARY)
    yield "order number too long", _with_data("order_number", "o" * 65)
    yield "placed_at no time", _with_data("placed_at", CANARY)
    yield "total with five decimals", _with_data("total", Literal("1.00001"))
    yield "lines a word", _with_data("lines", CANARY)
    yield "lines of numbers", _with_data("lines", [1])
    for kind, lines in _no_lines():
        yield f"line {kind}", _with_data("lines", lines)


def _no_money() -> Iterator[tuple[str, object]]:
    yield "with five decimals", Literal("1.00001")
    yield "with five decimals, as text", "1.00001"
    yield "out of range", Literal("100000000000000.0000")
    yield "out of range, as text", "-100000000000000"
    yield "NaN", Literal("NaN")
    yield "NaN as text", "NaN"
    yield "infinite as text", "Infinity"
    yield "beyond every float", Literal("1e999")
    yield "a word", CANARY
    yield "true", True
    yield "empty", ""


def _no_lines() -> Iterator[tuple[str, object]]:
    good: Envelope = {"line_no": 1, "product_id": 1, "quantity": 1}
    yield "number twice", [good, {**good, "quantity": 2}]
    yield "without number", [{"product_id": 1}]
    yield "number null", [{**good, "line_no": None}]
    yield "number a word", [{**good, "line_no": CANARY}]
    yield "quantity with five decimals", [good, {**good, "line_no": 2, "quantity": Literal("0.00001")}]
    yield "product beyond 63 bits", [{**good, "product_id": 2**63}]


def _json_columns(name: str) -> Iterator[tuple[str, Breaker]]:
    for depth in (32, 33):  # MariaDB takes 31
        text = '{"a":' * depth + "1" + "}" * depth
        yield f"{name} nested {depth} deep", _with_data(name, Literal(text))
    yield f"{name} with NaN", _with_data(name, Literal('{"a":NaN}'))
    yield f"{name} with NUL", _with_data(name, Literal('{"a":"\\u0000"}'))
    yield f"{name} with a lone surrogate", _with_data(name, Literal('{"a":"\\ud800"}'))


def _value(document: Envelope) -> bytes:
    return encode(document, ascii_only=False).encode()


def _with(name: str, value: object) -> Breaker:
    return lambda document: _value({**document, name: value})


def _without(name: str, document: Envelope) -> bytes:
    return _value({other: value for other, value in document.items() if other != name})


def _with_data(name: str, value: object) -> Breaker:
    def broken(document: Envelope) -> bytes:
        data = document["data"]
        assert isinstance(data, dict)
        return _value({**document, "data": {**data, name: value}})

    return broken
