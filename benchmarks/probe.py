"""What the database tells about a run: how far it is, how many statements and connections it took.

Called by `drain`, `paced` and `verify`. One connection of its own, whose statements are counted and taken
off the server's counters.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

import pymysql

QUESTIONS = "Questions"
_KINDS = ("select", "insert", "update", "delete", "commit", "rollback")
_COUNTERS = (QUESTIONS, *(f"Com_{kind}" for kind in _KINDS))


class Probe:
    """A connection to the database of `url`; `user` and `password` instead of the URL's where given."""

    def __init__(self, url: str, user: str | None = None, password: str = "") -> None:
        address = urlsplit(url)
        if user is None:
            user, password = unquote(address.username or ""), unquote(address.password or "")
        self._connection = pymysql.connect(
            host=address.hostname or "",
            port=address.port or 3306,
            user=user,
            password=password,
            database=address.path.strip("/"),
            charset="utf8mb4",
            autocommit=True,
            read_timeout=60,
        )
        # Our own statements, by the counters of the server that they raise.
        self._own: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def select(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Run one statement and return its rows."""
        self._own.update((QUESTIONS, f"Com_{sql.partition(' ')[0].lower()}"))
        with self._connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return list(cursor.fetchall())

    def number(self, sql: str) -> int:
        """The one number that a query answers."""
        [(value,)] = self.select(sql)
        return int(str(value or 0))

    def marked(self, event_ids: Sequence[str]) -> set[str]:
        """Which of these events have a committed mark."""
        places = ",".join(["%s"] * len(event_ids))
        rows = self.select(f"SELECT event_id FROM processed_events WHERE event_id IN ({places})", event_ids)
        return {_text(value) for (value,) in rows}

    def positions(self) -> dict[tuple[str, int], int]:
        """The next offset of each partition, by topic and number."""
        rows = self.select("SELECT topic, partition_id, next_offset FROM consumer_positions")
        return {(_text(topic), int(str(number))): int(str(offset)) for topic, number, offset in rows}

    def wait_for_marks(
        self, event_ids: Sequence[str], check: Callable[[], None], timeout_seconds: float, poll_seconds: float
    ) -> None:
        """Wait until all of these events are marked; `check` may raise. Raises `TimeoutError`."""
        missing = set(event_ids)
        deadline = time.monotonic() + timeout_seconds
        while missing:
            missing -= self._marked_if_there(sorted(missing))
            check()
            if time.monotonic() > deadline:
                raise TimeoutError
            if missing:
                time.sleep(poll_seconds)

    def forget_peak(self) -> None:
        """Let the peak of connections begin anew."""
        self.select("FLUSH STATUS")

    def peak_connections(self) -> int:
        """The most connections at once since `forget_peak`, without our own."""
        [(_, value)] = self.select("SHOW GLOBAL STATUS LIKE 'Max_used_connections'")
        return int(str(value)) - 1

    def connections(self) -> int:
        """How many connections there are now, without our own."""
        [(_, value)] = self.select("SHOW GLOBAL STATUS LIKE 'Threads_connected'")
        return int(str(value)) - 1

    def statements(self) -> Mapping[str, int]:
        """The server's counters of statements so far, less our own."""
        names = ",".join(f"'{name}'" for name in _COUNTERS)
        rows = self.select(f"SHOW GLOBAL STATUS WHERE Variable_name IN ({names})")
        return {str(name): int(str(value)) - self._own[str(name)] for name, value in rows}

    def _marked_if_there(self, event_ids: Sequence[str]) -> set[str]:
        try:
            return self.marked(event_ids)
        except pymysql.err.ProgrammingError:
            return set()  # a consumer that makes its tables itself has not made them yet


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
