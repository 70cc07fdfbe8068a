"""SQLite's connections and locks: how a file is opened and let go, who may write into it and when.

A write-ahead log lets readers go on while one transaction writes. A transaction that begins with a SELECT
only reads; any other takes the file's write lock before it has read anything, so that it never has to run
again for what somebody wrote meanwhile. Within a pool, transactions that write queue up; processes wait in
SQLite, where the lucky one gets the lock. `sqlite` builds an engine with this.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from threading import Event
from typing import Any, cast

import aiosqlite
from sqlalchemy import Connection, event
from sqlalchemy.engine import ExecutionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry, ManagesConnection
from sqlalchemy.util import await_

from service.core.errors import Unavailable
from service.dialects import sqlite_errors
from service.dialects.dialect import LOCK_WAIT_SECONDS

# Together with LOCK_WAIT_SECONDS below what a statement may take in silence: who waits in vain is told that
# the database is busy, not that a connection was lost.
QUEUE_SECONDS = 2.0
# SQLite waits for a lock in the driver's thread, where nobody can call it back: for so long at a time.
BUSY_SECONDS = 1.0
# Of SQLite's virtual machine: about a millisecond; the statements of a batch have hardly as many.
_PROGRESS_STEPS = 100_000


class _Connection(aiosqlite.Connection):
    """A connection that lets go at once when it is closed.

    A statement whose caller has gone goes on in the driver's thread: closing would wait for its end.
    """

    def __init__(self, file: str, options: Mapping[str, Any]) -> None:
        self._closing = Event()
        super().__init__(partial(_open, file, options, self._closing), iter_chunk_size=64)
        # As SQLAlchemy does for its own: a connection that was forgotten must not keep the process alive.
        self._thread.daemon = True

    async def close(self) -> None:
        """Break off what runs, roll back, close."""
        self._closing.set()
        with suppress(sqlite3.Error, ValueError):  # ValueError: closed already
            # Closing alone keeps the lock for as long as anybody holds a cursor with rows left.
            await self.rollback()
        await super().close()


async def connect(file: str, **options: Any) -> aiosqlite.Connection:
    """Open a connection to `file`; `options` are the driver's."""
    connection = _Connection(file, options)
    try:
        return await connection
    except BaseException:
        # The thread's last words must not come after the event loop's end.
        await asyncio.to_thread(connection._thread.join)
        raise


def _open(file: str, options: Mapping[str, Any], closing: Event) -> sqlite3.Connection:
    """Open a file, in the driver's thread, and tell the session what the promise needs."""
    # Without an isolation level the driver leaves BEGIN to us.
    connection: sqlite3.Connection = sqlite3.connect(
        file, timeout=BUSY_SECONDS, isolation_level=None, **options
    )
    try:
        # Not interrupt(), which breaks off the ROLLBACK too as long as a cursor has rows left.
        connection.set_progress_handler(closing.is_set, _PROGRESS_STEPS)
        _log_ahead(connection)
        # With less, a commit that was confirmed may be gone after a power cut.
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _log_ahead(connection: sqlite3.Connection) -> None:
    """Make sure of the write-ahead log; SQLite does not wait for a rival that switches it on as well."""
    end = time.monotonic() + LOCK_WAIT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return


def begin_as_the_first_statement_says(engine: AsyncEngine) -> None:
    """Begin each transaction of `engine` as what its first statement is; one at a time writes."""
    writing = asyncio.Lock()

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def begin(
        connection: Connection, _: Any, sql: str, _rows: Any, context: ExecutionContext, *_rest: Any
    ) -> None:
        if sql.startswith("BEGIN") or _in_transaction(connection):
            return
        if _only_reads(sql, context):
            connection.exec_driver_sql("BEGIN")
            return
        await_(_queue(writing))
        _notes(connection.connection)["writes"] = True
        take_write_lock(connection, LOCK_WAIT_SECONDS)

    @event.listens_for(engine.sync_engine, "checkin")
    def let_the_next_one_write(_connection: Any, entry: ConnectionPoolEntry) -> None:
        # Comes at the end of each transaction, also of one whose connection was closed.
        if _notes(entry).pop("writes", False):
            writing.release()


def take_write_lock(connection: Connection, seconds: float) -> None:
    """Begin a transaction that holds the file's write lock, after `seconds` of waiting at most."""
    end = time.monotonic() + seconds - BUSY_SECONDS
    while True:
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except DBAPIError as error:
            if not sqlite_errors.is_busy(error) or time.monotonic() > end:
                raise
        else:
            return


async def _queue(writing: asyncio.Lock) -> None:
    try:
        async with asyncio.timeout(QUEUE_SECONDS):
            await writing.acquire()
    except TimeoutError as error:
        raise Unavailable("busy with the writes of other lanes", part="database") from error


def _only_reads(sql: str, context: ExecutionContext) -> bool:
    """Whether a first statement is a SELECT; one FOR UPDATE, which SQLite does not know, means to write."""
    locks = getattr(context.invoked_statement, "_for_update_arg", None) is not None
    return sql.startswith("SELECT") and not locks


def _in_transaction(connection: Connection) -> bool:
    driver: aiosqlite.Connection | None = connection.connection.driver_connection
    return driver is not None and driver.in_transaction


def _notes(place: ManagesConnection) -> dict[Any, Any]:
    """What is kept with a place in the pool, whichever connection has it."""
    # None is for a connection that has left its pool.
    return cast("dict[Any, Any]", place.record_info)
