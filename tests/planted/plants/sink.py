"""Bugs in the transaction: what is in it, how it compares, what it compares with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Table, bindparam, func, update
from sqlalchemy.exc import DBAPIError

from service.bookkeeping import consumer_positions, processed_events
from service.core import decide
from service.core.decide import Change, version_of
from service.core.errors import PermanentError, TemporaryError, Unavailable, UpsertdError
from service.core.types import (
    DeadLetter,
    Event,
    Lease,
    Outcome,
    Partition,
    StoredPosition,
    Work,
    Written,
)
from service.dialects import mysql_errors, mysql_text
from service.dialects.dialect import Columns, Rows, Statement
from service.dialects.mysql import MySql
from service.dialects.mysql_text import RowsStatement
from service.entities.entity import Entity
from service.entities.registry import ENTITIES
from service.sinks.events import Attempt, Decided, EventTables
from service.sinks.look_ups import EVERYTHING
from service.sinks.rows import RowGroup, group_rows, letter_row
from service.sinks.sql import SqlSink

_SQL = "service.sinks.sql"


def mark_after_the_commit(patch: pytest.MonkeyPatch) -> None:
    """`SqlSink.apply` commits, then inserts the marks in a transaction of their own."""
    apply, mark = SqlSink.apply, EventTables._mark

    async def apply_then_mark(self: SqlSink, work: Work, lease: Lease) -> Written:
        written = await apply(self, work, lease)
        new = (Outcome.APPLIED, Outcome.STALE)
        async with self._database.transaction() as transaction:
            fresh = [pair for pair in written.outcomes if pair[1] in new]
            await transaction.write(*mark(self._events, fresh))
        return written

    patch.setattr(EventTables, "_mark", _no_statement)
    patch.setattr(SqlSink, "apply", apply_then_mark)


def bury_after_the_commit(patch: pytest.MonkeyPatch) -> None:
    """`SqlSink.apply` commits, then inserts the dead letters in a transaction of their own."""
    apply, bury = SqlSink.apply, SqlSink._bury

    async def apply_then_bury(self: SqlSink, work: Work, lease: Lease) -> Written:
        written = await apply(self, work, lease)
        async with self._database.transaction() as transaction:
            await transaction.write(*bury(self, work.letters))
        return written

    patch.setattr(SqlSink, "_bury", _no_statement)
    patch.setattr(SqlSink, "apply", apply_then_bury)


def insert_ignore_marks(patch: pytest.MonkeyPatch) -> None:
    """`EventTables._mark` says `INSERT IGNORE`."""

    insert = MySql.insert

    def insert_or_ignore(self: MySql, table: Table, columns: Columns, rows: Rows) -> Statement:
        return ignoring(insert(self, table, columns, rows), table is processed_events)

    patch.setattr(MySql, "insert", insert_or_ignore)


def insert_ignore_rows(patch: pytest.MonkeyPatch) -> None:
    """`EventTables._upsert` says `INSERT IGNORE` for rows that are new."""
    insert = MySql.insert

    def insert_or_ignore(self: MySql, table: Table, columns: Columns, rows: Rows) -> Statement:
        return ignoring(insert(self, table, columns, rows), table is not processed_events)

    patch.setattr(MySql, "insert", insert_or_ignore)


def ignoring(statement: RowsStatement, wanted: bool) -> Statement:
    """The same insert, passing over rows whose key is there."""
    if not wanted:
        return statement
    (text,) = mysql_text.texts(statement)
    return Statement(text.decode().replace("INSERT", "INSERT IGNORE", 1))


def upsert_new_rows(patch: pytest.MonkeyPatch) -> None:
    """`group_rows` calls every row one that is there."""

    def all_there(*arguments: Any) -> list[RowGroup]:
        return [replace(group, is_new=False) for group in group_rows(*arguments)]

    patch.setattr("service.sinks.events.group_rows", all_there)


def no_fence(patch: pytest.MonkeyPatch) -> None:
    """`SqlSink._advance` moves the position whatever the row says, and nobody asks whether it did."""
    columns = consumer_positions.c
    move = update(consumer_positions).where(
        columns.group_id == bindparam("group"),
        columns.topic == bindparam("of_topic"),
        columns.partition_id == bindparam("of_partition"),
    )
    handled = func.greatest(columns.handled_offset, bindparam("end"))
    patch.setattr(f"{_SQL}._ADVANCE", move.values(next_offset=bindparam("end"), handled_offset=handled))
    patch.setattr(f"{_SQL}._require_fence", lambda moved, lease: None)


def claim_without_compare(patch: pytest.MonkeyPatch) -> None:
    """`SqlSink.claim` compares with what is there now instead of with what the lane saw."""
    claim = SqlSink.claim

    async def claim_anyhow(
        self: SqlSink, partition: Partition, seen: StoredPosition | None, claimed: StoredPosition
    ) -> bool:
        return await claim(self, partition, await self.position(partition), claimed)

    patch.setattr(SqlSink, "claim", claim_anyhow)


def no_version_rule(patch: pytest.MonkeyPatch) -> None:
    """`decide.is_newer` always says yes."""
    patch.setattr(decide, "is_newer", lambda event, stored: True)


def version_forgotten(patch: pytest.MonkeyPatch) -> None:
    """`decide._keep_highest_version` keeps the event's."""
    patch.setattr(decide, "_keep_highest_version", lambda age, stored: age)


