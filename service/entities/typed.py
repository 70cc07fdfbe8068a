"""An entity's payload as one type of msgspec's: the quick way in for payloads in the usual spelling.

`formats.native_quick` decodes with it. It takes what `Entity.parse` takes and gives the same, or it
refuses: another spelling, an unknown field and everything that does not fit are left to `Entity.parse`,
which says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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
        self._finish = _finishes(entity.fields)

    def read(self, payload: Struct) -> Payload:
        """The payload; raises `PermanentError` or `InvalidValue` where a value does not fit."""
        columns = asdict(payload)
        if UNSET in columns.values():
            columns = {name: value for name, value in columns.items() if value is not UNSET}
        _finish(columns, self._finish)
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
        self._finish = _finishes(lines.fields)

    def read(self, lines: Sequence[Struct]) -> tuple[Mapping[str, object], ...]:
        """All lines, each with every column; raises as `TypedPayload.read` does."""
        read = tuple(map(self._line, lines))
        if len({line[self._key] for line in read}) < len(read):
            raise violation(f"{LINES}: a {self._key} stands twice")
        return read

    def _line(self, line: Struct) -> Mapping[str, object]:
        columns = asdict(line)
        _finish(columns, self._finish)
        return columns


def _type_of(field: Field) -> Any:
    return field.json_type if field.default is not None or field.json_type is Raw else field.json_type | None


def _finishes(fields: Sequence[Field]) -> tuple[tuple[str, Callable[[Any], object]], ...]:
    """What Python makes the values of which fields: their type does not say all of it."""
    parse = [(each.name, each.parse) for each in fields if each.json_type is Raw]
    return (*parse, *((each.name, each.finish) for each in fields if each.finish))


def _finish(columns: dict[str, Any], finishes: Iterable[tuple[str, Callable[[Any], object]]]) -> None:
    for name, finish in finishes:
        value = columns.get(name)
        if value is not None:
            columns[name] = finish(value)
