"""Triggers that write down every write, and what the list of writes must show (I7, and much of I2 and I8).

End states cannot show that a row was older for a moment or that an event was applied twice. `install` puts
AFTER triggers on the tables of a migrated database; they change nothing that the service sees, and cost one
short insert a row. `check` judges the list: by the rules alone, and by the model, which knows every age that
a row may have gone through.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, groupby, islice
from typing import Any

from tests.e2e.messages import TABLES
from tests.e2e.oracle import Age, Model, Subject
from tests.e2e.world import World, connect, select

_MOST = 40  # violations worth reading
_OPEN = ("retrying", "dead")
_AGE = ("version", "occurred_at", "source_partition", "source_offset")
_ENTITIES = {table: entity for entity, table in TABLES.items()}

# What is kept of both sides of a write, as SQL expressions of a side.
_KEPT: Mapping[str, Mapping[str, str]] = {
    **{table: {name: name for name in ("id", *_AGE, "deleted_at")} for table in TABLES.values()},
    "order_items": {"order_id": "order_id", "line_no": "line_no"},
    "processed_events": {"event_id": "HEX({side}.event_id)"},
    "dead_letters": {"id": "id", "status": "status"},
    "consumer_positions": {
        name: name
        for name in (
            *("group_id", "topic", "partition_id", "next_offset", "handled_offset"),
            *("claim_id", "cache_namespace"),
        )
    },
}

Side = dict[str, Any]  # decoded JSON


@dataclass(frozen=True, slots=True)
class Write:
    """One write of one row. `changed` is false where an UPDATE left every column as it was."""

    connection: int
    table: str
    action: str
    changed: bool
    old: Side | None
    new: Side | None

    @property
    def side(self) -> Side:
        """The row after the write, or before it where it was deleted."""
        side = self.new or self.old
        assert side is not None
        return side


def install(world: World) -> None:
    """Create the audit's table and triggers in a migrated database."""
    with connect(world) as connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE audit (seq BIGINT AUTO_INCREMENT PRIMARY KEY, connection BIGINT,"
            " table_name VARCHAR(32), action CHAR(6), changed BOOL, old_side TEXT, new_side TEXT)"
            " ENGINE=InnoDB CHARACTER SET utf8mb4"
        )
        for table in _KEPT:
            columns = [str(row["Field"]) for row in select(connection, f"SHOW COLUMNS FROM {table}")]
            for action in ("INSERT", "UPDATE", "DELETE"):
                cursor.execute(_trigger(table, action, columns))


def check(model: Model, world: World, *, resets: bool = False) -> list[str]:
    """List what the writes must not show, at most `_MOST` lines.

    `resets`: positions were moved by an operator or began anew, so a claim may change where it starts.
    """
    return violations(model, read(world), resets=resets)


def read(world: World) -> list[Write]:
    """Every write so far, in order."""
    with connect(world) as connection:
        rows = select(connection, "SELECT * FROM audit ORDER BY seq")
    return [
        Write(
            int(str(row["connection"])),
            str(row["table_name"]),
            str(row["action"]),
            bool(row["changed"]),
            _decoded(row["old_side"]),
            _decoded(row["new_side"]),
        )
        for row in rows
    ]


def violations(model: Model, writes: Sequence[Write], *, resets: bool = False) -> list[str]:
    """What `check` lists, of writes that were read already."""
    by_table: defaultdict[str, list[Write]] = defaultdict(list)
    for write in writes:
        by_table[write.table].append(write)
    found = chain(
        *(_row_violations(entity, by_table[table], model) for table, entity in _ENTITIES.items()),
        _line_violations([write for write in writes if write.table in {"orders", "order_items"}]),
        _mark_violations(by_table["processed_events"]),
        _letter_violations(by_table["dead_letters"]),
        _position_violations(by_table["consumer_positions"], resets=resets),
    )
    return list(islice(found, _MOST))


def _row_violations(entity: str, writes: Iterable[Write], model: Model) -> Iterator[str]:
    histories: defaultdict[int, list[Write]] = defaultdict(list)
    for write in writes:
        if write.action == "DELETE":
            yield f"I7 {entity} {write.side['id']} was removed: a delete keeps the row"
        elif write.changed:
            histories[write.side["id"]].append(write)
    for entity_id, history in histories.items():
        name = f"{entity} {entity_id}"
        for write in history:
            if write.old is not None and not _may_follow(_age(write.side), _age(write.old)):
                yield f"I7 {name} became older: {_age(write.old)} -> {_age(write.side)}"
        states = [(_age(write.side), write.side["deleted_at"] is not None) for write in history]
        yield from _strangers(name, states, model.past.get(Subject(entity, entity_id), []))


