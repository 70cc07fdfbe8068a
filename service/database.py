"""The engine, and the one place where a transaction opens.

The sink and the stores run their statements through `Database.transaction`; driver exceptions leave it
as the errors of `service.core.errors`, classified by the server's code and stripped of every value (I9).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Any

import aiomysql
from sqlalchemy import Connection, CursorResult, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.sql import Executable

from service.core.errors import ConnectionLost, Unavailable
from service.sql_errors import describe, translated

ACQUIRE_SECONDS = 30.0
CONNECT_SECONDS = 5.0
TRANSACTION_SECONDS = 30.0
# Longer than any statement takes that the session's limits let run: silence beyond it is a dead connection.
STATEMENT_SECONDS = 8.0
PING_SECONDS = 5.0

# A stopped process must not block its successor: the server drops a session that says nothing for this
# long, in the middle of a transaction too, and its locks go with it. MySQL and MariaDB both have it.
SERVER_IDLE_SECONDS = 20
# We let go of an idle connection well before the server does.
POOL_IDLE_SECONDS = 12.0

_STRICT = "STRICT_ALL_TABLES,STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE"
_SESSION = (
    f"SET SESSION sql_mode = '{_STRICT},NO_ENGINE_SUBSTITUTION', time_zone = '+00:00',"
    f" innodb_lock_wait_timeout = 5, lock_wait_timeout = 5, wait_timeout = {SERVER_IDLE_SECONDS}"
    " /*M! , max_statement_time = 7 */"  # only MariaDB reads this comment
)


class Transaction:
    """An open transaction: runs statements, raises our errors, counts what it sends."""

    def __init__(self, connection: AsyncConnection, before_statement: Callable[[], None]) -> None:
        self._connection = connection
        self._before_statement = before_statement

    async def execute(
        self,
        statement: Executable,
        parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> CursorResult[Any]:
        """Run one statement; a list of parameters becomes one multi-row statement."""
        self._before_statement()
        with translated():
            return await self._connection.execute(statement, parameters)

    async def commit(self) -> None:
        """Commit; when this raises `ConnectionLost`, nobody knows whether it took place."""
        self._before_statement()
        with translated():
            await self._connection.commit()


class Database:
    """A bounded pool of connections to one database.

    `url` is SQLAlchemy's or a plain `mysql://` / `mariadb://` one. There are never more than `pool_size`
    connections; whoever finds none waits. A transaction may take `transaction_seconds`. `on_statement` is
    called for each statement sent, COMMIT included, `on_wait` with the seconds that each transaction waited
    for its connection.
    """

    def __init__(
        self,
        url: str,
        pool_size: int,
        *,
        ssl: SSLContext | None = None,
        transaction_seconds: float = TRANSACTION_SECONDS,
        on_statement: Callable[[], None] = lambda: None,
        on_wait: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self._transaction_seconds = transaction_seconds
        self._on_statement = on_statement
        self._on_wait = on_wait
        self.pool_size = pool_size
        self.in_use = 0
        self.in_use_peak = 0
        connect: dict[str, Any] = {"init_command": _SESSION, "async_creator_fn": _connect}
        if ssl is not None:
            connect["ssl"] = ssl
        self.engine = create_async_engine(
            async_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=ACQUIRE_SECONDS,
            pool_use_lifo=True,
            # `transaction` ends what it begins; the pool's own ROLLBACK would be a round trip more.
            pool_reset_on_return=None,
            isolation_level="READ COMMITTED",
            hide_parameters=True,
            connect_args=connect,
        )
        _renew_idle_connections(self)

    @asynccontextmanager
    async def transaction(self, seconds: float | None = None) -> AsyncIterator[Transaction]:
        """One transaction on one connection: committed at the end of the block, rolled back on any error.

        Raises `Unavailable` when there is no connection to be had, `ConnectionLost` when it broke, stayed
        silent or took `seconds` (then nobody knows whether a COMMIT arrived), and otherwise what
        `translate` makes of the server's answer.
        """
        seconds = self._transaction_seconds if seconds is None else seconds
        connection = await self._acquire()
        self.in_use += 1
        self.in_use_peak = max(self.in_use_peak, self.in_use)
        try:
            async with asyncio.timeout(seconds) as deadline:
                transaction = Transaction(connection, self._before_statement(deadline, seconds))
                try:
                    yield transaction
                    await transaction.commit()
                except BaseException as error:
                    await _abandon(connection, error)
                    raise
        except TimeoutError as error:
            if not deadline.expired():
                raise  # the caller's own
            raise ConnectionLost("no answer in time", part="database") from error
        finally:
            self.in_use -= 1
            await connection.close()

    async def ping(self) -> None:
        """Raise `Unavailable` unless the database, once there is a connection, answers within seconds."""
        async with self.transaction(PING_SECONDS) as transaction:
            await transaction.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()

    async def _acquire(self) -> AsyncConnection:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(ACQUIRE_SECONDS):
                connection = await self.engine.connect()
        except DBAPIError as error:
            # Nothing was sent yet: whatever the code, the database is not there for us.
            raise Unavailable(f"cannot connect: {describe(error)}", part="database") from error
        except (PoolTimeout, TimeoutError) as error:
            raise Unavailable(f"no connection within {ACQUIRE_SECONDS:g} s", part="database") from error
        except (SQLAlchemyError, OSError) as error:
            raise Unavailable(f"cannot connect: {type(error).__name__}", part="database") from error
        self._on_wait(time.perf_counter() - started)
        return connection

    def _before_statement(self, deadline: asyncio.Timeout, seconds: float) -> Callable[[], None]:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds

        def begin() -> None:
            self._on_statement()
            deadline.reschedule(min(end, loop.time() + STATEMENT_SECONDS))

        return begin


async def _connect(**arguments: Any) -> aiomysql.Connection:
    """Connect and log in within a deadline: aiomysql's own covers the socket alone, not the handshake."""
    connection = aiomysql.Connection(**arguments)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await connection._connect()
    except BaseException as error:
        connection.close()
        if isinstance(error, TimeoutError):
            raise aiomysql.OperationalError(2003, "no answer in time") from error
        raise
    return connection


async def _abandon(connection: AsyncConnection, error: BaseException) -> None:
    """Roll back; a connection whose state nobody knows is closed instead, never pooled again."""
    if isinstance(error, Exception) and not isinstance(error, Unavailable):
        try:
            await connection.rollback()
        except (SQLAlchemyError, OSError):
            await connection.invalidate()
    else:
        await connection.invalidate()


def _renew_idle_connections(database: Database) -> None:
    """Replace a connection that lay idle for so long that the server may have dropped it."""

    @event.listens_for(database.engine.sync_engine, "checkin")
    def note_idle(_connection: Connection, record: Any) -> None:
        record.info["idle_since"] = time.monotonic()

    @event.listens_for(database.engine.sync_engine, "checkout")
    def refuse_idle(_connection: Connection, record: Any, _proxy: Any) -> None:
        if time.monotonic() - record.info.pop("idle_since", time.monotonic()) > POOL_IDLE_SECONDS:
            raise DisconnectionError


def async_url(url: str) -> URL:
    """SQLAlchemy's URL for the asynchronous driver: `mysql://` and `mariadb://` alike, always utf8mb4."""
    parsed = make_url(url)
    if parsed.drivername in ("mysql", "mariadb", "mariadb+aiomysql"):
        parsed = parsed.set(drivername="mysql+aiomysql")
    return parsed.update_query_dict({"charset": "utf8mb4"})
