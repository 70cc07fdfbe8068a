"""The letters that are tried again: found when they are due, held while they are tried, closed or counted.

`SqlLetters` is the port `Letters`, which the pipeline and `upsertd dead-letters replay` call. The transaction
of the event itself is `SqlSink`'s; what happens to the letter in it is here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update

from service.bookkeeping import OPEN_STATUSES, action_row, dead_letter_actions, dead_letters
from service.core.errors import FenceLost, PermanentError, TemporaryError
from service.core.types import Action, Event, LetterStatus, OpenLetter, Outcome, Partition, Record
from service.database import Database, Transaction
from service.sinks.rows import later
from service.sinks.sql import SqlSink

_RECORD = (
    dead_letters.c.id,
    dead_letters.c.topic,
    dead_letters.c.partition_id,
    dead_letters.c.record_offset,
    dead_letters.c.record_timestamp,
    dead_letters.c.record_key,
    dead_letters.c.record_value,
    dead_letters.c.record_headers,
    dead_letters.c.corrected_value,
    dead_letters.c.cluster_id,
    dead_letters.c.attempts,
    dead_letters.c.size,
)
_CLOSING = {
    Outcome.APPLIED: LetterStatus.REPLAYED,
    # A newer event has overtaken it, or a copy was there first.
    Outcome.STALE: LetterStatus.SUPERSEDED,
    Outcome.DUPLICATE: LetterStatus.SUPERSEDED,
    Outcome.DEAD: LetterStatus.DEAD,
}


class SqlLetters:
    """The letters of `database`, tried again by `sink`; `now` gives naive UTC."""

    def __init__(self, database: Database, sink: SqlSink, now: Callable[[], datetime]) -> None:
        self._database = database
        self._sink = sink
        self._now = now

    async def due(self, topics: Collection[str], limit: int) -> Sequence[OpenLetter]:
        """The parked letters whose time has come; see the port."""
        columns = dead_letters.c
        query = (
            select(*_RECORD)
            .where(columns.status == LetterStatus.RETRYING.value, columns.next_attempt_at <= self._now())
            .where(columns.topic.in_(topics))
            .order_by(columns.next_attempt_at)
            .limit(limit)
        )
        async with self._database.transaction() as transaction:
            return [_letter_of(row) for row in await transaction.execute(query)]

    async def open_letter(self, letter_id: int) -> OpenLetter | None:
        """The letter, if it is open; None otherwise. Raises `Unavailable`."""
        query = select(*_RECORD).where(
            dead_letters.c.id == letter_id, dead_letters.c.status.in_(OPEN_STATUSES)
        )
        async with self._database.transaction() as transaction:
            row = (await transaction.execute(query)).one_or_none()
        return None if row is None else _letter_of(row)

    async def retry(self, letter: OpenLetter, event: Event, action: Action | None = None) -> Outcome:
        """Try the event again and close its letter, in one transaction; see the port."""

        async def hold(transaction: Transaction) -> None:
            await _hold(transaction, letter)

        async def close(transaction: Transaction, outcome: Outcome) -> None:
            await self._close(transaction, letter, outcome, action)

        try:
            return await self._sink.settle(event, hold, close)
        except TemporaryError:
            await self._sink.check_writable(event.entity)
            raise

    async def failed(
        self,
        letter: OpenLetter,
        error: PermanentError | TemporaryError,
        retry_in_seconds: float | None,
        action: Action | None = None,
    ) -> None:
        """Count one more failure; see the port."""
        status = LetterStatus.DEAD if retry_in_seconds is None else LetterStatus.RETRYING
        failure = {
            "stage": error.stage,
            "error_class": error.error_class,
            "error_message": str(error)[:1024],
            "next_attempt_at": later(self._now(), retry_in_seconds),
        }
        async with self._database.transaction() as transaction:
            await self._change(transaction, letter, status, failure | self._one_more(letter), action)

    async def _close(
        self, transaction: Transaction, letter: OpenLetter, outcome: Outcome, action: Action | None
    ) -> None:
        reused = {
            "stage": "check",
            "error_class": "EventIdReused",
            "error_message": "this event id was used for another record before",
            **self._one_more(letter),
        }
        change = reused if outcome is Outcome.DEAD else {}
        await self._change(
            transaction, letter, _CLOSING[outcome], {"next_attempt_at": None, **change}, action
        )

    async def _change(
        self,
        transaction: Transaction,
        letter: OpenLetter,
        status: LetterStatus,
        values: Mapping[str, object],
        action: Action | None,
    ) -> None:
        change = update(dead_letters).where(_is_as_read(letter)).values(status=status.value, **values)
        if (await transaction.execute(change)).rowcount == 1 and action is not None:
            row = action_row(letter.id, action, status, self._now())
            await transaction.execute(insert(dead_letter_actions), [row])

    def _one_more(self, letter: OpenLetter) -> dict[str, object]:
        return {"attempts": letter.attempts + 1, "last_failed_at": self._now()}


async def _hold(transaction: Transaction, letter: OpenLetter) -> None:
    """Take the letter for this transaction; nobody waits for somebody else's."""
    query = select(dead_letters.c.id).where(_is_as_read(letter)).with_for_update(skip_locked=True)
    if (await transaction.execute(query)).one_or_none() is None:
        raise FenceLost(f"dead letter {letter.id} has changed, or somebody else is at it")


def _is_as_read(letter: OpenLetter) -> Any:
    columns = dead_letters.c
    return (
        (columns.id == letter.id) & columns.status.in_(OPEN_STATUSES) & (columns.attempts == letter.attempts)
    )


def _letter_of(row: Row[Any]) -> OpenLetter:
    corrected: bytes | None = row.corrected_value
    value: bytes | None = row.record_value if corrected is None else corrected
    is_kept = value is not None or row.size == 0
    headers = tuple(
        (name, None if content is None else base64.b64decode(content))
        for name, content in json.loads(row.record_headers)
    )
    record = Record(
        Partition(row.topic, row.partition_id),
        row.record_offset,
        row.record_timestamp,
        row.record_key,
        value,
        headers,
        row.cluster_id or "",
        None if is_kept else row.size,
    )
    return OpenLetter(row.id, record, row.attempts)
