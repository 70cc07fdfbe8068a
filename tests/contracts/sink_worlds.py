"""The worlds in which `test_sink.py` plays: a database in memory, and the real ones.

A world has a sink of the group `upsertd` and hands that look behind it: what is stored, in words that are
the same in all.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from msgspec.structs import replace
from sqlalchemy import Select, delete, select, update
from sqlalchemy.ext.asyncio import create_async_engine

from service import bookkeeping
from service.bookkeeping import consumer_positions, dead_letters, processed_events
from service.core.ports import Letters, Sink
from service.core.types import Event, Lease, Outcome, Partition, Record, RowVersion, Work, Written
from service.database import Database
from service.dialects.registry import async_url
from service.entities import entity as entities
from service.entities.registry import ENTITIES
from service.sinks.letters import SqlLetters
from service.sinks.look_ups import LookUp, LookUps
from service.sinks.sql import SqlSink
from service.testing.sink import InMemorySink, Tables
from tests.building import CUSTOMERS, NOON, position

GROUP = "upsertd"
TABLES = (*entities.metadata.sorted_tables, *bookkeeping.metadata.sorted_tables)


def create_tables(url: str) -> None:
    """Make every table in the empty database at `url`; not from inside an event loop."""
    asyncio.run(_create_tables(url))


async def _create_tables(url: str) -> None:
    engine = create_async_engine(async_url(url))
    async with engine.begin() as connection:
        for metadata in (entities.metadata, bookkeeping.metadata):
            await connection.run_sync(metadata.create_all)
    await engine.dispose()


@dataclass(frozen=True)
class StoredRow:
    """A row with every payload column; `lines` in the order of their numbers."""

    columns: Mapping[str, object]
    version: RowVersion
    deleted_at: datetime | None
    lines: tuple[Mapping[str, object], ...]


@dataclass(frozen=True)
class StoredMark:
    entity: str
    entity_id: int
    outcome: str


@dataclass(frozen=True)
class StoredLetter:
    record: Record
    stage: str
    error_class: str
    event_id: bytes | None
    entity: str | None
    entity_id: int | None
    attempts: int
    status: str


@dataclass(frozen=True)
class Stored:
    """Everything that a transaction may have changed."""

    rows: Mapping[tuple[str, int], StoredRow]
    marks: Mapping[bytes, StoredMark]
    letters: tuple[StoredLetter, ...]


class World(Protocol):
    """A database and the sink in front of it."""

    @property
    def sink(self) -> Sink: ...

    @property
    def letters(self) -> Letters: ...

    async def stored(self) -> Stored: ...

    async def clear(self) -> None: ...

    async def set_letter_status(self, offset: int, status: str) -> None:
        """Do as an operator who replays or discards the letters of this offset."""

    def wait(self, seconds: float) -> None:
        """Let time pass for letters that wait."""


class MemoryWorld:
    """A world of `service.testing`."""

    def __init__(self) -> None:
        self.sink = self.letters = InMemorySink()
        self._seconds = 0.0
        self.sink.clock = lambda: self._seconds

    def wait(self, seconds: float) -> None:
        self._seconds += seconds

    async def stored(self) -> Stored:
        tables = self.sink.tables
        rows = {
            (name, entity_id): StoredRow(
                {**ENTITIES[name].defaults, **row.columns},
                row.version,
                row.version.occurred_at if row.deleted else None,
                tuple(sorted(row.lines, key=_line_no)),
            )
            for (name, entity_id), row in tables.rows.items()
        }
        marks = {
            event_id: StoredMark(mark.entity, mark.entity_id, outcome.value)
            for event_id, (mark, outcome) in tables.marks.items()
        }
        letters = [
            StoredLetter(
                replace(letter.record, cluster_id=""),
                letter.stage,
                letter.error_class,
                letter.event_id,
                letter.entity,
                letter.entity_id,
                letter.attempts,
                status,
            )
            for letter, status in tables.letters.values()
        ]
        return Stored(rows, marks, _in_order(letters))

    async def clear(self) -> None:
        self.sink.tables = Tables()

    async def set_letter_status(self, offset: int, status: str) -> None:
        letters = self.sink.tables.letters
        for key, (letter, _) in letters.items():
            if letter.record.offset == offset:
                letters[key] = (letter, status)


class FirstRunLooks(LookUps):
    """Lets every first run look for the same; nothing: what is there is found out by its key."""

    def __init__(self, *, marks: bool = False, rows: bool = False) -> None:
        super().__init__()
        self._look_up = LookUp(marks, rows)

    def next(self, partition: Partition | None) -> LookUp:
        return self._look_up


class SqlWorld:
    """Tables in a real database; `now` stands still but for `wait`."""

    def __init__(
        self,
        url: str,
        pool_size: int = 3,
        transaction_seconds: float = 30,
        look_ups: LookUps | None = None,
    ) -> None:
        self.statements = 0
        self.database = Database(
            url, pool_size, transaction_seconds=transaction_seconds, on_statement=self._count
        )
        self.now = NOON
        self.sink = SqlSink(self.database, ENTITIES, GROUP, lambda: self.now, look_ups or LookUps())
        self.letters = SqlLetters(self.database, self.sink, lambda: self.now)

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def _count(self) -> None:
        self.statements += 1

    async def stored(self) -> Stored:
        rows = {
            (name, row["id"]): await self._row(name, row)
            for name in ENTITIES
            for row in await self.read(select(ENTITIES[name].table))
        }
        marks = {
            row["event_id"]: StoredMark(row["entity"], row["entity_id"], row["outcome"])
            for row in await self.read(select(processed_events))
        }
        letters = [_letter(row) for row in await self.read(select(dead_letters))]
        return Stored(rows, marks, _in_order(letters))

    async def clear(self) -> None:
        async with self.database.transaction() as transaction:
            for table in TABLES:
                await transaction.execute(delete(table))

    async def set_letter_status(self, offset: int, status: str) -> None:
        change = update(dead_letters).where(dead_letters.c.record_offset == offset).values(status=status)
        async with self.database.transaction() as transaction:
            await transaction.execute(change)

    async def read(self, query: Select[Any]) -> list[dict[str, Any]]:
        async with self.database.transaction() as transaction:
            return [dict(row._mapping) for row in await transaction.execute(query)]

    async def position_row(self, partition: Partition) -> dict[str, Any]:
        (row,) = await self.read(
            select(consumer_positions).where(
                consumer_positions.c.topic == partition.topic,
                consumer_positions.c.partition_id == partition.number,
            )
        )
        return row

    async def _row(self, name: str, row: Mapping[str, Any]) -> StoredRow:
        entity = ENTITIES[name]
        version = (row["version"], row["occurred_at"], row["source_partition"], row["source_offset"])
        lines: list[dict[str, Any]] = []
        if entity.lines:
            table, parent = entity.lines.table, entity.lines.parent
            query = select(table).where(table.c[parent] == row["id"])
            lines = await self.read(query)
            for line in lines:
                del line[parent]
        columns = {column: row[column] for column in entity.defaults}
        return StoredRow(columns, RowVersion(*version), row["deleted_at"], tuple(sorted(lines, key=_line_no)))


def _letter(row: Mapping[str, Any]) -> StoredLetter:
    headers = tuple(
        (name, None if value is None else base64.b64decode(value))
        for name, value in json.loads(row["record_headers"])
    )
    record = Record(
        Partition(row["topic"], row["partition_id"]),
        row["record_offset"],
        row["record_timestamp"],
        row["record_key"],
        row["record_value"],
        headers,
    )
    return StoredLetter(
        record,
        row["stage"],
        row["error_class"],
        row["event_id"],
        row["entity"],
        row["entity_id"],
        row["attempts"],
        row["status"],
    )


def _in_order(letters: list[StoredLetter]) -> tuple[StoredLetter, ...]:
    return tuple(
        sorted(
            letters, key=lambda each: (each.record.partition, each.record.offset, each.record.value or b"")
        )
    )


def _line_no(line: Mapping[str, Any]) -> int:
    number: int = line["line_no"]
    return number


async def claimed(world: World, partition: Partition = CUSTOMERS, at: int = 0) -> Lease:
    """The lease of a partition that nobody had claimed before."""
    stored = position(at, claim_id=f"{partition.number:032}")
    assert await world.sink.claim(partition, None, stored)
    return Lease(partition, stored.claim_id, at, stored.handled_offset, stored.cache_namespace)


def outcomes(written: Written) -> list[Outcome]:
    """What became of the events, in offset order."""
    return [outcome for _, outcome in written.outcomes]


async def write(world: World, lease: Lease, *events: Event) -> tuple[list[Outcome], Lease]:
    """One transaction of these events: their outcomes, and the lease for the next one."""
    end = events[-1].record.offset + 1
    written = await world.sink.apply(Work(events, (), end), lease)
    return outcomes(written), lease.moved_to(end)
