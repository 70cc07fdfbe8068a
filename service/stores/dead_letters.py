"""The dead letters as operators see them: counted, listed by filter, shown whole.

`upsertd dead-letters` and the monitor read here; the sink writes the letters, in the transaction of their
batch. Nothing here prints: what a record holds may be hostile to a terminal.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select

from service.bookkeeping import dead_letter_actions, dead_letters
from service.core.types import Action, LetterStatus, Partition
from service.database import Database

PAGE_LETTERS = 500


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters are meant: all that fit every field that is not None; `statuses` and `ids`: one of these.

    Times are naive UTC and speak of the last failure: from `since` on, before `until`.
    """

    entity: str | None = None
    topic: str | None = None
    error_class: str | None = None
    statuses: Collection[LetterStatus] | None = None
    ids: Collection[int] | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """A row of `dead_letters` without the record's bytes. Times are naive UTC.

    `record_timestamp_ms` is Kafka's, -1 where it has none; `size_bytes` and `digest` (SHA-256) are those of
    the record's value.
    """

    id: int
    status: str
    partition: Partition
    offset: int
    record_timestamp_ms: int
    event_id: bytes | None
    entity: str | None
    entity_id: int | None
    stage: str
    error_class: str
    error_message: str
    attempts: int
    size_bytes: int
    digest: str
    cluster_id: str | None
    next_attempt_at: datetime | None
    first_failed_at: datetime
    last_failed_at: datetime


@dataclass(frozen=True, slots=True)
class PastAction:
    """What an operator did to a letter, and its status afterwards. `at` is naive UTC."""

    action: Action
    status: str
    at: datetime


@dataclass(frozen=True, slots=True)
class WholeLetter:
    """A letter with the bytes of its record as they came, and what operators did to it."""

    letter: StoredLetter
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    corrected: bytes | None = None
    actions: tuple[PastAction, ...] = ()

    @property
    def kept(self) -> bool:
        """Whether the bytes are here: a record too large to store has only its coordinates."""
        return self.value is not None or self.letter.size_bytes == 0


_BYTES = ("record_key", "record_value", "record_headers", "corrected_value")
_SUMMARY = tuple(column for column in dead_letters.c if column.name not in _BYTES)


async def count_by_status(database: Database) -> Mapping[str, int]:
    """How many letters have each status; a status without letters is left out. Raises `Unavailable`."""
    query = select(dead_letters.c.status, func.count().label("letters")).group_by(dead_letters.c.status)
    async with database.transaction() as transaction:
        return {row.status: row.letters for row in await transaction.execute(query)}


async def find_letters(
    database: Database, wanted: LetterFilter, limit: int | None = None
) -> AsyncIterator[StoredLetter]:
    """The letters that fit, the newest first, at most `limit`; read in pages. Raises `Unavailable`."""
    newest_first = select(*_SUMMARY).where(*_conditions(wanted)).order_by(dead_letters.c.id.desc())
    left, page = limit, newest_first
    while left is None or left > 0:
        size = PAGE_LETTERS if left is None else min(PAGE_LETTERS, left)
        async with database.transaction() as transaction:
            rows = (await transaction.execute(page.limit(size))).all()
        for row in rows:
            yield _letter_of(row)
        if len(rows) < size:
            return
        left = None if left is None else left - size
        page = newest_first.where(dead_letters.c.id < rows[-1].id)


async def pages_of_letters(database: Database, wanted: LetterFilter) -> AsyncIterator[list[StoredLetter]]:
    """The letters that fit and are there now, the oldest first, page by page. Raises `Unavailable`.

    Those that change meanwhile, or come, do not disturb it: whoever works on them comes to an end.
    """
    columns = dead_letters.c
    oldest_first = select(*_SUMMARY).where(*_conditions(wanted)).order_by(columns.id).limit(PAGE_LETTERS)
    async with database.transaction() as transaction:
        last = (await transaction.execute(select(func.max(columns.id)))).scalar()
    done = 0
    while last is not None and done < last:
        async with database.transaction() as transaction:
            page = oldest_first.where(columns.id > done, columns.id <= last)
            letters = list(map(_letter_of, await transaction.execute(page)))
        if not letters:
            return
        yield letters
        done = letters[-1].id


async def read_letter(database: Database, letter_id: int) -> WholeLetter | None:
    """One letter with everything that is kept of it, None when there is none. Raises `Unavailable`."""
    query = select(dead_letters).where(dead_letters.c.id == letter_id)
    past = (
        select(dead_letter_actions)
        .where(dead_letter_actions.c.letter_id == letter_id)
        .order_by(dead_letter_actions.c.id)
    )
    async with database.transaction() as transaction:
        row = (await transaction.execute(query)).one_or_none()
        actions = tuple(map(_action_of, await transaction.execute(past)))
    if row is None:
        return None
    headers = tuple((name, _bytes_of(value)) for name, value in json.loads(row.record_headers))
    letter = _letter_of(row)
    return WholeLetter(letter, row.record_key, row.record_value, headers, row.corrected_value, actions)


async def count_letters(database: Database, wanted: LetterFilter) -> int:
    """How many letters fit. Raises `Unavailable`."""
    query = select(func.count()).select_from(dead_letters).where(*_conditions(wanted))
    async with database.transaction() as transaction:
        return int((await transaction.execute(query)).scalar_one())


def _conditions(wanted: LetterFilter) -> Iterator[ColumnElement[bool]]:
    columns = dead_letters.c
    for name, several in (("status", wanted.statuses), ("id", wanted.ids)):
        if several is not None:
            yield columns[name].in_(several)
    for name in ("entity", "topic", "error_class"):
        value = getattr(wanted, name)
        if value is not None:
            yield columns[name] == value
    if wanted.since is not None:
        yield columns.last_failed_at >= wanted.since
    if wanted.until is not None:
        yield columns.last_failed_at < wanted.until


def _letter_of(row: Row[Any]) -> StoredLetter:
    return StoredLetter(
        id=row.id,
        status=row.status,
        partition=Partition(row.topic, row.partition_id),
        offset=row.record_offset,
        record_timestamp_ms=row.record_timestamp,
        event_id=row.event_id,
        entity=row.entity,
        entity_id=row.entity_id,
        stage=row.stage,
        error_class=row.error_class,
        error_message=row.error_message,
        attempts=row.attempts,
        size_bytes=row.size,
        digest=row.digest,
        cluster_id=row.cluster_id,
        next_attempt_at=row.next_attempt_at,
        first_failed_at=row.first_failed_at,
        last_failed_at=row.last_failed_at,
    )


def _action_of(row: Row[Any]) -> PastAction:
    return PastAction(Action(row.action, row.actor, row.reason), row.status, row.acted_at)


def _bytes_of(value: str | None) -> bytes | None:
    return None if value is None else base64.b64decode(value)
