"""The ports `Sink` and `Letters` in memory: the same transactions over dictionaries, all or nothing.

For unit tests and simulations; `tests/contracts/test_sink.py` holds it to the same words as the SQL one.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from msgspec.structs import replace

from service.bookkeeping import OPEN_STATUSES
from service.core.decide import Change, check, fold
from service.core.errors import FenceLost, PermanentError, TemporaryError, Unavailable
from service.core.types import (
    Action,
    DeadLetter,
    Event,
    Lease,
    LetterStatus,
    Mark,
    OpenLetter,
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
    # Those that are parked.
    due_at: dict[LetterKey, float] = field(default_factory=dict)


class InMemorySink:
    """A database of one group, and its letters; `reachable = False` makes every call raise `Unavailable`.

    `clock` gives seconds: when letters are due. `locked` are entities whose tables are locked as a whole.
    `before_commit` runs inside the transaction and may raise: then nothing is written. `after_commit` runs
    when everything is: what it raises looks like an answer that was lost.
    """

    def __init__(self) -> None:
        self.tables = Tables()
        self.reachable = True
        self.clock: Callable[[], float] = time.monotonic
        self.locked: set[str] = set()
        self.before_commit: Callable[[Work], None] = lambda _work: None
        self.after_commit: Callable[[Work], None] = lambda _work: None
        self.transactions = 0
        self._alone = asyncio.Lock()

    async def apply(self, work: Work, lease: Lease) -> Written:
        self._answer()
        async with self._alone:
            tables = copy.deepcopy(self.tables)
            _fence(tables, lease, work.end)
            written = _settle(tables, work)
            _bury(tables, work, written, self.clock())
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

    async def check_writable(self, entity: str) -> None:
        self._answer()
        if entity in self.locked:
            raise Unavailable(f"tables of {entity} are locked", part="database")

    async def due(self, topics: Collection[str], limit: int) -> Sequence[OpenLetter]:
        self._answer()
        now = self.clock()
        parked = [
            (due_at, key)
            for key, due_at in self.tables.due_at.items()
            if due_at <= now
            and key[0].topic in topics
            and self.tables.letters[key][1] == LetterStatus.RETRYING
        ]
        return [self.open_letter(key) for _, key in sorted(parked, key=itemgetter(0))[:limit]]

    def open_letter(self, key: LetterKey) -> OpenLetter:
        """The letter as `retry` and `failed` take it."""
        letter, _status = self.tables.letters[key]
        return OpenLetter(list(self.tables.letters).index(key) + 1, letter.record, letter.attempts)

    async def retry(self, letter: OpenLetter, event: Event, action: Action | None = None) -> Outcome:
        self._answer()
        async with self._alone:
            tables = copy.deepcopy(self.tables)
            key = _held(tables, letter)
            work = Work((event,), (), -1)
            written = _settle(tables, work)
            ((_, outcome),) = written.outcomes
            _close(tables, key, outcome)
            self.before_commit(work)
            self.tables = tables
            self.transactions += 1
            self.after_commit(work)
            return outcome

    async def failed(
        self,
        letter: OpenLetter,
        error: PermanentError | TemporaryError,
        retry_in_seconds: float | None,
        action: Action | None = None,
    ) -> None:
        self._answer()
        try:
            key = _held(self.tables, letter)
        except FenceLost:
            return
        failed = replace(
            self.tables.letters[key][0],
            stage=error.stage,
            error_class=error.error_class,
            error_message=str(error),
            attempts=letter.attempts + 1,
            retry_in_seconds=retry_in_seconds,
        )
        _file(self.tables, key, failed, self.clock())

    def backup(self) -> Tables:
        """A copy that `restore` brings back later."""
        return copy.deepcopy(self.tables)

    def restore(self, tables: Tables) -> None:
        self.tables = copy.deepcopy(tables)

    def _answer(self) -> None:
        if not self.reachable:
            raise Unavailable("the database is away", part="database")


def _settle(tables: Tables, work: Work) -> Written:
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
    return written


def _bury(tables: Tables, work: Work, written: Written, now: float) -> None:
    _supersede(tables, written)
    reused = [event for event, outcome in written.outcomes if outcome is Outcome.DEAD]
    for letter in (*work.letters, *map(_reused, reused)):
        record = letter.record
        key = (record.partition, record.offset, record.value)
        if key not in tables.letters:
            _file(tables, key, letter, now)


def _file(tables: Tables, key: LetterKey, letter: DeadLetter, now: float) -> None:
    is_parked = letter.retry_in_seconds is not None
    tables.letters[key] = (letter, LetterStatus.RETRYING if is_parked else LetterStatus.DEAD)
    tables.due_at.pop(key, None)
    if letter.retry_in_seconds is not None:
        tables.due_at[key] = now + letter.retry_in_seconds


def _held(tables: Tables, letter: OpenLetter) -> LetterKey:
    """The key of a letter that is still as it was read."""
    key = list(tables.letters)[letter.id - 1]
    stored, status = tables.letters[key]
    if status not in OPEN_STATUSES or stored.attempts != letter.attempts:
        raise FenceLost(f"dead letter {letter.id} has changed")
    return key


def _close(tables: Tables, key: LetterKey, outcome: Outcome) -> None:
    letter, _ = tables.letters[key]
    if outcome is Outcome.DEAD:
        letter = replace(letter, error_class="EventIdReused", stage="check", attempts=letter.attempts + 1)
    tables.letters[key] = (letter, _CLOSING[outcome])
    tables.due_at.pop(key, None)


_CLOSING = {
    Outcome.APPLIED: LetterStatus.REPLAYED,
    Outcome.STALE: LetterStatus.SUPERSEDED,
    Outcome.DUPLICATE: LetterStatus.SUPERSEDED,
    Outcome.DEAD: LetterStatus.DEAD,
}


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
            tables.letters[key] = (tables.letters[key][0], LetterStatus.SUPERSEDED)
            tables.due_at.pop(key, None)


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
