"""PostgreSQL from version 12, by way of asyncpg.

The session is told its limits once, after the login: behind a pooler that hands out a connection for a
transaction at a time (pgbouncer's transaction mode) they would be lost, and so would the migration lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from ssl import SSLContext
from typing import Any

import asyncpg
from alembic.util import CommandError
from asyncpg.exceptions import ClientCannotConnectError, ConnectionRejectionError
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from service.core.errors import UpsertdError
from service.dialects import postgresql_errors
from service.dialects.dialect import (
    CONNECT_SECONDS,
    LOCK_WAIT_SECONDS,
    MIGRATION_LOCK_SECONDS,
    SERVER_IDLE_SECONDS,
    STATEMENT_SECONDS,
    Statement,
)
from service.dialects.one_by_one import OneByOne
from service.dialects.postgresql_arrays import ArrayStatements

_SESSION = "; ".join(
    f"SET {name} = '{value}'"
    for name, value in {
        "application_name": "upsertd",
        "timezone": "UTC",
        "lock_timeout": f"{LOCK_WAIT_SECONDS}s",
        "statement_timeout": f"{STATEMENT_SECONDS}s",
        # An idle session holds nothing; one that is idle in a transaction holds its locks.
        "idle_in_transaction_session_timeout": f"{SERVER_IDLE_SECONDS}s",
        # A client whose machine is gone: while the server waits for it, and while it has answers for it.
        "tcp_keepalives_idle": str(SERVER_IDLE_SECONDS // 2),
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "2",
        "tcp_user_timeout": f"{SERVER_IDLE_SECONDS}s",
        # Compiling pays for long queries, and we have none.
        "jit": "off",
    }.items()
)

# The server keeps advisory locks apart by database. The number only has to be the same for all of us.
_MIGRATION_LOCK = int.from_bytes(b"upsertd")
_LOCK_TIMED_OUT = "55P03"


class PostgreSql(ArrayStatements, OneByOne):
    """PostgreSQL."""

    def async_url(self, url: URL) -> URL:
        """See `Dialect`."""
        return url.set(drivername="postgresql+asyncpg")

    def engine_options(self, ssl: SSLContext | None) -> dict[str, Any]:
        """See `Dialect`."""
        # Left out, it would be what PGSSLMODE says.
        connect = {"async_creator_fn": _connect, "ssl": ssl or False}
        return {"connect_args": connect, "isolation_level": "READ COMMITTED"}

    def prepare(self, engine: AsyncEngine) -> None:
        """See `Dialect`."""

    def translate(self, error: DBAPIError) -> UpsertdError:
        """See `Dialect`."""
        return postgresql_errors.translate(error)

    def describe(self, error: DBAPIError) -> str:
        """See `Dialect`."""
        return postgresql_errors.describe(error)

    def packet_limit(self) -> Statement | None:
        """See `Dialect`: a gigabyte, which no record reaches."""
        return None

    @contextmanager
    def migrating_alone(self, connection: Connection) -> Iterator[None]:
        """See `Dialect`."""
        _refuse_other_encodings(connection)
        _lock(connection)
        # The lock stays; Alembic commits only what it has begun itself.
        connection.commit()
        try:
            yield
        finally:
            connection.execute(text(f"SELECT pg_advisory_unlock({_MIGRATION_LOCK})"))


def _refuse_other_encodings(connection: Connection) -> None:
    encoding = connection.scalar(text("SHOW server_encoding"))
    if encoding != "UTF8":
        raise CommandError(f"the database stores text as {encoding}, which has not all characters: use UTF8")


def _lock(connection: Connection) -> None:
    """Wait for the migration lock, whatever limits this user has otherwise."""
    # A migration may take longer than a statement of the service.
    connection.execute(text("SET statement_timeout = 0"))
    connection.execute(text(f"SET LOCAL lock_timeout = '{MIGRATION_LOCK_SECONDS}s'"))
    try:
        connection.execute(text(f"SELECT pg_advisory_lock({_MIGRATION_LOCK})"))
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_TIMED_OUT:
            raise
        raise CommandError(f"another migration has been running for {MIGRATION_LOCK_SECONDS} s") from error


async def _connect(**arguments: Any) -> asyncpg.Connection:
    """Connect, log in and set up the session within a deadline, whatever number of addresses there are."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            connection: asyncpg.Connection = await asyncpg.connect(**arguments)
            await _set_up(connection)
    except OSError as error:  # also: no answer in time
        raise _refusal(error) from error
    return connection


def _refusal(error: OSError) -> asyncpg.PostgresError:
    """What to tell in place of the driver's bare error, so that it has a code like all others."""
    # What has no number is not the system's: the server was asked for TLS, and has none.
    if type(error) is ConnectionError and error.errno is None:
        return ConnectionRejectionError("no TLS")
    return ClientCannotConnectError("no connection")


async def _set_up(connection: asyncpg.Connection) -> None:
    try:
        await connection.execute(_SESSION)
    except BaseException:
        connection.terminate()
        raise