def _may_follow(new: Age, old: Age) -> bool:
    """Whether some events can have taken a row from `old` to `new`; one write may fold several.

    A row never loses its version. Under one version only later events win; a higher version wins always, and
    where there was none, what was folded in between is not to be seen.
    """
    if new.version == old.version:
        return new[1:] > old[1:]
    return new.version is not None and (old.version is None or new.version > old.version)


def _strangers(name: str, states: Sequence[object], past: Sequence[object]) -> Iterator[str]:
    """The written states must stand in the model's history, in its order: some may have been folded."""
    expected = iter(past)
    for state in states:
        if state not in expected:  # goes on where the last one was found
            where = "twice or out of order" if state in past else "though no event led there"
            yield f"I7 {name} was written {where}: {state}"
            return


def _line_violations(writes: Iterable[Write]) -> Iterator[str]:
    """Lines are written only together with their order: by the same connection, right before or after."""
    histories: defaultdict[int, list[Write]] = defaultdict(list)
    for write in writes:
        histories[write.side["id" if write.table == "orders" else "order_id"]].append(write)
    for order_id, history in histories.items():
        for connection, run in groupby(history, key=lambda write: write.connection):
            tables = {write.table for write in run if write.changed}
            if tables == {"order_items"}:
                yield f"I7 lines of order {order_id} were written without it (connection {connection})"


def _mark_violations(writes: Iterable[Write]) -> Iterator[str]:
    inserted: set[str] = set()
    for write in writes:
        event_id = write.side["event_id"]
        if write.action != "INSERT":
            yield f"I2 the mark of {bytes.fromhex(event_id)!r} was changed or removed: {write.action}"
        elif event_id in inserted:
            yield f"I2 {bytes.fromhex(event_id)!r} was marked twice"
        inserted.add(event_id)


def _letter_violations(writes: Iterable[Write]) -> Iterator[str]:
    for write in writes:
        if write.old is None or write.new is None:
            continue
        before, after = write.old["status"], write.new["status"]
        if before not in _OPEN and after in _OPEN:
            yield f"I2 dead letter {write.side['id']} was reopened: {before} -> {after}"


def _position_violations(writes: Iterable[Write], *, resets: bool) -> Iterator[str]:
    for write in writes:
        old, new = write.old, write.new
        if new is None:
            yield f"I3 a position was removed: {old}"
        if new is None or old is None:
            continue
        name = f"{new['topic']}/{new['partition_id']}: {old['next_offset']} -> {new['next_offset']}"
        claimed = old["claim_id"] != new["claim_id"]
        if old["next_offset"] > new["next_offset"] and not claimed:
            yield f"I3 position of {name} without a claim"
        if old["next_offset"] != new["next_offset"] and claimed and not resets:
            yield f"I8 a claim moved the position of {name}"
        same_namespace = old["cache_namespace"] == new["cache_namespace"]
        if old["handled_offset"] > new["handled_offset"] and same_namespace:
            yield f"I4 handled offset of {name} went down in its namespace"


def _age(side: Side) -> Age:
    occurred_at = datetime.fromisoformat(side["occurred_at"])
    return Age(side["version"], occurred_at, side["source_partition"], side["source_offset"])


def _decoded(side: object) -> Side | None:
    decoded: Side | None = None if side is None else json.loads(str(side))
    return decoded


def _trigger(table: str, action: str, columns: Sequence[str]) -> str:
    old = "NULL" if action == "INSERT" else _image(table, "OLD")
    new = "NULL" if action == "DELETE" else _image(table, "NEW")
    same = " AND ".join(f"OLD.{name} <=> NEW.{name}" for name in columns)
    changed = f"NOT ({same})" if action == "UPDATE" else "TRUE"
    return (
        f"CREATE TRIGGER audit_{table}_{action.lower()} AFTER {action} ON {table} FOR EACH ROW"
        " INSERT INTO audit (connection, table_name, action, changed, old_side, new_side)"
        f" VALUES (CONNECTION_ID(), '{table}', '{action}', {changed}, {old}, {new})"
    )


def _image(table: str, side: str) -> str:
    kept = _KEPT[table].items()
    values = (f"'{name}', {sql.format(side=side) if '{' in sql else f'{side}.{sql}'}" for name, sql in kept)
    return f"JSON_OBJECT({', '.join(values)})"
