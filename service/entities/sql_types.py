"""The column types of entity tables, with a variant where a dialect needs one.

Called by `fields` and `entity`. MySQL's and MariaDB's are the ones in use; the variants keep exact
decimals and microseconds on PostgreSQL and SQLite.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import DateTime, Dialect, MetaData, Numeric, Table, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeDecorator, TypeEngine

SqlType = TypeEngine[Any]
"""A column's type, whatever its Python type: SQLAlchemy's `TypeEngine` is invariant in it."""


class DecimalText(TypeDecorator[Decimal]):
    """An exact decimal in a TEXT column: SQLite's NUMERIC is a float and loses the end of it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:
        return None if value is None else format(value, "f")

    def process_result_value(self, value: str | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


def moment() -> SqlType:
    """UTC with microseconds, without a zone."""
    return DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def exact_decimal() -> SqlType:
    """DECIMAL(18,4)."""
    return Numeric(18, 4).with_variant(DecimalText(), "sqlite")


def document() -> SqlType:
    """The text of a JSON value as it was written: MySQL's own JSON type would change digits and order."""
    return Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def new_table(name: str, metadata: MetaData, *items: SchemaItem) -> Table:
    """A table that compares text byte for byte, whatever the server's default is.

    Otherwise 'a' would equal 'A' and 'ß' equal 'ss', and an audit would not see the difference.
    """
    return Table(
        name, metadata, *items, mysql_engine="InnoDB", mysql_charset="utf8mb4", mysql_collate="utf8mb4_bin"
    )
