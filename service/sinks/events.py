"""The events of a transaction: known or new, newer or stale, upserted and marked.

Called by `sinks.sql` in the middle of its transactions. The pure decisions come from `core.decide`, the rows
from `sinks.rows`, the multi-row statements from the database's dialect.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime

from service.bookkeeping import processed_events
from service.core.decide import Change, check, fold, has_passed
from service.core.types import DeadLetter, Event, Mark, Outcome, RowVersion, Written
from service.database import Transaction
from service.dialects.dialect import Dialect
from service.entities.entity import Entity, Lines
from service.sinks.rows import MARK_COLUMNS, group_rows, line_rows, mark_row

Trace = tuple[object, ...]
"""An event id and the coordinates of the record that it came with."""


class EventTables:
    """The tables of `entities` and their marks. `now` gives naive UTC."""

    def __init__(self, dialect: Dialect, entities: Mapping[str, Entity], now: Callable[[], datetime]) -> None:
        self._dialect = dialect
        self._entities = entities
        self._now = now

    async def write(
        self, transaction: Transaction, events: Sequence[Event], found: set[object], *, force: bool = False
    ) -> Written:
        """Tell known events from new ones, upsert what wins, mark what is new.

        Notes in `found` which marks and rows are there, also when it fails. With `force` an event is not
        known by the mark that its own record has left.
        """
        marks = await self._find_marks(transaction, events)
        found.update(marks)
        forced = await self._marked_themselves(transaction, events) if force else {}
        checked = check([event for event in events if id(event) not in forced] if forced else events, marks)
        # By identity: the same event may stand in a batch twice, with another outcome each time.
        outcomes = {id(event): Outcome.DUPLICATE for event in checked.duplicates}
        outcomes |= {id(event): Outcome.DEAD for event in checked.reused}

        wanted = _in_offset_order(*forced.values(), *checked.fresh) if forced else checked.fresh
        for name, fresh in _by_entity(wanted).items():
            entity = self._entities[name]
            outcomes |= await self._decide_and_upsert(transaction, entity, fresh, found, again=forced)
        await self._mark(transaction, [(event, outcomes[id(event)]) for event in checked.fresh])
        return Written(tuple((event, outcomes[id(event)]) for event in events))

    async def _find_marks(self, transaction: Transaction, events: Sequence[Event]) -> dict[bytes, Mark]:
        if not events:
            return {}
        columns = processed_events.c
        wanted = (columns.event_id, columns.entity, columns.entity_id)
        ids = sorted({event.event_id for event in events})
        rows = await transaction.read(self._dialect.select_in(wanted, columns.event_id, ids, lock=False))
        return {event_id: Mark(entity, entity_id) for event_id, entity, entity_id in rows}

    async def _marked_themselves(self, transaction: Transaction, events: Sequence[Event]) -> dict[int, Event]:
        """The events whose mark was left by their own record, not by a copy of it."""
        left = await self.traces(transaction, {event.event_id for event in events})
        return {id(event): event for event in events if trace(event) in left}

    async def traces(self, transaction: Transaction, event_ids: Collection[bytes]) -> set[Trace]:
        """Which records have left the marks of these ids."""
        if not event_ids:
            return set()
        columns = processed_events.c
        wanted = (columns.event_id, columns.topic, columns.partition_id, columns.record_offset)
        ids = sorted(event_ids)
        rows = await transaction.read(self._dialect.select_in(wanted, columns.event_id, ids, lock=False))
        return {tuple(row) for row in rows}

    async def _decide_and_upsert(
        self,
        transaction: Transaction,
        entity: Entity,
        events: Sequence[Event],
        found: set[object],
        *,
        again: Collection[int],
    ) -> dict[int, Outcome]:
        """Lock the rows of these events, fold each record's events into one row, write what won.

        `again` are the events, by identity, that were handled before.
        """
        stored = await self._lock_rows(transaction, entity, {event.entity_id for event in events})
        found.update((entity.name, entity_id) for entity_id in stored)
        passed = [
            event
            for event in events
            if id(event) in again and event.entity_id in stored and has_passed(stored[event.entity_id], event)
        ]
        outcomes = {id(event): Outcome.STALE for event in passed}
        events_by_id = _by_entity_id(event for event in events if id(event) not in outcomes)
        folded = [fold(stored.get(entity_id), own) for entity_id, own in events_by_id.items()]
        await self._upsert(transaction, entity, [each.change for each in folded if each.change])
        return outcomes | {id(event): outcome for each in folded for event, outcome in each.outcomes}

    async def _lock_rows(
        self, transaction: Transaction, entity: Entity, entity_ids: Iterable[int]
    ) -> dict[int, RowVersion]:
        columns = entity.table.c
        version = (columns.version, columns.occurred_at, columns.source_partition, columns.source_offset)
        # Every writer locks in the order of the key: no deadlocks among them.
        query = self._dialect.select_in((columns.id, *version), columns.id, sorted(entity_ids), lock=True)
        return {row[0]: RowVersion(*row[1:]) for row in await transaction.read(query)}

    async def _upsert(self, transaction: Transaction, entity: Entity, changes: Iterable[Change]) -> None:
        changes = sorted(changes, key=lambda change: change.entity_id)
        for group in group_rows(changes, entity.defaults, self._now()):
            build = self._dialect.insert if group.is_new else self._dialect.overwrite
            await transaction.write(build(entity.table, group.columns, group.rows))
        if entity.lines:
            await self._replace_lines(transaction, entity.lines, changes)

    async def _replace_lines(self, transaction: Transaction, lines: Lines, changes: Sequence[Change]) -> None:
        replaced = [change for change in changes if change.lines is not None]
        if replaced:
            orders = [change.entity_id for change in replaced]
            await transaction.write([self._dialect.delete_in(lines.table.c[lines.parent], orders)])
        columns, rows = line_rows(lines, replaced)
        if rows:
            await transaction.write(self._dialect.insert(lines.table, columns, rows))

    async def _mark(self, transaction: Transaction, fresh: Sequence[tuple[Event, Outcome]]) -> None:
        """Mark every id, stale ones too: a plain INSERT, so that a rival's mark turns us back."""
        if not fresh:
            return
        now = self._now()
        rows = sorted(mark_row(event, outcome, now) for event, outcome in fresh)
        await transaction.write(self._dialect.insert(processed_events, MARK_COLUMNS, rows))


def trace(item: Event | DeadLetter) -> Trace:
    """What the mark of this record says: its event id and its coordinates."""
    record = item.record
    return item.event_id, record.partition.topic, record.partition.number, record.offset


def _in_offset_order(*events: Event) -> list[Event]:
    return sorted(events, key=lambda event: event.record.offset)


def _by_entity(events: Iterable[Event]) -> dict[str, list[Event]]:
    groups: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        groups[event.entity].append(event)
    return groups


def _by_entity_id(events: Iterable[Event]) -> dict[int, list[Event]]:
    groups: dict[int, list[Event]] = defaultdict(list)
    for event in events:
        groups[event.entity_id].append(event)
    return groups
