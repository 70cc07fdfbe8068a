"""An entity's payload as one type of msgspec's: the quick way in for payloads in the usual spelling.

`formats.native_quick` decodes with it. It takes what `Entity.parse` takes and gives the same, or it
refuses: another spelling, an unknown field and everything that does not fit are left to `Entity.parse`,
which says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET, Raw, Struct, UnsetType, defstruct
from msgspec.structs import asdict

from service.entities.entity import LINES, Entity, Lines, Payload
from service.entities.fields import Field, violation


class TypedPayload:
    """`type` is what the payload of `entity` is decoded to, `read` makes the payload of it."""

    def __init__(self, entity: Entity) -> None:
        self._lines = TypedLines(entity.lines) if entity.lines else None
        members: list[Any] = [(each.name, _type_of(each) | UnsetType, UNSET) for each in entity.fields]
        if self._lines:
            members.append((LINES, self._lines.types | UnsetType, UNSET))
        self.type: type[Struct] = defstruct(
            f"{entity.name}_payload", members, forbid_unknown_fields=True, gc=False
        )
        self._raw = _raw(entity.fields)

    def read(self, payload: Struct) -> Payload:
        """The payload; raises `PermanentError` where a value does not fit."""
        columns = asdict(payload)
        if UNSET in columns.values():
            columns = {name: value for name, value in columns.items() if value is not UNSET}
        for each in self._raw:
            if each.name in columns:
                columns[each.name] = each.parse(columns[each.name])
        lines = columns.pop(LINES, None)
        if self._lines is None or lines is None:
            return Payload(columns, None, 0)
        return Payload(columns, self._lines.read(lines), 0)


class TypedLines:
    """`types` is what a list of lines is decoded to, `read` makes the lines of it."""

    def __init__(self, lines: Lines) -> None:
        members: list[Any] = [(lines.key.name, lines.key.json_type)]
        members += [(each.name, _type_of(each), each.default) for each in lines.fields]
        line = defstruct(f"{lines.name}_line", members, forbid_unknown_fields=True, gc=False)
        self.types: Any = list[line]  # type: ignore[valid-type]  # a type that is made here
        self._key = lines.key.name
        self._raw = _raw(lines.fields)

    def read(self, lines: Sequence[Struct]) -> tuple[Mapping[str, object], ...]:
        """All lines, each with every column; raises `PermanentError` where one does not fit."""
        read = tuple(map(self._line, lines))
        if len({line[self._key] for line in read}) < len(read):
            raise violation(f"{LINES}: a {self._key} stands twice")
        return read

    def _line(self, line: Struct) -> Mapping[str, object]:
        columns = asdict(line)
        for each in self._raw:
            if columns[each.name] is not None:
                columns[each.name] = each.parse(columns[each.name])
        return columns


def _type_of(field: Field) -> Any:
    return field.json_type if field.default is not None or field.json_type is Raw else field.json_type | None


def _raw(fields: Sequence[Field]) -> tuple[Field, ...]:
    """The fields whose text Python reads: their type says nothing of it."""
    return tuple(each for each in fields if each.json_type is Raw)
