"""SQLite, by way of aiosqlite: one file, for one service on one machine.

How connections are made and transactions begin stands in `sqlite_connections`. SQLite checks neither
lengths nor ranges: what fits a column is decided in decoding, before anything comes here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ssl import SSLContext
from typing import Any

from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from service.core.errors import UpsertdError
from service.dialects import sqlite_errors
from service.dialects.dialect import MIGRATION_LOCK_SECONDS, Statement
from service.dialects.one_by_one import OneByOne
from service.dialects.sqlite_connections import (
    BUSY_SECONDS,
    begin_as_the_first_statement_says,
    connect,
    take_write_lock,
)
from service.dialects.sqlite_statements import CompiledStatements


class Sqlite(CompiledStatements, OneByOne):
    """SQLite from 3.35 on."""

    def async_url(self, url: URL) -> URL:
        """See `Dialect`."""
        return url.set(drivername="sqlite+aiosqlite")

    def engine_options(self, ssl: SSLContext | None) -> dict[str, Any]:
        """See `Dialect`; a file has no connection to encrypt."""
        return {"connect_args": {"async_creator_fn": connect}}

    def prepare(self, engine: AsyncEngine) -> None:
        """See `Dialect`."""
        begin_as_the_first_statement_says(engine)

    def translate(self, error: DBAPIError) -> UpsertdError:
        """See `Dialect`."""
        return sqlite_errors.translate(error)

    def describe(self, error: DBAPIError) -> str:
        """See `Dialect`."""
        return sqlite_errors.describe(error)

    def packet_limit(self) -> Statement | None:
        """See `Dialect`."""
        return None

    @contextmanager
    def migrating_alone(self, connection: Connection) -> Iterator[None]:
        """See `Dialect`; the lock is the file's own: a migration is one transaction, all or nothing."""
        # The driver begins and commits nothing by itself then, and Alembic leaves it to whoever has begun.
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {1000 * BUSY_SECONDS:.0f}")
        try:
            take_write_lock(connection, MIGRATION_LOCK_SECONDS)
        except DBAPIError as error:
            if not sqlite_errors.is_busy(error):
                raise
            told = f"another migration has been running for {MIGRATION_LOCK_SECONDS} s"
            raise CommandError(told) from error
        yield
        # Whatever fails before this is rolled back when the connection is closed.
        connection.exec_driver_sql("COMMIT")
