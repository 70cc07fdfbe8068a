"""The databases that upsertd writes to, one line for each spelling of a URL's scheme."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.engine import URL, make_url

from service.dialects.dialect import Dialect
from service.dialects.mysql import MySql
from service.dialects.postgresql import PostgreSql
from service.dialects.sqlite import Sqlite

_MYSQL = MySql()

DIALECTS: Mapping[str, Dialect] = {
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "postgresql": PostgreSql(),
    "sqlite": Sqlite(),
}


def dialect_of(url: str | URL) -> Dialect:
    """The dialect of a database's URL, whatever driver that names."""
    return DIALECTS[make_url(url).get_backend_name()]


def async_url(url: str | URL) -> URL:
    """SQLAlchemy's URL for the asynchronous driver."""
    parsed = make_url(url)
    return dialect_of(parsed).async_url(parsed)
