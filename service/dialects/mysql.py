"""MySQL and MariaDB, by way of aiomysql."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ssl import SSLContext
from typing import Any

import aiomysql
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from service.core.errors import UpsertdError
from service.dialects import mysql_errors
from service.dialects.dialect import (
    CONNECT_SECONDS,
    LOCK_WAIT_SECONDS,
    MIGRATION_LOCK_SECONDS,
    SERVER_IDLE_SECONDS,
    STATEMENT_SECONDS,
    Answer,
    Pulse,
    Statement,
)
from service.dialects.mysql_connection import MySqlConnection
from service.dialects.mysql_run import run
from service.dialects.mysql_text import TextStatements

_STRICT = "STRICT_ALL_TABLES,STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE"
_SESSION = (
    f"SET SESSION sql_mode = '{_STRICT},NO_ENGINE_SUBSTITUTION', time_zone = '+00:00',"
    f" innodb_lock_wait_timeout = {LOCK_WAIT_SECONDS}, lock_wait_timeout = {LOCK_WAIT_SECONDS},"
    # MySQL has no time limit for an idle transaction alone, but both have this one.
    f" wait_timeout = {SERVER_IDLE_SECONDS}"
    # Only MariaDB reads these comments; the second one from 10.3.18 on. It would make a join of a list of a
    # thousand values, which locks in another order than ORDER BY says, and other rows besides.
    f" /*M! , max_statement_time = {STATEMENT_SECONDS} */"
    " /*M!100318 , in_predicate_conversion_threshold = 0 */"
)


class MySql(TextStatements):
    """MySQL 8 and MariaDB alike."""

    def async_url(self, url: URL) -> URL:
        """See `Dialect`; always utf8mb4."""
        return url.set(drivername="mysql+aiomysql").update_query_dict({"charset": "utf8mb4"})

    def engine_options(self, ssl: SSLContext | None) -> dict[str, Any]:
        """See `Dialect`."""
        connect: dict[str, Any] = {"init_command": _SESSION, "async_creator_fn": _connect}
        if ssl is not None:
            connect["ssl"] = ssl
        return {"connect_args": connect, "isolation_level": "READ COMMITTED"}

    def prepare(self, engine: AsyncEngine) -> None:
        """See `Dialect`."""

    def translate(self, error: DBAPIError) -> UpsertdError:
        """See `Dialect`."""
        return mysql_errors.translate(error)

    def describe(self, error: DBAPIError) -> str:
        """See `Dialect`."""
        return mysql_errors.describe(error)

    async def run(
        self, connection: AsyncConnection, statements: Sequence[Statement], pulse: Pulse
    ) -> list[Answer]:
        """See `Dialect`."""
        return await run(connection, statements, pulse, self.translate)

    def packet_limit(self) -> Statement | None:
        """See `Dialect`."""
        return Statement("SELECT @@max_allowed_packet")

    @contextmanager
    def migrating_alone(self, connection: Connection) -> Iterator[None]:
        """See `Dialect`."""
        # MySQL's locks are the server's, not the database's: hence the name.
        name = "CONCAT('upsertd:', MD5(DATABASE()))"
        if connection.scalar(text(f"SELECT GET_LOCK({name}, {MIGRATION_LOCK_SECONDS})")) != 1:
            raise CommandError(f"another migration has been running for {MIGRATION_LOCK_SECONDS} s")
        # The lock stays; Alembic commits only what it has begun itself.
        connection.commit()
        try:
            yield
        finally:
            connection.execute(text(f"SELECT RELEASE_LOCK({name})"))


async def _connect(**arguments: Any) -> MySqlConnection:
    """Connect and log in within a deadline: aiomysql's own covers the socket alone, not the handshake."""
    connection = MySqlConnection(**arguments)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await connection._connect()
    except BaseException as error:
        connection.close()
        if isinstance(error, TimeoutError):
            raise aiomysql.OperationalError(2003, "no answer in time") from error
        raise
    return connection
