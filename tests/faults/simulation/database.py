"""A database in memory that is fast to write, to back up and to restore, with the rules of the real sink.

A transaction takes effect as a whole at the moment of its commit, one after the other. That loses nothing:
on a real server the row of a position lets two transactions of one partition through one by one, and the
rows' locks and the marks' unique key do the same for two partitions with the same events (a rival runs again
and then sees what was committed: `tests/contracts`, `tests/integration`). What is open is the order of the
commits, and how long each call takes: that is what a history plays with. It decides with the service's own
`core.decide`; `unit/test_database.py` holds it to `service.testing.sink`, and `judge` watches every write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec.structs import replace

from service.core import decide
from service.core.errors import FenceLost, PermanentError, TemporaryError
from service.core.types import (
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
from tests.faults.simulation.judge import Judge
from tests.faults.simulation.messages import ENTITY, Kind, Press

OPEN = (LetterStatus.RETRYING, LetterStatus.DEAD)
_CLOSING = {
    Outcome.APPLIED: LetterStatus.REPLAYED,
    Outcome.STALE: LetterStatus.SUPERSEDED,
    Outcome.DUPLICATE: LetterStatus.SUPERSEDED,
    Outcome.DEAD: LetterStatus.DEAD,
}
# Letters have one number in SQL: partition and offset in one.
_OFFSETS = 1_000_000

Place = tuple[Partition, int]


class StoredRow(NamedTuple):
    version: RowVersion
    deleted: bool
    columns: Mapping[str, object]


class StoredLetter(NamedTuple):
    letter: DeadLetter
    status: LetterStatus
    due_at: float | None = None


@dataclass(slots=True)
class Tables:
    """Everything that is stored; every value is immutable, so a backup is a copy of four dictionaries."""

    rows: dict[int, StoredRow] = field(default_factory=dict)
    marks: dict[bytes, Mark] = field(default_factory=dict)
    positions: dict[Partition, StoredPosition] = field(default_factory=dict)
    letters: dict[Place, StoredLetter] = field(default_factory=dict)

    def copy(self) -> Tables:
        return Tables(dict(self.rows), dict(self.marks), dict(self.positions), dict(self.letters))


class Database:
    """The server's side of the sink; each method is one transaction. `now` gives seconds."""

    def __init__(self, press: Press, judge: Judge) -> None:
        self.tables = Tables()
        self._press = press
        self._judge = judge

    # ---------------------------------------------------------------- what the sink asks for

    def apply(self, work: Work, lease: Lease, now: float) -> Written:
        """One batch: fence, check, decide, upsert, mark, letters."""
        self._fence(lease)
        written, changes, fresh = self._decide(work.events)
        self._judge.applies(work, lease, written)
        self._write(changes, fresh)
        position = self.tables.positions[lease.partition]
        handled = max(position.handled_offset, work.end)
        self.tables.positions[lease.partition] = replace(
            position, next_offset=work.end, handled_offset=handled
        )
        self._supersede(written)
        for letter in (*work.letters, *map(_reused, written.outcomes)):
            if letter is not None:
                self._file(letter, now)
        self._judge.committed(self.tables)
        return written

    def claim(self, partition: Partition, seen: StoredPosition | None, claimed: StoredPosition) -> bool:
        """Write `claimed` if the row is still what was `seen`."""
        here = self.tables.positions.get(partition)
        if not self._is_as_seen(here, seen):
            return False
        self._judge.claims(partition, here, claimed)
        self.tables.positions[partition] = claimed
        self._judge.committed(self.tables)
        return True

    def due(self, limit: int, now: float) -> list[OpenLetter]:
        """The parked letters whose time has come."""
        due = [
            (stored.due_at, place)
            for place, stored in self.tables.letters.items()
            if stored.status is LetterStatus.RETRYING and stored.due_at is not None and stored.due_at <= now
        ]
        return [self._open_letter(place) for _, place in sorted(due)[:limit]]

    def retry(self, letter: OpenLetter, event: Event) -> Outcome:
        """The event of a letter, and what it means for the letter."""
        place = self._hold(letter)
        written, changes, fresh = self._decide((event,))
        ((_, outcome),) = written.outcomes
        self._judge.retries(place, event, outcome)
        self._write(changes, fresh)
        stored = self.tables.letters[place]
        if outcome is Outcome.DEAD:
            stored = stored._replace(letter=replace(stored.letter, attempts=letter.attempts + 1))
        self.tables.letters[place] = stored._replace(status=_CLOSING[outcome], due_at=None)
        self._judge.committed(self.tables)
        return outcome

    def failed(self, letter: OpenLetter, retry_in_seconds: float | None, now: float) -> None:
        """One more failure of a letter: parked again, or dead."""
        try:
            place = self._hold(letter)
        except FenceLost:
            return
        stored = self.tables.letters[place]
        self._file(
            replace(stored.letter, attempts=letter.attempts + 1, retry_in_seconds=retry_in_seconds),
            now,
            again=True,
        )
        self._judge.failed(place, dead=retry_in_seconds is None)

    # ---------------------------------------------------------------- the steps

    def _fence(self, lease: Lease) -> None:
        position = self.tables.positions.get(lease.partition)
        if position is None or (position.claim_id, position.next_offset) != (lease.claim_id, lease.expected):
            raise FenceLost(f"{lease.partition} is not at {lease.expected} under our claim")

    def _is_as_seen(self, here: StoredPosition | None, seen: StoredPosition | None) -> bool:
        if here is None or seen is None:
            return here is seen
        return (here.claim_id, here.next_offset) == (seen.claim_id, seen.next_offset)

    def _decide(self, events: Sequence[Event]) -> tuple[Written, list[decide.Change], tuple[Event, ...]]:
        marks = self.tables.marks
        known = {each.event_id: marks[each.event_id] for each in events if each.event_id in marks}
        checked = decide.check(events, known)
        outcomes = {id(event): Outcome.DUPLICATE for event in checked.duplicates}
        outcomes |= {id(event): Outcome.DEAD for event in checked.reused}
        by_entity: dict[int, list[Event]] = {}
        for event in checked.fresh:
            by_entity.setdefault(event.entity_id, []).append(event)
        changes: list[decide.Change] = []
        for entity_id, own in by_entity.items():
            row = self.tables.rows.get(entity_id)
            folded = decide.fold(None if row is None else row.version, own)
            outcomes |= {id(event): outcome for event, outcome in folded.outcomes}
            if folded.change is not None:
                changes.append(folded.change)
        for event in checked.fresh:
            if outcomes[id(event)] is Outcome.APPLIED:
                self._refuse(event)
        return Written(tuple((event, outcomes[id(event)]) for event in events)), changes, checked.fresh

    def _refuse(self, event: Event) -> None:
        """Raise what the server says to a value that it does not take; nothing has been written yet."""
        trouble = self._press.fails(event.record.value)
        if trouble is Kind.REFUSED:
            raise PermanentError("1406 name", error_class="DataTooLong")
        if trouble is Kind.STICKY:
            raise TemporaryError("1020 customers", error_class="RecordChanged")

    def _write(self, changes: Sequence[decide.Change], fresh: Sequence[Event]) -> None:
        for change in changes:
            before = self.tables.rows.get(change.entity_id)
            columns = {} if change.from_defaults or before is None else before.columns
            after = StoredRow(change.version, change.deleted, {**columns, **change.columns})
            self._judge.writes(change.entity_id, before and before.version, after.version)
            self.tables.rows[change.entity_id] = after
        for event in fresh:
            self.tables.marks[event.event_id] = Mark(event.entity, event.entity_id)

    def _supersede(self, written: Written) -> None:
        for event in written.marked:
            place = (event.record.partition, event.record.offset)
            stored = self.tables.letters.get(place)
            if stored is not None and stored.status in OPEN:
                self.tables.letters[place] = stored._replace(status=LetterStatus.SUPERSEDED, due_at=None)

    def _file(self, letter: DeadLetter, now: float, *, again: bool = False) -> None:
        place = (letter.record.partition, letter.record.offset)
        if place in self.tables.letters and not again:
            return
        wait = letter.retry_in_seconds
        status = LetterStatus.DEAD if wait is None else LetterStatus.RETRYING
        self.tables.letters[place] = StoredLetter(letter, status, None if wait is None else now + wait)

    def _open_letter(self, place: Place) -> OpenLetter:
        letter = self.tables.letters[place].letter
        return OpenLetter(place[0].number * _OFFSETS + place[1], letter.record, letter.attempts)

    def _hold(self, letter: OpenLetter) -> Place:
        place = (letter.record.partition, letter.record.offset)
        stored = self.tables.letters.get(place)
        if stored is None or stored.status not in OPEN or stored.letter.attempts != letter.attempts:
            raise FenceLost(f"dead letter {letter.id} has changed")
        return place


def _reused(pair: tuple[Event, Outcome]) -> DeadLetter | None:
    event, outcome = pair
    if outcome is not Outcome.DEAD:
        return None
    return DeadLetter(
        event.record,
        "check",
        "EventIdReused",
        "used for another record",
        event.event_id,
        ENTITY,
        event.entity_id,
    )
