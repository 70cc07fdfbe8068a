"""The scenario's database beside the service: what administrators, backups and rivals do to it."""

from __future__ import annotations

from contextlib import ExitStack

import pymysql

from service import bookkeeping
from service.core.types import Partition
from service.entities import entity as entities
from tests.e2e.world import World, connect, select

# The audit last: it notes what is done to the others.
_TABLES = [*entities.metadata.tables, *bookkeeping.metadata.tables, "audit"]


class Tables:
    """All tables of a migrated and audited database, empty from `open` on and again after `close`."""

    def __init__(self, world: World) -> None:
        self.restored = False
        self._world = world
        self._stack = ExitStack()

    def open(self) -> None:
        """Connect, and remove every row."""
        self._connection = self._stack.enter_context(connect(self._world))
        self._clear()

    def close(self) -> None:
        """Remove every row, undo every `alter`, disconnect."""
        self._clear()
        self._stack.close()

    def alter(self, statement: str, undo: str) -> ExitStack:
        """Change the schema until the stack that is returned is closed, or the tables are.

        Both wait for transactions that use the table: with lanes at work, call from a thread.
        """
        undoing = self._stack.enter_context(ExitStack())
        undoing.callback(self._execute_alone, undo)
        self._execute_alone(statement)
        return undoing

    def backup(self) -> None:
        """Copy all tables as they are."""
        for table in _TABLES:
            self._execute(f"CREATE TABLE saved_{table} AS SELECT * FROM {table}")
            self._stack.callback(self._execute, f"DROP TABLE saved_{table}")

    def restore(self) -> None:
        """Put the copy in the place of the tables, in one transaction."""
        self.restored = True
        self._execute("BEGIN")
        for table in _TABLES:
            self._execute(f"DELETE FROM {table}")
            self._execute(f"INSERT INTO {table} SELECT * FROM saved_{table}")
        self._execute("COMMIT")

    def rival(self) -> pymysql.Connection:
        """Another connection to the database, until they are closed."""
        return self._stack.enter_context(connect(self._world))

    def positions(self) -> dict[Partition, int]:
        """The positions that the database has."""
        rows = select(self._connection, "SELECT topic, partition_id, next_offset FROM consumer_positions")
        return {
            Partition(str(row["topic"]), int(str(row["partition_id"]))): int(str(row["next_offset"]))
            for row in rows
        }

    def _execute(self, statement: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)

    def _execute_alone(self, statement: str) -> None:
        with connect(self._world) as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def _clear(self) -> None:
        for table in _TABLES:
            self._execute(f"DELETE FROM {table}")
