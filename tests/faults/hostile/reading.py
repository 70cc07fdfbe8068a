"""What a record must become, by specification 1 alone: a change with all its values, or a dead letter.

The second opinion on the decoder: it shares no code with the service, not even the JSON parser.
`judging` compares the two, `histories` hands the changes to the oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from tests.e2e.messages import Change, Line
from tests.faults.hostile import column_rules as rules
from tests.faults.hostile.column_rules import COLUMNS, LINE_COLUMNS, Unfit
from tests.faults.hostile.strict_json import Node, NotJson, parse

T = TypeVar("T")

SINGULAR: Mapping[str, str] = {"customers": "customer", "products": "product", "orders": "order"}
_ENVELOPE = (
    "event_id",
    "event_type",
    "operation",
    "entity_id",
    "version",
    "occurred_at",
    "source",
    "data",
)
_EPOCH = datetime(1970, 1, 1)
Members = dict[str, Node]


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that must become a dead letter, for one of these classes of error."""

    classes: frozenset[str]
    event_id: bytes | None = None
    entity_id: int | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A record that must become this change; its `occurred_at` is set whatever the record says."""

    change: Change
    unknown_fields: int = 0
    key_mismatch: bool = False


@dataclass(slots=True)
class _Problems:
    """The classes of error that a reader may give; which one comes first is its own affair."""

    classes: set[str] = field(default_factory=set)

    def tried(self, error_class: str, read: Callable[[], T]) -> T | None:
        """What `read` gives, or None and one problem more."""
        try:
            return read()
        except Unfit:
            self.classes.add(error_class)
            return None


def read(table: str, key: bytes | None, value: bytes | None, timestamp_ms: int) -> Accepted | Refused:
    """What a record of the topic of `table` must become."""
    if value is None:
        return _deleted_by_key(table, key, timestamp_ms)
    try:
        envelope = parse(value)
    except NotJson:
        return Refused(frozenset({"InvalidJson"}))
    if envelope.kind != "object":
        return Refused(frozenset({"InvalidJson"}))
    return _read_envelope(table, key, envelope.last(), timestamp_ms)


def _deleted_by_key(table: str, key: bytes | None, timestamp_ms: int) -> Accepted | Refused:
    entity_id = id_in_key(key)
    if entity_id is None:
        return Refused(frozenset({"InvalidKey"}))
    try:
        occurred_at = _kafka_time(timestamp_ms)
    except Unfit:
        return Refused(frozenset({"SchemaViolation"}))
    return Accepted(Change(SINGULAR[table], entity_id, "delete", None, None, occurred_at))


def id_in_key(key: bytes | None) -> int | None:
    """The id that a key stands for: ASCII digits, bare or as a JSON number or string."""
    if key is None:
        return None
    text = key if not key.isdigit() else b'"%b"' % key  # bare digits may begin with zeros
    try:
        return rules.identifier(parse(text))
    except (NotJson, Unfit):
        return None


def _read_envelope(table: str, key: bytes | None, said: Members, timestamp_ms: int) -> Accepted | Refused:
    problems = _Problems()
    if not _names_entity(said, table, problems):
        problems.classes.add("WrongEntity")
    operation = problems.tried("SchemaViolation", lambda: _required(said, "operation", _operation))
    entity_id = problems.tried("SchemaViolation", lambda: _required(said, "entity_id", rules.identifier))
    event_id = problems.tried("InvalidEventId", lambda: _optional(said, "event_id", _event_id))
    version = problems.tried("SchemaViolation", lambda: _optional(said, "version", rules.version))
    occurred_at = problems.tried("SchemaViolation", lambda: _occurred_at(said, timestamp_ms))
    change, unknown = Change(SINGULAR[table], 0, "delete", None, None, None), 0
    if operation != "delete":
        read = problems.tried(
            "SchemaViolation", lambda: _required(said, "data", lambda n: _payload(table, n))
        )
        change, unknown = read or (change, 0)
    if problems.classes or entity_id is None or operation is None:
        return Refused(frozenset(problems.classes), event_id, entity_id)
    change = replace(
        change,
        entity_id=entity_id,
        operation=operation,
        event_id=event_id,
        version=version,  # type: ignore[arg-type]  # an integer's rule gives one
        occurred_at=occurred_at,
    )
    mismatch = key is not None and id_in_key(key) != entity_id
    return Accepted(change, unknown + _unknown(said, _ENVELOPE), mismatch)


def _names_entity(said: Members, table: str, problems: _Problems) -> bool:
    """Whether the type names this entity, or none at all."""
    kind = problems.tried("SchemaViolation", lambda: _optional(said, "event_type", rules.characters))
    return kind is None or "." not in kind or kind.split(".")[0] in (table, SINGULAR[table])


def _operation(node: Node) -> str:
    if rules.characters(node) not in ("create", "update", "delete"):
        raise Unfit("no operation")
    return node.characters


def _event_id(node: Node) -> bytes:
    event_id = rules.characters(node).encode()
    if not 1 <= len(event_id) <= 255 or event_id.startswith(b"kafka:"):
        raise Unfit("no event id")
    return event_id


def _occurred_at(said: Members, timestamp_ms: int) -> datetime:
    occurred_at = _optional(said, "occurred_at", rules.moment)
    return _kafka_time(timestamp_ms) if occurred_at is None else occurred_at


def _kafka_time(timestamp_ms: int) -> datetime:
    try:
        known = 0 if timestamp_ms == -1 else timestamp_ms
        return rules.stored_moment(_EPOCH + timedelta(milliseconds=known))
    except OverflowError as error:
        raise Unfit("no such time") from error


def _payload(table: str, node: Node) -> tuple[Change, int]:
    """A change with the columns and lines of `node`, and the number of unknown fields."""
    data = _members(node)
    columns = {
        name: column.read(_said(data, name)) for name, column in COLUMNS[table].items() if _has(data, name)
    }
    change = Change(SINGULAR[table], 0, "update", None, None, None, columns)
    if table != "orders":
        return change, _unknown(data, COLUMNS[table])
    unknown = _unknown(data, (*COLUMNS[table], "lines"))
    if "lines" not in data:
        return change, unknown
    lines, unknown_in_lines = _lines(data["lines"])
    return replace(change, lines=lines), unknown + unknown_in_lines


def _lines(node: Node) -> tuple[dict[int, Line], int]:
    if node.kind != "array":
        raise Unfit("no list")
    lines: dict[int, Line] = {}
    unknown = 0
    for item in node.items:
        said = _members(item)
        number, *values = (
            column.read(_said(said, name)) if _has(said, name) else None
            for name, column in LINE_COLUMNS.items()
        )
        if not isinstance(number, int) or number in lines:
            raise Unfit("a number is missing or stands twice")
        lines[number] = Line(*values)  # type: ignore[arg-type]  # the rules of the columns give these
        unknown += _unknown(said, LINE_COLUMNS)
    return lines, unknown


def _members(node: Node) -> Members:
    if node.kind != "object":
        raise Unfit("no object")
    return node.last()


def _required(said: Members, name: str, read: Callable[[Node], T]) -> T:
    value = _optional(said, name, read)
    if value is None:
        raise Unfit("missing")
    return value


def _optional(said: Members, name: str, read: Callable[[Node], T]) -> T | None:
    """The value of a field; None where it is missing or null."""
    if not _has(said, name) or _said(said, name).is_null:
        return None
    return read(_said(said, name))


def _has(said: Members, name: str) -> bool:
    return name in said or camel(name) in said


def _said(said: Members, name: str) -> Node:
    """The value in snake_case, which counts where both spellings stand, or in camelCase."""
    return said[name] if name in said else said[camel(name)]


def _unknown(said: Members, known: Iterable[str]) -> int:
    names = set(known)
    return len(said.keys() - names - {camel(name) for name in names})


def camel(name: str) -> str:
    """`entity_id` as `entityId`."""
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)
