"""The oracle's verdict: is the database, read from outside, what the oracle expects, to the last byte?

`play` asks once everything is handled and the service has ended. It compares every row, order line, mark,
dead letter and position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from service.demo.oracle import DEFAULTS, Oracle

GROUP_ID = "upsertd-demo"

Key = TypeVar("Key")
Rows = Callable[[str], Iterable[tuple[object, ...]]]
"""Runs a SELECT."""

_LINE_COLUMNS = ("product_id", "quantity", "unit_price")
_MONEY = frozenset({"price", "total", "quantity", "unit_price"})
_TIMES = frozenset({"placed_at", "occurred_at"})
_LONGEST_VALUE = 120


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many of each were compared, and what differs, one line each."""

    compared: Mapping[str, int]
    differences: tuple[str, ...]

    @property
    def equal(self) -> bool:
        return not self.differences


def judge(oracle: Oracle, rows: Rows, ends: Mapping[tuple[str, int], int]) -> Verdict:
    """Compare the database with the oracle; `ends` are the ends of the partitions."""
    lines = dict(_expected_lines(oracle))
    differences = (
        *(
            line
            for topic in DEFAULTS
            for line in _compare(topic, _expected_rows(oracle, topic), _rows(rows, topic))
        ),
        *_compare("order_items", lines, _lines(rows)),
        *_compare("processed_events", _expected_marks(oracle), _marks(rows)),
        *_compare("dead_letters", _expected_letters(oracle), _letters(rows)),
        *_compare("consumer_positions", ends, positions(rows)),
    )
    compared = {
        "rows": sum(len(table) for table in oracle.rows.values()),
        "order lines": len(lines),
        "marks": len(oracle.marks),
        "dead letters": len(oracle.letters),
    }
    return Verdict(compared, differences)


def positions(rows: Rows) -> dict[tuple[str, int], int]:
    """Where the database stands, by topic and partition."""
    statement = (
        f"SELECT topic, partition_id, next_offset FROM consumer_positions WHERE group_id = '{GROUP_ID}'"  # noqa: S608
    )
    return {(str(topic), _int(number)): _int(offset) for topic, number, offset in rows(statement)}


def letters_by_class(rows: Rows) -> list[tuple[str, int]]:
    """How many dead letters there are of each class of error, the most frequent first."""
    statement = "SELECT error_class, COUNT(*) FROM dead_letters GROUP BY error_class ORDER BY 2 DESC, 1"
    return [(str(error_class), _int(number)) for error_class, number in rows(statement)]


def _expected_rows(oracle: Oracle, topic: str) -> dict[object, object]:
    return {
        entity_id: {
            **row.columns,
            "version": row.version,
            "occurred_at": row.occurred_at,
            "source_partition": row.place.partition,
            "source_offset": row.place.offset,
            "deleted": row.deleted,
        }
        for entity_id, row in oracle.rows[topic].items()
    }


def _rows(rows: Rows, topic: str) -> dict[object, object]:
    names = [*DEFAULTS[topic], "version", "occurred_at", "source_partition", "source_offset"]
    statement = f"SELECT {', '.join(names)}, deleted_at IS NOT NULL, id FROM {topic}"  # noqa: S608 - our names
    return {
        entity_id: {**_typed(names, values), "deleted": bool(deleted)}
        for *values, deleted, entity_id in rows(statement)
    }


def _expected_lines(oracle: Oracle) -> Iterator[tuple[object, object]]:
    for order_id, row in oracle.rows["orders"].items():
        for line_no, line in row.lines.items():
            yield (order_id, line_no), {name: line[name] for name in _LINE_COLUMNS}


def _lines(rows: Rows) -> dict[object, object]:
    statement = f"SELECT order_id, line_no, {', '.join(_LINE_COLUMNS)} FROM order_items"  # noqa: S608 - our names
    return {
        (order_id, line_no): _typed(_LINE_COLUMNS, values) for order_id, line_no, *values in rows(statement)
    }


def _expected_marks(oracle: Oracle) -> dict[object, object]:
    return {
        place: (mark.event_id, mark.topic, mark.entity_id, mark.operation, mark.outcome)
        for place, mark in oracle.marks.items()
    }


def _marks(rows: Rows) -> dict[object, object]:
    statement = (
        "SELECT topic, partition_id, record_offset, event_id, entity, entity_id, operation, outcome"
        " FROM processed_events"
    )
    return {
        (topic, partition, offset): (None if _is_derived(event_id) else event_id, *others)
        for topic, partition, offset, event_id, *others in rows(statement)
    }


def _is_derived(event_id: object) -> bool:
    return isinstance(event_id, bytes) and event_id.startswith(b"kafka:")


def _expected_letters(oracle: Oracle) -> dict[object, object]:
    return {place: (message.key, message.value, "dead") for place, message in oracle.letters.items()}


def _letters(rows: Rows) -> dict[object, object]:
    statement = (
        "SELECT topic, partition_id, record_offset, record_key, record_value, status FROM dead_letters"
    )
    return {tuple(place): (key, value, status) for *place, key, value, status in rows(statement)}


def _typed(names: Iterable[str], values: Iterable[object]) -> dict[str, object]:
    """The values of a row as Python's own: SQLite keeps decimals and times as text."""
    return {name: _value(name, value) for name, value in zip(names, values, strict=True)}


def _value(name: str, value: object) -> object:
    if name in _MONEY and value is not None:
        return Decimal(str(value))
    if name in _TIMES and isinstance(value, str):
        return datetime.fromisoformat(value)
    return value


def _compare(table: str, expected: Mapping[Key, object], found: Mapping[Key, object]) -> Iterator[str]:
    for key in expected.keys() | found.keys():
        where = f"{table} {_named(key)}"
        if key not in found:
            yield f"{where}: missing"
        elif key not in expected:
            yield f"{where}: nobody sent it"
        elif expected[key] != found[key]:
            yield f"{where}: {_difference(expected[key], found[key])}"


def _difference(expected: object, found: object) -> str:
    if isinstance(expected, dict) and isinstance(found, dict):
        name = next(name for name in expected if expected[name] != found[name])
        return f"{name} is {_short(found[name])}, expected {_short(expected[name])}"
    return f"is {_short(found)}, expected {_short(expected)}"


def _named(key: object) -> str:
    return "/".join(map(str, key)) if isinstance(key, tuple) else str(key)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def _int(value: object) -> int:
    return int(str(value))
