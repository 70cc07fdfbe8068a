"""The demo's database: a SQLite file, read and locked from outside of the service by the standard library."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from service.demo.failure import DemoFailed

# SQLite does not queue who waits: among busy writers it may take a while.
_LOCK_SECONDS = 30.0
_READ_SECONDS = 10.0


class DatabaseFile:
    """The file at `path`; `upsertd migrate` makes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._locking: sqlite3.Connection | None = None

    @property
    def url(self) -> str:
        return f"sqlite:///{self._path}"

    def rows(self, statement: str) -> Iterator[tuple[object, ...]]:
        """What `statement` selects."""
        place = f"{self._path.as_uri()}?mode=ro"
        with closing(sqlite3.connect(place, uri=True, timeout=_READ_SECONDS)) as connection:
            yield from connection.execute(statement)

    def lock(self) -> None:
        """Let nobody else write until `unlock`, as another program might. Raises `DemoFailed`."""
        # Unlocked from another thread, perhaps.
        connection = sqlite3.connect(
            self._path, timeout=_LOCK_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._locking = connection
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            raise DemoFailed(f"the database cannot be locked: {error}") from error

    def unlock(self) -> None:
        """Give the lock back, if it is held."""
        connection, self._locking = self._locking, None
        if connection is not None:
            connection.close()
