"""The kinds of field that an entity is declared with: each is a column and the way into it.

Entity files call the functions here; `entity` builds tables and parses payloads from what they return.
What a JSON value has to look like is said in `values`, how a dialect stores it in `sql_types`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Annotated, Any

from msgspec import Meta, Raw
from sqlalchemy import CHAR, BigInteger, CheckConstraint, Column, Dialect, Integer, String, Text

from service.core.errors import PermanentError
from service.entities import sql_types, values
from service.entities.sql_types import SqlType

_NULL = Raw(b"null")


@dataclass(frozen=True, slots=True)
class Field:
    """One payload field. It is nullable unless it has a default.

    `json_type` is a type that takes no more than `read` does, and the same way, once `finish` has made the
    SQL value of what is not null; `Raw` stands for no such type.
    """

    name: str
    sql_type: Callable[[], SqlType]
    read: Callable[[Raw], object]
    json_type: Any = Raw
    default: str | None = None
    finish: Callable[[Any], object] | None = None
    holds_json: bool = False

    def parse(self, raw: Raw) -> object:
        """The SQL value of `raw`; raises `PermanentError` when the column cannot hold it as it is."""
        if raw == _NULL:
            if self.default is not None:
                raise violation(f"{self.name} must not be null")
            return None
        try:
            return self.read(raw)
        except values.InvalidValue as problem:
            raise violation(f"{self.name} {problem}") from None

    def column(self) -> Column[object]:
        """A new column, for one table."""
        return Column(self.name, self.sql_type(), nullable=self.default is None, server_default=self.default)

    def check(self, table: str) -> CheckConstraint | None:
        """What the server has to check of the column in `table`, if anything."""
        if not self.holds_json:
            return None
        check = CheckConstraint(f"json_valid({self.name})", name=f"ck_{table}_{self.name}_json")
        return check.ddl_if(callable_=_has_json_valid)


def text(name: str, length: int, default: str | None = None) -> Field:
    """A string of at most `length` characters."""
    json_type = Annotated[str, Meta(max_length=length)]
    return Field(name, partial(String, length), values.string_up_to(length), json_type, default)


def long_text(name: str) -> Field:
    """A string of at most 65,535 bytes."""
    return Field(name, Text, values.long_string)


def json_text(name: str) -> Field:
    """Any JSON value, kept as the text that it came as."""
    return Field(name, sql_types.document, values.json_text, holds_json=True)


def decimal(name: str) -> Field:
    """An amount with 14 digits before and four after the point."""
    # Any: with it a float's digits come as they are, where Decimal would take strings that no number is like.
    return Field(name, sql_types.exact_decimal, values.exact_decimal, Any, finish=values.amount)


def integer(name: str) -> Field:
    """A whole number of 32 bits."""
    return Field(name, Integer, values.int32, values.Int32)


def reference(name: str) -> Field:
    """The id of another record; no foreign key, because Kafka keeps no order between topics."""
    return Field(name, BigInteger, values.identifier, values.Id)


def currency(name: str) -> Field:
    """A currency of ISO 4217."""
    return Field(name, partial(CHAR, 3), values.currency, values.Currency)


def timestamp(name: str) -> Field:
    """A moment, in UTC with microseconds."""
    return Field(name, sql_types.moment, values.moment, str, finish=values.moment_in)


def violation(message: str) -> PermanentError:
    """The error of a payload that does not fit; `message` names the field, never its value (I9)."""
    return PermanentError(message, error_class="SchemaViolation", stage="decode")


@cache
def camel(name: str) -> str:
    """The other spelling that producers may use: `entity_id` as `entityId`."""
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)


def _has_json_valid(*_: object, dialect: Dialect, **__: object) -> bool:
    # PostgreSQL has no such function, and SQLite's takes NULL for no JSON.
    return dialect.name in ("mysql", "mariadb")
