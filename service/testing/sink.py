"""The port `Sink` in memory: the same transaction over dictionaries, all of it or nothing.

For unit tests and simulations; `tests/contracts/test_sink.py` holds it to the same words as the SQL one.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec.structs import replace

from service.bookkeeping import OPEN_STATUSES
from service.core.decide import Change, check, fold
from service.core.errors import FenceLost, Unavailable
from service.core.types import (
    DeadLetter,
    Event,
    Lease,
    Mark,
    Outcome,
    Partition,
    RowVersion,
    StoredPosition,
    Work,
    Written,
)

LetterKey = tuple[Partition, int, bytes | None]


@dataclass
class Row:
    """A stored row; `lines` by key order."""

    version: RowVersion
    deleted: bool
    columns: dict[str, object] = field(default_factory=dict)
    lines: tuple[dict[str, object], ...] = ()


@dataclass
class Tables:
    """Everything that a transaction changes."""

    rows: dict[tuple[str, int], Row] = field(default_factory=dict)
    marks: dict[bytes, tuple[Mark, Outcome]] = field(default_factory=dict)
    positions: dict[Partition, StoredPosition] = field(default_factory=dict)
    letters: dict[LetterKey, tuple[DeadLetter, str]] = field(default_factory=dict)


class InMemorySink:
    """A database of one group; `reachable = False` makes every call raise `Unavailable`.

    `before_commit` runs inside the transaction and may raise: then nothing is written. `after_commit` runs
    when everything is: what it raises looks like an answer that was lost.
    """

    def __init__(self) -> None:
        self.tables = Tables()
        self.reachable = True
        self.before_commit: Callable[[Work], None] = lambda _work: None
        self.after_commit: Callable[[Work], None] = lambda _work: None
        self.transactions = 0
        self._alone = asyncio.Lock()

    async def apply(self, work: Work, lease: Lease) -> Written:
        self._answer()
        async with self._alone:
            tables = copy.deepcopy(self.tables)
            written = _write(tables, work, lease)
            self.before_commit(work)
            self.tables = tables
            self.transactions += 1
            self.after_commit(work)
            return written

    async def position(self, partition: Partition) -> StoredPosition | None:
        self._answer()
        return self.tables.positions.get(partition)

    async def claim(self, partition: Partition, seen: StoredPosition | None, claimed: StoredPosition) -> bool:
        self._answer()
        if self.tables.positions.get(partition) != seen:
            return False
        self.tables.positions[partition] = claimed
        return True

    async def ping(self) -> None:
        self._answer()

    def backup(self) -> Tables:
        """A copy that `restore` brings back later."""
        return copy.deepcopy(self.tables)

    def restore(self, tables: Tables) -> None:
        self.tables = copy.deepcopy(tables)

    def _answer(self) -> None:
        if not self.reachable:
            raise Unavailable("the database is away", part="database")


def _write(tables: Tables, work: Work, lease: Lease) -> Written:
    _fence(tables, lease, work.end)
    checked = check(work.events, {event_id: mark for event_id, (mark, _) in tables.marks.items()})
    outcomes = {id(event): Outcome.DUPLICATE for event in checked.duplicates}
    outcomes |= {id(event): Outcome.DEAD for event in checked.reused}
    for key in {(event.entity, event.entity_id) for event in checked.fresh}:
        row = tables.rows.get(key)
        own = [event for event in checked.fresh if (event.entity, event.entity_id) == key]
        folded = fold(row.version if row else None, own)
        outcomes |= {id(event): outcome for event, outcome in folded.outcomes}
        if folded.change:
            tables.rows[key] = _changed(row, folded.change)
    written = Written(tuple((event, outcomes[id(event)]) for event in work.events))
    for event in checked.fresh:
        tables.marks[event.event_id] = (Mark(event.entity, event.entity_id), outcomes[id(event)])
    _supersede(tables, written)
    for letter in (*work.letters, *map(_reused, checked.reused)):
        record = letter.record
        tables.letters.setdefault((record.partition, record.offset, record.value), (letter, "dead"))
    return written


def _fence(tables: Tables, lease: Lease, end: int) -> None:
    stored = tables.positions.get(lease.partition)
    if stored is None or (stored.claim_id, stored.next_offset) != (lease.claim_id, lease.expected):
        raise FenceLost(f"{lease.partition} is not at {lease.expected} under our claim")
    handled = max(stored.handled_offset, end)
    tables.positions[lease.partition] = replace(stored, next_offset=end, handled_offset=handled)


def _changed(row: Row | None, change: Change) -> Row:
    before = row or Row(change.version, False)
    columns = {} if change.from_defaults else dict(before.columns)
    lines = before.lines if change.lines is None else tuple(dict(line) for line in change.lines)
    return Row(change.version, change.deleted, {**columns, **change.columns}, lines)


def _supersede(tables: Tables, written: Written) -> None:
    for event in written.marked:
        record = event.record
        key = (record.partition, record.offset, record.value)
        if key in tables.letters and tables.letters[key][1] in OPEN_STATUSES:
            tables.letters[key] = (tables.letters[key][0], "superseded")


def _reused(event: Event) -> DeadLetter:
    return DeadLetter(
        event.record,
        "check",
        "EventIdReused",
        "used for another record",
        event.event_id,
        event.entity,
        event.entity_id,
    )
