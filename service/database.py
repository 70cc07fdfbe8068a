"""The engine, and the one place where a transaction opens.

The sink and the stores run their statements through `Database.transaction`; driver exceptions leave it
as the errors of `service.core.errors`, as the dialect translates them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from ssl import SSLContext
from typing import Any

from sqlalchemy import Connection, CursorResult, event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.sql import Executable

from service.core.errors import ConnectionLost, Unavailable
from service.dialects.dialect import Answer, Dialect, Pulse, Statement
from service.dialects.registry import async_url, dialect_of

ACQUIRE_SECONDS = 30.0
TRANSACTION_SECONDS = 30.0
# Longer than any statement takes that the session's limits let run: silence beyond it is a dead connection.
STATEMENT_SECONDS = 8.0
PING_SECONDS = 5.0

# We let go of an idle connection well before the server does.
POOL_IDLE_SECONDS = 12.0


class _Pulse:
    """Counts statements, and gives each answer `STATEMENT_SECONDS` to come, until the transaction's `end`."""

    def __init__(self, deadline: asyncio.Timeout, seconds: float, on_statement: Callable[[], None]) -> None:
        self._deadline = deadline
        self._time = asyncio.get_running_loop().time
        self._end = self._time() + seconds
        self._on_statement = on_statement

    def sent(self) -> None:
        self._on_statement()
        self.heard()

    def heard(self) -> None:
        self._deadline.reschedule(min(self._end, self._time() + STATEMENT_SECONDS))


class Transaction:
    """An open transaction: runs statements, raises our errors, counts what it sends."""

    def __init__(self, connection: AsyncConnection, dialect: Dialect, pulse: Pulse) -> None:
        self._connection = connection
        self._dialect = dialect
        self._pulse = pulse
        self._answers: list[Answer] = []

    async def run(self, *statements: Statement) -> list[Answer]:
        """Send what a dialect built, together, and return an answer to each.

        A failure is raised when its answer is looked at, at the latest by `commit`. A statement may be
        carried out though one before it has failed.
        """
        if not statements:
            return []
        with self._translated():
            answers = await self._dialect.run(self._connection, statements, self._pulse)
        self._answers += answers
        return answers

    async def write(self, *statements: Statement) -> None:
        """Run what a dialect built; raises what the first failure means."""
        for answer in await self.run(*statements):
            answer.check()

    async def execute(
        self,
        statement: Executable,
        parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> CursorResult[Any]:
        """Run one statement; a list of parameters becomes one multi-row statement."""
        self._pulse.sent()
        with self._translated():
            return await self._connection.execute(statement, parameters)

    async def commit(self) -> None:
        """Commit; when this raises `ConnectionLost`, nobody knows whether it took place.

        Raises the failure of a statement whose answer nobody has looked at: then nothing is committed.
        """
        for answer in self._answers:
            answer.check()
        self._pulse.sent()
        with self._translated():
            await self._connection.commit()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise our errors for the driver's."""
        try:
            yield
        except DBAPIError as error:
            # It may be told one day, and a text holds its values (I9).
            error.statement = error.params = None
            raise self._dialect.translate(error) from error
        except OSError as error:
            raise ConnectionLost(type(error).__name__, part="database") from error


class Database:
    """A bounded pool of connections to one database.

    `url` is SQLAlchemy's or a plain one, `mysql://…`; `dialect` is what it names. There are never more than
    `pool_size` connections; whoever finds none waits. A transaction may take `transaction_seconds`.
    `on_statement` is called for each statement sent, COMMIT included, `on_wait` with the seconds that each
    transaction waited for its connection.
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
        self.dialect = dialect_of(url)
        self.engine = create_async_engine(
            async_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=ACQUIRE_SECONDS,
            pool_use_lifo=True,
            # `transaction` ends what it begins; the pool's own ROLLBACK would be a round trip more.
            pool_reset_on_return=None,
            hide_parameters=True,
            **self.dialect.engine_options(ssl),
        )
        self.dialect.prepare(self.engine)
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
                # `run` goes past SQLAlchemy: without this it would have nothing to commit.
                await connection.begin()
                pulse = _Pulse(deadline, seconds, self._on_statement)
                transaction = Transaction(connection, self.dialect, pulse)
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
            raise Unavailable(f"cannot connect: {self.dialect.describe(error)}", part="database") from error
        except (PoolTimeout, TimeoutError) as error:
            raise Unavailable(f"no connection within {ACQUIRE_SECONDS:g} s", part="database") from error
        except (SQLAlchemyError, OSError) as error:
            raise Unavailable(f"cannot connect: {type(error).__name__}", part="database") from error
        self._on_wait(time.perf_counter() - started)
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