def ids_as_text(patch: pytest.MonkeyPatch) -> None:
    """`EventTables._find_marks` compares ids by MySQL's default collation."""
    query = (
        "SELECT given.event_id, entity, entity_id FROM ({}) AS given JOIN processed_events AS marks"
        " ON CONVERT(marks.event_id USING utf8mb4) COLLATE utf8mb4_general_ci"
        " = CONVERT(given.event_id USING utf8mb4) COLLATE utf8mb4_general_ci"
    )

    def find(self: EventTables, events: Sequence[Event]) -> Statement:
        given = " UNION ALL ".join(f"SELECT x'{event.event_id.hex()}' AS event_id" for event in events)
        return Statement(query.format(given))

    patch.setattr(EventTables, "_find_marks", find)
    patch.setattr(f"{_SQL}.Attempt", lambda *, again, look_up: Attempt(again=again, look_up=EVERYTHING))


def lines_of_stale_orders(patch: pytest.MonkeyPatch) -> None:
    """`EventTables.decide` replaces the lines of every order, whatever became of it."""
    decide_all = EventTables.decide

    def and_lines(self: EventTables, events: Sequence[Event], *more: Any) -> Decided:
        written, statements = decide_all(self, events, *more)
        orders = [_with_lines(event) for event in events if event.entity == "orders"]
        lines = ENTITIES["orders"].lines
        assert lines is not None
        replaced = self._replace_lines(lines, orders, Attempt(again=True, look_up=EVERYTHING))
        return Decided(written, [*statements, *replaced])

    patch.setattr(EventTables, "decide", and_lines)


def _with_lines(event: Event) -> Change:
    return Change(event.entity_id, version_of(event), False, False, False, {}, event.lines)


def remove_deleted_rows(patch: pytest.MonkeyPatch) -> None:
    """`EventTables._upsert` deletes the row that was to become a tombstone."""
    upsert = EventTables._upsert

    def upsert_or_delete(
        self: EventTables, entity: Entity, changes: list[Change], attempt: Attempt
    ) -> Iterator[Statement]:
        yield from upsert(self, entity, changes, attempt)
        gone = [change.entity_id for change in changes if change.deleted]
        if gone:
            yield self._dialect.delete_in(entity.table.c.id, gone)

    patch.setattr(EventTables, "_upsert", upsert_or_delete)


def commit_after_a_lock_timeout(patch: pytest.MonkeyPatch) -> None:
    """`SqlSink.apply` commits what was written before a `TemporaryError`, then raises it."""

    async def apply_in_part(self: SqlSink, work: Work, lease: Lease) -> Written:
        await self._refuse_oversized(work.events)
        async with self._database.transaction() as transaction:
            try:
                return await self._write(transaction, work, lease, Attempt(again=False, look_up=EVERYTHING))
            except TemporaryError as error:
                failure = error
                transaction._answers.clear()
        raise failure

    patch.setattr(SqlSink, "apply", apply_in_part)


def letters_stay_open(patch: pytest.MonkeyPatch) -> None:
    """`SqlSink._supersede` does nothing."""
    patch.setattr(SqlSink, "_supersede", _nothing)


def null_key_as_empty(patch: pytest.MonkeyPatch) -> None:
    """`letter_row` writes a null key as an empty one."""

    def without_null(letter: DeadLetter, *more: Any) -> dict[str, object]:
        row = letter_row(letter, *more)
        return {**row, "record_key": row["record_key"] or b""}

    patch.setattr(f"{_SQL}.letter_row", without_null)


def quote_the_server(patch: pytest.MonkeyPatch) -> None:
    """`mysql_errors.describe` passes the server's message on."""
    patch.setattr("service.dialects.mysql_errors.describe", lambda error: str(error.orig))


def every_code_is_permanent(patch: pytest.MonkeyPatch) -> None:
    """`MySql.translate` makes a `PermanentError` of every code that the server answers."""

    def translate_as_permanent(self: MySql, error: DBAPIError) -> UpsertdError:
        meaning = mysql_errors.translate(error)
        if isinstance(meaning, Unavailable) and meaning.code is not None:
            return PermanentError(str(meaning), error_class=f"Code{meaning.code}")
        return meaning

    patch.setattr(MySql, "translate", translate_as_permanent)


def _no_statement(*_arguments: object) -> tuple[()]:
    """Stand in for a step that is left out."""
    return ()


async def _nothing(*_arguments: object) -> None:
    """Stand in for a step that is left out."""
