"""The events of a transaction: known or new, newer or stale, upserted and marked.

`sinks.sql` asks the questions and runs the statements. The decisions come from `core.decide`, the rows from
`sinks.rows`, the multi-row statements from the database's dialect.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import NamedTuple

from service.bookkeeping import processed_events
from service.core.decide import Change, check, fold, has_passed
from service.core.types import DeadLetter, Event, Mark, Outcome, RowVersion, Written
from service.dialects.dialect import Answer, Dialect, Statement
from service.entities.entity import Entity, Lines
from service.sinks.look_ups import LookUp
from service.sinks.rows import MARK_COLUMNS, group_rows, line_rows, mark_row

_MARKS = processed_events.name

Trace = tuple[object, ...]
"""An event id and the coordinates of the record that it came with."""


class Attempt:
    """One run of a transaction: what it asks for, and which marks and rows it finds.

    What a run does not look up it takes for new: if it is not, a key turns the whole transaction back, and
    the run `again` looks.
    """

    def __init__(self, *, again: bool, look_up: LookUp) -> None:
        self.again = again
        self.look_up = look_up
        self.found_marks: set[object] = set()
        self.found_rows: set[object] = set()

    @property
    def found(self) -> set[object]:
        """All that was found."""
        return self.found_marks | self.found_rows


class Decided(NamedTuple):
    """What becomes of the events of a transaction, and the statements that write it down."""

    written: Written
    statements: Sequence[Statement]


class EventTables:
    """The tables of `entities` and their marks. `now` gives naive UTC.

    Pure, in two steps: `questions` says what has to be known of events, `decide` takes the answers.
    """

    def __init__(self, dialect: Dialect, entities: Mapping[str, Entity], now: Callable[[], datetime]) -> None:
        self._dialect = dialect
        self._entities = entities
        self._now = now

    def questions(self, events: Sequence[Event], attempt: Attempt) -> dict[str, Statement]:
        """By table: which ids have a mark, and how old the rows are that the events may change, locked."""
        questions = {}
        if events and attempt.look_up.marks:
            questions[_MARKS] = self._find_marks(events)
        if attempt.look_up.rows:
            for name, own in _by_entity(events).items():
                questions[name] = self._lock_rows(self._entities[name], {event.entity_id for event in own})
        return questions

    def decide(
        self,
        events: Sequence[Event],
        answers: Mapping[str, Answer],
        attempt: Attempt,
        forced: Collection[int] = (),
    ) -> Decided:
        """Tell known events from new ones, upsert what wins, mark what is new.

        Notes in `attempt` which marks and rows are there. `forced` are events, by identity, that are not
        known by the mark that their own record has left.
        """
        marks = _marks_in(answers)
        attempt.found_marks.update(marks)
        checked = check([event for event in events if id(event) not in forced] if forced else events, marks)
        # By identity: the same event may stand in a batch twice, with another outcome each time.
        outcomes = {id(event): Outcome.DUPLICATE for event in checked.duplicates}
        outcomes |= {id(event): Outcome.DEAD for event in checked.reused}

        stored = {name: _versions_in(answers[name]) for name in self._entities if name in answers}
        attempt.found_rows.update((name, entity_id) for name, rows in stored.items() for entity_id in rows)
        statements: list[Statement] = []
        again = [event for event in events if id(event) in forced]
        wanted = _in_offset_order(*again, *checked.fresh) if again else checked.fresh
        for name, fresh in _by_entity(wanted).items():
            changes = _fold(fresh, stored.get(name, {}), forced, outcomes)
            statements += self._upsert(self._entities[name], changes, attempt)
        statements += self._mark([(event, outcomes[id(event)]) for event in checked.fresh])
        return Decided(Written(tuple((event, outcomes[id(event)]) for event in events)), statements)

    def traces(self, event_ids: Collection[bytes]) -> Statement:
        """The question which records have left the marks of these ids; `traces_in` reads the answer."""
        columns = processed_events.c
        wanted = (columns.event_id, columns.topic, columns.partition_id, columns.record_offset)
        return self._dialect.select_in(wanted, columns.event_id, sorted(event_ids), lock=False)

    def _find_marks(self, events: Sequence[Event]) -> Statement:
        columns = processed_events.c
        wanted = (columns.event_id, columns.entity, columns.entity_id)
        ids = sorted({event.event_id for event in events})
        return self._dialect.select_in(wanted, columns.event_id, ids, lock=False)

    def _lock_rows(self, entity: Entity, entity_ids: Iterable[int]) -> Statement:
        columns = entity.table.c
        version = (columns.version, columns.occurred_at, columns.source_partition, columns.source_offset)
        # Every writer that looks locks in the order of the key: no deadlocks among them.
        return self._dialect.select_in((columns.id, *version), columns.id, sorted(entity_ids), lock=True)

    def _upsert(self, entity: Entity, changes: list[Change], attempt: Attempt) -> Iterator[Statement]:
        changes.sort(key=attrgetter("entity_id"))
        for group in group_rows(changes, entity.defaults, self._now()):
            build = self._dialect.insert if group.is_new else self._dialect.overwrite
            yield build(entity.table, group.columns, group.rows)
        if entity.lines:
            yield from self._replace_lines(entity.lines, changes, attempt)

    def _replace_lines(
        self, lines: Lines, changes: Sequence[Change], attempt: Attempt
    ) -> Iterator[Statement]:
        replaced = [change for change in changes if change.lines is not None]
        # What is new has no lines, unless somebody left them behind: then their key has turned us back.
        removed = [change.entity_id for change in replaced if attempt.again or not change.is_new]
        if removed:
            yield self._dialect.delete_in(lines.table.c[lines.parent], removed)
        columns, rows = line_rows(lines, replaced)
        if rows:
            yield self._dialect.insert(lines.table, columns, rows)

    def _mark(self, fresh: Sequence[tuple[Event, Outcome]]) -> Iterator[Statement]:
        """Mark every id, stale ones too: a plain INSERT, so that a rival's mark turns us back."""
        if fresh:
            now = self._now()
            rows = sorted(mark_row(event, outcome, now) for event, outcome in fresh)
            yield self._dialect.insert(processed_events, MARK_COLUMNS, rows)


