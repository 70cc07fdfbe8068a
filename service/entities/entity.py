"""An entity: one declaration that gives the table, the defaults and the parsing of its payload.

Entity files make one each; the formats parse with it, the sink writes its tables, the migrations read
`metadata`. What an event's envelope looks like is the formats' business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec import MsgspecError, Raw, Struct
from msgspec.json import Decoder
from sqlalchemy import BigInteger, Column, Integer, MetaData, Table
from sqlalchemy.schema import SchemaItem

from service.core.errors import PermanentError
from service.entities.fields import Field, camel, violation
from service.entities.sql_types import moment, new_table

metadata = MetaData()

LINES = "lines"

Object = dict[str, Raw]
"""A JSON object whose values are still text."""

_OBJECT = Decoder(Object)
_OBJECTS = Decoder(list[Object])


class Payload(Struct, frozen=True, gc=False):
    """What an event says of a record: SQL values by column, lines (None: not mentioned), strangers."""

    columns: Mapping[str, object]
    lines: tuple[Mapping[str, object], ...] | None
    unknown_fields: int


@dataclass(frozen=True, eq=False)
class Lines:
    """The lines of an entity: a table of their own, replaced as a whole by `data.lines`.

    The primary key is `parent`, the entity's id, and `key`, which every line must carry.
    """

    name: str
    parent: str
    key: Field
    fields: tuple[Field, ...]
    table: Table = field(init=False, repr=False)
    _known: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _complete(self, table=self._new_table(), _known=_spellings((self.key, *self.fields)))

    def parse(self, raw: Raw) -> tuple[tuple[Mapping[str, object], ...], int]:
        """All lines, each with every column (its default where absent), and the number of unknown fields."""
        lines: list[Mapping[str, object]] = []
        unknown = 0
        for position, line in enumerate(_objects(raw)):
            try:
                lines.append(self._line(line))
            except PermanentError as problem:
                raise violation(f"{LINES}[{position}]: {problem}") from None
            unknown += _unknown(line, self._known)
        self._refuse_repeated_keys(lines)
        return tuple(lines), unknown

    def _new_table(self) -> Table:
        keys = (
            Column(self.parent, BigInteger, primary_key=True, autoincrement=False),
            Column(self.key.name, self.key.sql_type(), primary_key=True, autoincrement=False),
        )
        return new_table(self.name, metadata, *keys, *_columns(self.name, self.fields))

    def _line(self, line: Object) -> Mapping[str, object]:
        key = _parse(line, (self.key,)).get(self.key.name)
        if key is None:
            raise violation(f"{self.key.name} is missing")
        absent = {each.name: each.default for each in self.fields}
        return {self.key.name: key, **absent, **_parse(line, self.fields)}

    def _refuse_repeated_keys(self, lines: list[Mapping[str, object]]) -> None:
        if len({line[self.key.name] for line in lines}) < len(lines):
            raise violation(f"{LINES}: a {self.key.name} stands twice")


@dataclass(frozen=True, eq=False)
class Entity:
    """A kind of record that is synchronised: `name` is its table and topic, `singular` one of it.

    `table` is made in `metadata`; `defaults` has what each payload column takes in a new row that does not
    mention it, and in a tombstone.
    """

    name: str
    singular: str
    fields: tuple[Field, ...]
    lines: Lines | None = None
    table: Table = field(init=False, repr=False)
    defaults: Mapping[str, object] = field(init=False, repr=False)
    _known: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _complete(
            self,
            table=_new_table(self.name, self.fields),
            defaults={each.name: each.default for each in self.fields},
            _known=_spellings(self.fields) | ({LINES} if self.lines else set()),
        )

    @property
    def lines_table(self) -> Table | None:
        """The table of the lines, where the entity has some."""
        return self.lines.table if self.lines else None

    def parse(self, data: Object) -> Payload:
        """The payload in `data`, absent fields left out; raises `PermanentError` where one does not fit."""
        columns = _parse(data, self.fields)
        unknown = _unknown(data, self._known)
        if self.lines is None or LINES not in data:
            return Payload(columns, None, unknown)
        lines, unknown_in_lines = self.lines.parse(data[LINES])
        return Payload(columns, lines, unknown + unknown_in_lines)


def spelled(data: Object, name: str) -> Raw | None:
    """The value of `name` in snake_case or, where that is absent, in camelCase."""
    raw = data.get(name)
    return data.get(camel(name)) if raw is None else raw


def _complete(declaration: Entity | Lines, **parts: object) -> None:
    """Add to a frozen declaration what follows from it, once."""
    for name, value in parts.items():
        object.__setattr__(declaration, name, value)


def _parse(data: Object, fields: tuple[Field, ...]) -> dict[str, object]:
    columns: dict[str, object] = {}
    for each in fields:
        raw = spelled(data, each.name)
        if raw is not None:
            columns[each.name] = each.parse(raw)
    return columns


def _spellings(fields: tuple[Field, ...]) -> frozenset[str]:
    names = [each.name for each in fields]
    return frozenset((*names, *map(camel, names)))


def _unknown(data: Object, known: frozenset[str]) -> int:
    return len(data.keys() - known)


def _objects(raw: Raw) -> list[Object]:
    try:
        return _OBJECTS.decode(raw)
    except (MsgspecError, RecursionError):
        raise violation(f"{LINES} is not a list of objects") from None


def _new_table(name: str, fields: tuple[Field, ...]) -> Table:
    """The table of an entity: one unique key only, or an upsert could hit another record's row."""
    return new_table(
        name,
        metadata,
        Column("id", BigInteger, primary_key=True, autoincrement=False),
        *_columns(name, fields),
        Column("version", BigInteger),
        Column("occurred_at", moment(), nullable=False),
        Column("source_partition", Integer, nullable=False),
        Column("source_offset", BigInteger, nullable=False),
        Column("synced_at", moment(), nullable=False),
        Column("deleted_at", moment()),
    )


def _columns(table: str, fields: tuple[Field, ...]) -> list[SchemaItem]:
    checks = (each.check(table) for each in fields)
    return [*(each.column() for each in fields), *(check for check in checks if check is not None)]
