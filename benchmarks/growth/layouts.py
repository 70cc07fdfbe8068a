"""Ways to keep marks, tried on throw-away tables: the tables, and the statements of a batch in each.

Pure; called by `layout_runs`. The first ones are the service's own table; the others are what decision 4
weighs. `0004` in docs/decisions says which of them would keep the promise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import md5

from benchmarks.growth.event_ids import KINDS, hashed_by_day_column, hashed_column
from benchmarks.growth.filling import Filling, mark_columns

TABLE = "marks_tried"
DAYS = 10
_OTHERS = (
    "entity VARCHAR(64) NOT NULL, entity_id BIGINT NOT NULL, operation VARCHAR(16) NOT NULL,"
    " outcome VARCHAR(16) NOT NULL, topic VARCHAR(249) NOT NULL, partition_id INT NOT NULL,"
    " record_offset BIGINT NOT NULL, occurred_at DATETIME(6) NOT NULL, processed_at DATETIME(6) NOT NULL"
)
_OTHER_NAMES = (
    "entity, entity_id, operation, outcome, topic, partition_id, record_offset, occurred_at, processed_at"
)
_OTHER_VALUES = "'customers', 1, 'create', 'applied', 'customers', 1, 1, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)"
_BY_TIME = ("INDEX by_time", "processed_at")


@dataclass(frozen=True, slots=True)
class Layout:
    """A table with `columns`, `filled` by SQL over `seq` with `index` built afterwards.

    An insert names `inserted`, of which the first is what `key` makes of an event's id and the others are
    `values`. A batch is `looked_up`, within `known`, before it is inserted. The oldest marks are found by
    `oldest` and deleted by the same column; None where a partition would be dropped instead.
    """

    name: str
    about: str
    ids: str
    columns: str
    filled: Callable[[int], dict[str, str]]
    index: tuple[str, str] | None = _BY_TIME
    key: Callable[[str], str] = lambda event_id: f"'{event_id}'"
    inserted: str = f"event_id, {_OTHER_NAMES}"
    values: str = _OTHER_VALUES
    looked_up: bool = True
    known: str = ""
    oldest: tuple[str, str] | None = ("event_id", "processed_at")

    @property
    def is_appended(self) -> bool:
        """Whether new rows come after all others."""
        return KINDS[self.ids].ordered or self.columns.startswith("id ")

    @property
    def filling(self) -> Callable[[int], Filling]:
        """What the table is filled with, by the number of rows."""
        return lambda rows: Filling(TABLE, self.filled(rows), self.index, self.is_appended)

    @property
    def create(self) -> str:
        """Makes the table, without the index."""
        return (
            f"CREATE TABLE {TABLE} ({self.columns}) ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        )

    def look_up(self, event_ids: Sequence[str]) -> str:
        """Asks for the marks of a batch."""
        column = self.inserted.partition(",")[0]
        keys = ", ".join(self.key(event_id) for event_id in sorted(event_ids))
        return f"SELECT {column} FROM {TABLE} WHERE {self.known}{column} IN ({keys})"

    def insert(self, event_ids: Sequence[str]) -> str:
        """Writes the marks of a batch, in the order of the key."""
        rows = ", ".join(f"({key}, {self.values})" for key in sorted(map(self.key, event_ids)))
        return f"INSERT INTO {TABLE} ({self.inserted}) VALUES {rows}"

    def find_oldest(self, rows: int) -> str:
        """Asks for the oldest marks, by what they are deleted with."""
        if self.oldest is None:
            raise ValueError(f"{self.name} does not delete row by row")
        column, time = self.oldest
        return f"SELECT {column} FROM {TABLE} ORDER BY {time} LIMIT {rows}"

    def delete(self, found: Sequence[object]) -> str:
        """Deletes marks that `find_oldest` found, in the order of the key."""
        if self.oldest is None:
            raise ValueError(f"{self.name} does not delete row by row")
        keys = ", ".join(sorted(map(_literal, found)))
        return f"DELETE FROM {TABLE} WHERE {self.oldest[0]} IN ({keys})"


def _literal(value: object) -> str:
    return f"x'{value.hex()}'" if isinstance(value, bytes) else str(value)


def _hash(event_id: str) -> str:
    return f"x'{md5(event_id.encode(), usedforsecurity=False).hexdigest()}'"


def _as_it_is(ids: str) -> Callable[[int], dict[str, str]]:
    return lambda rows: mark_columns(KINDS[ids], rows)


def _with_hash(rows: int) -> dict[str, str]:
    return {**_as_it_is("uuid4")(rows), "event_id": hashed_column(rows)}


def _narrow(rows: int) -> dict[str, str]:
    return {
        "event_id": hashed_column(rows),
        "entity_id": "seq",
        "source": "1",
        "record_offset": "seq",
        "outcome": "1",
        "processed_at": mark_columns(KINDS["uuid4"], rows)["processed_at"],
    }


def _appended(rows: int) -> dict[str, str]:
    # In the order of time, and so in any order of the hash.
    return {**mark_columns(KINDS["uuid7"], rows), "event_id": "UNHEX(MD5(seq))"}


def _by_day(rows: int) -> dict[str, str]:
    per_day = -(-rows // DAYS)
    by_id = mark_columns(KINDS["uuid7"], rows)
    return {
        "event_id": hashed_by_day_column(per_day),
        "day": f"(seq - 1) DIV {per_day}",
        **_without_id(by_id),
    }


def _without_id(columns: dict[str, str]) -> dict[str, str]:
    return {name: sql for name, sql in columns.items() if name != "event_id"}


_AS_IT_IS = f"event_id VARBINARY(255) NOT NULL PRIMARY KEY, {_OTHERS}"
LAYOUTS = (
    Layout("as it is, ordered", "the table as it is, UUIDv7", "uuid7", _AS_IT_IS, _as_it_is("uuid7")),
    Layout("as it is", "the table as it is, UUIDv4", "uuid4", _AS_IT_IS, _as_it_is("uuid4")),
    Layout(
        "no look-up",
        "as it is, but a batch inserts without having looked",
        "uuid4",
        _AS_IT_IS,
        _as_it_is("uuid4"),
        looked_up=False,
    ),
    Layout(
        "hashed key",
        "the primary key is a hash of 16 bytes",
        "uuid4",
        f"event_id BINARY(16) NOT NULL PRIMARY KEY, {_OTHERS}",
        _with_hash,
        key=_hash,
    ),
    Layout(
        "narrow row",
        "a hash of 16 bytes, numbers instead of names, nothing else",
        "uuid4",
        "event_id BINARY(16) NOT NULL PRIMARY KEY, entity_id BIGINT NOT NULL, source SMALLINT NOT NULL,"
        " record_offset BIGINT NOT NULL, outcome TINYINT NOT NULL, processed_at DATETIME NOT NULL",
        _narrow,
        key=_hash,
        inserted="event_id, entity_id, source, record_offset, outcome, processed_at",
        values="1, 1, 1, 1, UTC_TIMESTAMP()",
    ),
    Layout(
        "narrow index",
        "rows are appended, a hash of 16 bytes is unique beside them",
        "uuid4",
        f"id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, event_id BINARY(16) NOT NULL, {_OTHERS}",
        _appended,
        index=("UNIQUE INDEX by_event", "event_id"),
        key=_hash,
        oldest=("id", "id"),
    ),
    Layout(
        "day first",
        "the key begins with a day, and only today is looked up: breaks the promise",
        "uuid4",
        f"day SMALLINT NOT NULL, event_id BINARY(16) NOT NULL, {_OTHERS}, PRIMARY KEY (day, event_id)",
        _by_day,
        index=None,
        key=_hash,
        inserted=f"event_id, day, {_OTHER_NAMES}",
        values=f"{DAYS - 1}, {_OTHER_VALUES}",
        known=f"day = {DAYS - 1} AND ",
        oldest=None,
    ),
)