def traces_in(answer: Answer) -> set[Trace]:
    """Which records have left the marks that were asked for."""
    return {tuple(row) for row in answer.rows}


def trace(item: Event | DeadLetter) -> Trace:
    """What the mark of this record says: its event id and its coordinates."""
    record = item.record
    return item.event_id, record.partition.topic, record.partition.number, record.offset


def _fold(
    events: Iterable[Event],
    stored: Mapping[int, RowVersion],
    forced: Collection[int],
    outcomes: dict[int, Outcome],
) -> list[Change]:
    """Fold each record's events into one row; adds what becomes of each event to `outcomes`, by identity."""
    by_id: dict[int, list[Event]] = defaultdict(list)
    for event in events:
        if id(event) in forced and _has_passed(stored, event):
            outcomes[id(event)] = Outcome.STALE
        else:
            by_id[event.entity_id].append(event)
    changes = []
    for entity_id, own in by_id.items():
        folded = fold(stored.get(entity_id), own)
        for event, outcome in folded.outcomes:
            outcomes[id(event)] = outcome
        if folded.change is not None:
            changes.append(folded.change)
    return changes


def _marks_in(answers: Mapping[str, Answer]) -> dict[bytes, Mark]:
    if _MARKS not in answers:
        return {}
    return {event_id: Mark(entity, entity_id) for event_id, entity, entity_id in answers[_MARKS].rows}


def _versions_in(answer: Answer) -> dict[int, RowVersion]:
    """How old the rows are that are there, by id."""
    return {entity_id: RowVersion(*age) for entity_id, *age in answer.rows}


def _has_passed(stored: Mapping[int, RowVersion], event: Event) -> bool:
    row = stored.get(event.entity_id)
    return row is not None and has_passed(row, event)


def _in_offset_order(*events: Event) -> list[Event]:
    return sorted(events, key=lambda event: event.record.offset)


def _by_entity(events: Iterable[Event]) -> dict[str, list[Event]]:
    groups: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        groups[event.entity].append(event)
    return groups
