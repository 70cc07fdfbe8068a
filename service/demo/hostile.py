"""Records that nobody can apply: each has to become a dead letter, and to cost its neighbours nothing.

`stream` deals them out in turn. Each way takes a valid event as a dict and gives a record's value.
"""

from __future__ import annotations

from collections.abc import Callable

from service.demo.catalogue import json_text

Document = dict[str, object]
Breaker = Callable[[Document], bytes]


def _value(document: Document) -> bytes:
    return json_text(document).encode()


def _with(name: str, value: object) -> Breaker:
    return lambda document: _value({**document, name: value})


def _with_data(name: str, value: object) -> Breaker:
    def spoil(document: Document) -> bytes:
        data = document["data"]
        assert isinstance(data, dict)  # noqa: S101 - `stream` breaks events that carry data
        return _value({**document, "data": {**data, name: value}})

    return spoil


ANY_TOPIC: tuple[tuple[str, Breaker], ...] = (
    ("JSON cut off", lambda document: _value(document)[:-7]),
    ("no operation", lambda document: _value({k: v for k, v in document.items() if k != "operation"})),
    ("version is a word", _with("version", "seven")),
    ("random bytes", lambda _document: bytes(range(256))),
    ("entity id is true", _with("entity_id", True)),
    ("event type of another entity", _with("event_type", "supplier.changed")),
    ("nested 10,000 deep", lambda _document: b"[" * 10_000),
    ("empty event id", _with("event_id", "")),
    ("31 February", _with("occurred_at", "2026-02-31T00:00:00Z")),
    ("data is a list", _with("data", [1, 2, 3])),
    ("UTF-16", lambda document: json_text(document).encode("utf-16")),
)

BY_TOPIC: dict[str, tuple[tuple[str, Breaker], ...]] = {
    "customers": (("name too long", _with_data("name", "x" * 256)), ("NUL", _with_data("name", "a\0b"))),
    "products": (
        ("five decimals", _with_data("price", "1.00001")),
        ("stock beyond 31 bits", _with_data("stock_quantity", 2**31)),
    ),
    "orders": (
        ("line number twice", _with_data("lines", [{"line_no": 1}, {"line_no": 1}])),
        ("total beyond its column", _with_data("total", "100000000000000")),
    ),
}


def ways(topic: str) -> tuple[tuple[str, Breaker], ...]:
    """Every way to spoil an event of `topic`, by name."""
    return BY_TOPIC[topic] + ANY_TOPIC
