"""Holds every write against the promise: rows, marks, letters, positions, Kafka's offsets, cache entries.

The servers of a history call it in the middle of what they do, `history` at the end. A violation names the
invariant of docs/proof.md. The one thing that it takes on trust is the order of the commits.

Exceptions are those of the promise, and no more: a restored database takes back what was written after the
backup (the model goes back with it); a lane that has not noticed yet may commit an offset of before; an
operator moves positions, and what is jumped over is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

from service.core.types import (
    OPERATOR,
    DeadLetter,
    Event,
    GroupOffset,
    Lease,
    Outcome,
    Partition,
    Record,
    RowVersion,
    StoredPosition,
    Work,
    Written,
)
from tests.faults.simulation.journal import Journal
from tests.faults.simulation.messages import Kind, Press
from tests.faults.simulation.model import (
    DEAD,
    DUPLICATE,
    OPEN,
    PARKED,
    Age,
    Disagreement,
    Model,
    Place,
)

if TYPE_CHECKING:
    from tests.faults.simulation.broker import Log
    from tests.faults.simulation.database import Tables
    from tests.faults.simulation.redis import Entry


Key = TypeVar("Key")

BESIDE_A_LETTER = "restored: the cache knows an event whose record is a letter now"
"""Known, and counted instead of blamed: a record was applied, the database went back to before, and what was
applied then is refused now (a column that is narrower again). Its entry in the cache counts as a hit as soon
as the position has passed it once more: a copy of it is taken for a duplicate of a dead letter."""


class Judge:
    """One for each history."""

    def __init__(self, journal: Journal, press: Press) -> None:
        self.model = Model()
        self.logs: Mapping[Partition, Log] = {}
        self.group: Mapping[Partition, GroupOffset] = {}
        self.cache: Mapping[bytes, Entry | bytes] = {}
        self.goes_on_at_earliest = False
        # Whether records may be parked for no fault of their own.
        self.has_deadlocks = False
        # Where operators wanted the group since the last claim that obeyed, and ever; where they want it now.
        self._asked: defaultdict[Partition, set[int]] = defaultdict(set)
        self._ever_asked: defaultdict[Partition, set[int]] = defaultdict(set)
        self._wanted: dict[Partition, int | None] = {}
        self._journal = journal
        self._press = press
        # Where each partition has ever been, whatever became of that database since.
        self._confirmed: defaultdict[Partition, set[int]] = defaultdict(set)
        # How often the database went back, and how often it had when a member claimed a partition.
        self._times_gone_back = 0
        self._claimed_at: dict[tuple[str | None, Partition], int] = {}
        self._claim_ids: set[str] = set()

    # ---------------------------------------------------------------- transactions, as they are committed

    def applies(self, work: Work, lease: Lease, written: Written) -> None:
        """A batch is about to be written: the records of its range, one by one."""
        partition = lease.partition
        position, claim = self.model.positions.get(partition), self.model.claims.get(partition)
        if claim != lease.claim_id:
            self._blame("I8", f"{partition}: an owner that was superseded writes")
        if position != lease.expected or work.end < lease.expected:
            self._blame(
                "I8", f"{partition}: a batch from {lease.expected} to {work.end}, the position is {position}"
            )
        reported = self._reported(work.letters, written, lease.expected, work.end)
        for record in self.logs[partition].between(lease.expected, work.end):
            self._take(record, reported.get(record.offset))
        self.model.positions[partition] = work.end
        self._confirmed[partition].add(work.end)

    def retries(self, place: Place, event: Event, outcome: Outcome) -> None:
        """A parked record is about to be written."""
        try:
            self._check_record(event.record)
            self.model.retry(place, self._press.message(event.record.value), outcome.value)
            self._journal.outcomes[f"retried {outcome.value}"] += 1
        except Disagreement as reason:
            self._blame("I1", f"{_told(place)} {reason}")

    def failed(self, place: Place, *, dead: bool) -> None:
        """A parked record has failed once more."""
        if self.model.letters.get(place) not in OPEN:
            self._blame("I2", f"{_told(place)} failed again without an open letter")
        self.model.letters[place] = "dead" if dead else "retrying"
        self.model.outcomes[place] = DEAD if dead else PARKED

    def writes(self, entity_id: int, before: RowVersion | None, after: RowVersion) -> None:
        """A row is about to be written: it must be as old as the last of the events that won, one by one.

        The two ends of a batch cannot be compared: without a version in the first row, an event without
        a higher moment but with a higher version than one in between may well come last.
        """
        row = self.model.rows.get(entity_id)
        if row is None or row.age != _age(after):
            self._blame("I7", f"record {entity_id}: {_age(after)} over {before and _age(before)}")

    def committed(self, tables: Tables) -> None:
        """A transaction is over: no entry of the cache may count that SQL does not know."""
        handled = {
            each.cache_namespace: range(each.handled_from, each.handled_offset)
            for each in tables.positions.values()
        }
        for event_id, entry in self.cache.items():
            if isinstance(entry, bytes) or entry.offset not in handled.get(entry.namespace, ()):
                continue
            mark = tables.marks.get(event_id)
            if mark is not None and mark.entity_id == entry.entity_id:
                continue
            if self._times_gone_back and self._has_letter(event_id):
                self._journal.known[BESIDE_A_LETTER] += 1
                continue
            self._blame("I4", f"the cache knows {event_id!r}: {entry}, SQL has {mark}")

    def _reported(
        self, letters: Iterable[DeadLetter], written: Written, start: int, end: int
    ) -> dict[int, str]:
        reported: dict[int, str] = {}
        for letter in letters:
            self._check_record(letter.record)
            reported[letter.record.offset] = DEAD if letter.retry_in_seconds is None else PARKED
        for event, outcome in written.outcomes:
            self._check_record(event.record)
            reported[event.record.offset] = outcome.value
        strangers = [offset for offset in reported if not start <= offset < end]
        if strangers:
            self._blame("I2", f"a batch from {start} to {end} has records {strangers}")
        return reported

    def _take(self, record: Record, reported: str | None) -> None:
        place = (record.partition, record.offset)
        message = self._press.message(record.value)
        if reported == PARKED and message.kind is not Kind.STICKY and not self.has_deadlocks:
            self._blame("I2", f"{_told(place)} was parked, and nothing was wrong with it")
        if reported is None and message.event_id not in self.model.ids and self._has_letter(message.event_id):
            self._journal.known[BESIDE_A_LETTER] += 1
            self.model.outcomes[place] = DUPLICATE
            return
        try:
            outcome = self.model.take(place, message, reported)
        except Disagreement as reason:
            self._blame("I2" if reported is None else "I1", f"{_told(place)} {reason}")
        else:
            self._journal.outcomes["known by the cache" if reported is None else outcome] += 1

    def _has_letter(self, event_id: bytes) -> bool:
        """Whether a record of this event was given up, or is parked."""
        return any(
            self._press.message(record.value).event_id == event_id
            for partition, offset in self.model.letters
            if (record := self.logs[partition].record(offset)) is not None
        )

    def _check_record(self, record: Record) -> None:
        if record != self.logs[record.partition].record(record.offset):
            self._blame("I5", f"{record.partition} {record.offset} is not what was produced")

    # ---------------------------------------------------------------- positions

    def claims(self, partition: Partition, before: StoredPosition | None, claimed: StoredPosition) -> None:
        """A claim is about to be written."""
        start = claimed.next_offset
        if start not in self._starts(partition, before):
            at = before and before.next_offset
            self._blame("I8", f"{partition} is claimed at {start}, the position was {at}")
        if claimed.claim_id in self._claim_ids:
            self._blame("I8", f"{partition}: a claim id came twice")
        self._claim_ids.add(claimed.claim_id)
        wanted = self._wanted.get(partition)
        if wanted is not None and (start == wanted or wanted < self.logs[partition].beginning):
            self._obeyed(partition)
        self._claimed_at[claimed.owner, partition] = self._times_gone_back
        self._move(partition, claimed)

    def _starts(self, partition: Partition, before: StoredPosition | None) -> set[int]:
        """Where a claim may start now."""
        log, group = self.logs[partition], self.group.get(partition)
        # A claim may be late. Where the row has changed meanwhile it fails; a restored one fits again.
        asked = self._ever_asked if self._times_gone_back else self._asked
        starts = set(asked[partition])
        if group is not None and not group.ours:
            starts.add(group.offset)
        if before is not None:
            starts.add(before.next_offset)
        # The log may have been trimmed since the claim looked at it.
        gone = self.goes_on_at_earliest and not all(start >= log.beginning for start in starts)
        return starts | log.beginnings if before is None or gone else starts

    def _move(self, partition: Partition, position: StoredPosition) -> None:
        start = position.next_offset
        self.model.positions[partition] = start
        self.model.claims[partition] = position.claim_id
        self._confirmed[partition].add(start)
        for record in self.logs[partition].between(0, start):
            if (partition, record.offset) not in self.model.outcomes:
                self.model.left_out.add((partition, record.offset))

    def commits(self, owner: str, partition: Partition, offset: int) -> None:
        """Kafka takes a commit from a member: it must lie at or below what SQL has."""
        position = self.model.positions.get(partition)
        if position is not None and offset <= position:
            return
        unaware = self._claimed_at.get((owner, partition), -1) < self._times_gone_back
        if not (unaware and offset in self._confirmed[partition]):
            self._blame("I3", f"{owner} commits {partition} at {offset}, SQL is at {position}")

    # ---------------------------------------------------------------- what operators do

    def restored(self, model: Model, tables: Tables) -> None:
        """The database is what it was when this copy of the model was made."""
        self.model = model.copy()
        self._times_gone_back += 1
        for partition, position in tables.positions.items():
            if position.owner == OPERATOR:  # an older word of an operator's, which is the last one again
                self._wanted[partition] = None
        self.committed(tables)

    def reset_row(self, partition: Partition, position: StoredPosition) -> None:
        """`upsertd positions reset` has written its row: it is the last word, and needs no obeying."""
        assert position.owner == OPERATOR
        self._obeyed(partition)
        self._times_gone_back += 1
        self._claim_ids.add(position.claim_id)
        self._move(partition, position)

    def reset_group(self, partition: Partition, offset: int | None, row: StoredPosition | None) -> None:
        """An operator has moved the group's offset, or removed it; a `row` that was reset before wins."""
        self._wanted[partition] = None if row is not None and row.owner == OPERATOR else offset
        if offset is not None:
            self._asked[partition].add(offset)
            self._ever_asked[partition].add(offset)

    def _obeyed(self, partition: Partition) -> None:
        self._wanted[partition] = None
        self._asked[partition].clear()

    # ---------------------------------------------------------------- the end

    def finish(self, tables: Tables) -> None:
        """Everything has healed and is drained: compare all that is stored."""
        model = self.model
        rows = {
            entity_id: (_age(row.version), row.deleted, dict(row.columns))
            for entity_id, row in tables.rows.items()
        }
        self._compare("I1", "row", rows, {each: tuple(row) for each, row in model.rows.items()})
        marks = {event_id: mark.entity_id for event_id, mark in tables.marks.items()}
        self._compare("I2", "mark", marks, model.ids)
        letters = {place: letter.status.value for place, letter in tables.letters.items()}
        self._compare("I2", "letter", letters, model.letters)
        positions = {each: position.next_offset for each, position in tables.positions.items()}
        self._compare("I3", "position", positions, model.positions)
        for partition, position in positions.items():
            for record in self.logs[partition].between(0, position):
                place = (partition, record.offset)
                if place not in model.outcomes and place not in model.left_out:
                    self._blame("I2", f"{_told(place)} has no outcome")
        for partition, offset in self._wanted.items():
            if offset is not None:
                self._blame("I8", f"{partition}: an operator's reset to {offset} was not obeyed")

    def _compare(
        self, invariant: str, what: str, stored: Mapping[Key, object], wanted: Mapping[Key, object]
    ) -> None:
        for key in {**wanted, **stored}:
            if stored.get(key) != wanted.get(key):
                self._blame(invariant, f"{what} {key}: {stored.get(key)} instead of {wanted.get(key)}")

    def _blame(self, invariant: str, what: str) -> None:
        self._journal.violation(invariant, what)


def _age(version: RowVersion) -> Age:
    return Age(version.version, version.occurred_at, version.source_partition, version.source_offset)


def _told(place: Place) -> str:
    return f"record {place[1]} of {place[0]}"
