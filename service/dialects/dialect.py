"""What one kind of SQL database does its own way, behind one interface.

`service.database` opens connections and names errors with it, `sinks.sql` builds the statements of a batch
with it, the migrations take their lock with it. Nothing else asks which database it is. `registry` has
one line for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any, Protocol

from sqlalchemy import Column, Connection, Table
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql import Executable

from service.core.errors import UpsertdError

# A stopped process must not block its successor: the server drops a session that says nothing for this
# long, in the middle of a transaction too, and its locks go with it.
SERVER_IDLE_SECONDS = 20
LOCK_WAIT_SECONDS = 5
# What the server lets a statement take, where it can be told.
STATEMENT_SECONDS = 7
CONNECT_SECONDS = 5.0

# Longer than a migration of large tables takes; who waits for that long has another problem.
MIGRATION_LOCK_SECONDS = 600

Columns = Sequence[str]
Rows = Sequence[Sequence[object]]
"""Values in the order of `Columns`, as the types of the table's columns take them."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What is sent at once: text that is complete, or what SQLAlchemy compiles, with its parameters."""

    sql: str | Executable
    parameters: Mapping[str, object] | Sequence[Mapping[str, object]] | None = None


class Answer:
    """What the server answered to one statement. Who looks at it hears of its failure."""

    __slots__ = ("_count", "_rows", "error")

    def __init__(
        self, rows: Sequence[Sequence[Any]] = (), count: int = 0, error: UpsertdError | None = None
    ) -> None:
        self._rows = rows
        self._count = count
        self.error = error

    @property
    def rows(self) -> Sequence[Sequence[Any]]:
        """The rows that were read. Raises the statement's error."""
        self.check()
        return self._rows

    @property
    def count(self) -> int:
        """How many rows an UPDATE found. Raises the statement's error."""
        self.check()
        return self._count

    def check(self) -> None:
        """Raise the statement's error, if there was one."""
        if self.error is not None:
            raise self.error


class Pulse(Protocol):
    """Hears how a conversation with the server goes on."""

    def sent(self) -> None:
        """A statement was sent."""

    def heard(self) -> None:
        """An answer came."""


class Dialect(Protocol):
    """One kind of database. Stateless: every pool of that kind shares it.

    A builder's statement may hold more rows than one packet carries: `run` sends several then.
    """

    def async_url(self, url: URL) -> URL:
        """`url` with the asynchronous driver and what the driver must always be told."""

    def engine_options(self, ssl: SSLContext | None) -> dict[str, Any]:
        """The arguments of `create_async_engine`: how a connection is made and what its session is told."""

    def prepare(self, engine: AsyncEngine) -> None:
        """Attach what each new connection of `engine` needs beyond its options."""

    def translate(self, error: DBAPIError) -> UpsertdError:
        """What a driver's exception means, by the server's code alone, told without any value (I9)."""

    def describe(self, error: DBAPIError) -> str:
        """The code and the place of an error, never its message: it quotes values."""

    async def run(
        self, connection: AsyncConnection, statements: Sequence[Statement], pulse: Pulse
    ) -> list[Answer]:
        """Send statements together, where the server takes that, and return an answer to each.

        A statement may be carried out though one before it has failed: in a transaction, which the caller
        rolls back then. Raises `DBAPIError` or `OSError` when the connection is lost.
        """

    def packet_limit(self) -> Statement | None:
        """The query for the bytes that one statement may have; None where there is no such limit."""

    def insert(self, table: Table, columns: Columns, rows: Rows) -> Statement:
        """Insert rows that nobody has yet: a duplicate key is an error, because a rival got there first."""

    def overwrite(self, table: Table, columns: Columns, rows: Rows) -> Statement:
        """Write `columns`, the primary key among them, of rows that are there, locked and older."""

    def insert_once(self, table: Table, columns: Columns, rows: Rows) -> Statement:
        """Insert rows, leaving alone those whose unique key is there; nothing is cut or passed over."""

    def select_in(
        self, selected: Sequence[Column[Any]], key: Column[Any], values: Sequence[object], *, lock: bool
    ) -> Statement:
        """Read `selected` where `key` is one of `values`; with `lock`, in the order of `key` and locked."""

    def delete_in(self, key: Column[Any], values: Sequence[object]) -> Statement:
        """Delete the rows of the table of `key` where `key` is one of `values`."""

    def migrating_alone(self, connection: Connection) -> AbstractContextManager[None]:
        """Hold the migration lock of this database; a connection that breaks gives it back."""
