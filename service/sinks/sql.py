"""The transaction that keeps the promise: fence, check, decide, upsert, mark, dead letters, commit.

Called by the pipeline through the port `Sink`. Everything that happens to a batch in SQL happens here, in
one transaction, in this order; the pure decisions come from `core.decide`, the rows from `sinks.rows`, the
multi-row statements from the database's dialect, the errors' names from `service.database`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Row, Table, Update, and_, bindparam, case, false, insert, select, update

from service.bookkeeping import (
    OPEN_STATUSES,
    consumer_positions,
    dead_letters,
    is_position_of,
    position_columns,
    position_key,
    position_of,
    position_values,
    processed_events,
)
from service.core.decide import Change, check, fold, has_passed
from service.core.errors import FenceLost, PermanentError, TemporaryError, Unavailable
from service.core.types import (
    DeadLetter,
    Event,
    Lease,
    Mark,
    Outcome,
    Partition,
    Record,
    RowVersion,
    StoredPosition,
    Work,
    Written,
)
from service.database import Database, Transaction
from service.entities.entity import Entity, Lines
from service.sinks.rows import (
    MARK_COLUMNS,
    digest,
    fits_packet,
    group_rows,
    letter_row,
    line_rows,
    mark_row,
    reused_letter,
)
from service.sql_errors import DuplicateKey

# Built once: every batch runs these two, and building them took longer than running them.
_ADVANCE = (
    update(consumer_positions)
    .where(
        consumer_positions.c.group_id == bindparam("group"),
        consumer_positions.c.topic == bindparam("of_topic"),
        consumer_positions.c.partition_id == bindparam("of_partition"),
        consumer_positions.c.claim_id == bindparam("claim"),
        consumer_positions.c.next_offset == bindparam("expected"),
    )
    .values(
        next_offset=bindparam("end"),
        handled_offset=case(
            (consumer_positions.c.handled_offset < bindparam("end"), bindparam("end")),
            else_=consumer_positions.c.handled_offset,
        ),
        updated_at=bindparam("now"),
    )
)
_OPEN_LETTERS = select(dead_letters.c.id, dead_letters.c.record_offset, dead_letters.c.digest).where(
    dead_letters.c.topic == bindparam("of_topic"),
    dead_letters.c.partition_id == bindparam("of_partition"),
    dead_letters.c.record_offset.between(bindparam("first"), bindparam("last")),
    dead_letters.c.status.in_(OPEN_STATUSES),
)


Result = TypeVar("Result")
Trace = tuple[object, ...]


class _DryRun(Exception):
    """Rolls a transaction back that has come to its end."""

    def __init__(self, written: Written) -> None:
        super().__init__()
        self.written = written


class SqlSink:
    """Writes batches of one consumer group into the tables of `entities`.

    `now` gives naive UTC, for the columns that say when a row was written.
    """

    def __init__(
        self,
        database: Database,
        entities: Mapping[str, Entity],
        group_id: str,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._entities = entities
        self._group_id = group_id
        self._now = now
        self._dialect = database.dialect
        # None: not known yet, or there is none.
        self._max_packet_bytes: int | None = None

    # ---------------------------------------------------------------- the transaction of a batch

    async def apply(self, work: Work, lease: Lease) -> Written:
        """Write `work`, or nothing; see the port."""

        async def write(transaction: Transaction, found: set[object]) -> Written:
            return await self._write(transaction, work, lease, found)

        return await self._past_rivals(work.events, write)

    async def replay(self, work: Work, *, force: bool = False, dry_run: bool = False) -> Written:
        """Write `work` again, whoever owns its partition: without the fence, and without moving a position.

        With `force` an event is not known by the mark that its own record has left; it changes no row that a
        record behind it has written since. With `dry_run` the
        transaction is rolled back at its end, as if it had never been. Raises what `apply` raises, but for
        `FenceLost`.
        """

        async def write(transaction: Transaction, found: set[object]) -> Written:
            written = await self._handle(transaction, work, found, force=force)
            if dry_run:
                raise _DryRun(written)
            return written

        try:
            return await self._past_rivals(work.events, write)
        except _DryRun as end:
            return end.written

    async def settle(
        self,
        event: Event,
        hold: Callable[[Transaction], Awaitable[None]],
        close: Callable[[Transaction, Outcome], Awaitable[None]],
    ) -> Outcome:
        """One event in a transaction that begins with `hold` and ends with `close`, which hears the outcome.

        Raises what `hold` raises, and what `apply` raises.
        """

        async def write(transaction: Transaction, found: set[object]) -> Outcome:
            await hold(transaction)
            written = await self._decide(transaction, (event,), found)
            ((_, outcome),) = written.outcomes
            await close(transaction, outcome)
            await self._supersede(transaction, written.marked)
            return outcome

        return await self._past_rivals((event,), write)

    async def _past_rivals(
        self, events: Sequence[Event], write: Callable[[Transaction, set[object]], Awaitable[Result]]
    ) -> Result:
        """Run a transaction; when a rival inserts the same mark or row first, run it again: it sees it then.

        `write` notes which marks and rows are there. A rerun that fails the same way without having found
        anything new is a permanent failure, never a loop.
        """
        await self._refuse_oversized(events)
        known: set[object] | None = None
        while True:
            found: set[object] = set()
            try:
                async with self._database.transaction() as transaction:
                    return await write(transaction, found)
            except DuplicateKey as rival:
                if known is not None and found <= known:
                    raise PermanentError(str(rival), error_class="DuplicateKey") from rival
                known = found

    async def _write(self, transaction: Transaction, work: Work, lease: Lease, found: set[object]) -> Written:
        """The steps in their order; notes in `found` which marks and rows are there, also when it fails."""
        await self._fence(transaction, lease, work.end)
        return await self._handle(transaction, work, found)

    async def _handle(
        self, transaction: Transaction, work: Work, found: set[object], *, force: bool = False
    ) -> Written:
        """Everything of a batch but its position."""
        written = await self._decide(transaction, work.events, found, force=force)
        await self._supersede(transaction, written.marked)
        reused = [event for event, outcome in written.outcomes if outcome is Outcome.DEAD]
        letters = await self._without_mark(transaction, work.letters)
        await self._bury(transaction, [*letters, *map(reused_letter, reused)])
        return written

    async def _decide(
        self, transaction: Transaction, events: Sequence[Event], found: set[object], *, force: bool = False
    ) -> Written:
        """Tell known events from new ones, upsert what wins, mark what is new."""
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

    async def _fence(self, transaction: Transaction, lease: Lease, end: int) -> None:
        """Move the position, if it is still ours and where we left it: the first statement of all."""
        held = {
            "group": self._group_id,
            "of_topic": lease.partition.topic,
            "of_partition": lease.partition.number,
            "claim": lease.claim_id,
            "expected": lease.expected,
        }
        try:
            moved = await transaction.execute(_ADVANCE, held | {"end": end, "now": self._now()})
        except TemporaryError as error:
            # A position's row that is locked or fought over says nothing about the records.
            raise Unavailable(f"position is locked: {error}", part="database") from error
        if moved.rowcount != 1:
            raise FenceLost(f"{lease.partition} is not at {lease.expected} under our claim")

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
        left = await self._traces(transaction, {event.event_id for event in events})
        return {id(event): event for event in events if _trace(event) in left}

    async def _without_mark(
        self, transaction: Transaction, letters: Sequence[DeadLetter]
    ) -> Sequence[DeadLetter]:
        """The letters of records that left no mark: one that was handled before is not given up now (I2)."""
        left = await self._traces(transaction, {letter.event_id for letter in letters if letter.event_id})
        return [letter for letter in letters if _trace(letter) not in left]

    async def _traces(self, transaction: Transaction, event_ids: Collection[bytes]) -> set[Trace]:
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

    async def _supersede(self, transaction: Transaction, marked: Sequence[Event]) -> None:
        """Close the letters of records that have a mark now: the two never stand open together (I2)."""
        if not marked:
            return
        partition = marked[0].record.partition
        records = {event.record.offset: event.record for event in marked}
        # A lane's records lie close together; letters hardly ever do.
        between = {"first": min(records), "last": max(records)}
        of = {"of_topic": partition.topic, "of_partition": partition.number}
        found = await transaction.execute(_OPEN_LETTERS, of | between)
        settled = [row.id for row in found if _is_letter_of(row, records.get(row.record_offset))]
        if settled:
            still_open = and_(dead_letters.c.id.in_(settled), dead_letters.c.status.in_(OPEN_STATUSES))
            close = update(dead_letters).where(still_open)
            await transaction.execute(close.values(status="superseded", next_attempt_at=None))

    async def _bury(self, transaction: Transaction, letters: Sequence[DeadLetter]) -> None:
        if not letters:
            return
        now = self._now()
        rows = [letter_row(letter, now, self._max_packet_bytes) for letter in letters]
        values = [tuple(row.values()) for row in rows]
        await transaction.write(self._dialect.insert_once(dead_letters, tuple(rows[0]), values))

    # ---------------------------------------------------------------- positions and claims

    async def position(self, partition: Partition) -> StoredPosition | None:
        """The position's row as committed now."""
        query = select(*position_columns).where(is_position_of(self._group_id, partition))
        async with self._database.transaction() as transaction:
            row = (await transaction.execute(query)).one_or_none()
        return None if row is None else position_of(row)

    async def claim(self, partition: Partition, seen: StoredPosition | None, claimed: StoredPosition) -> bool:
        """Write `claimed` in one statement that holds only if the row is still what was `seen`."""
        values = position_values(claimed) | {"updated_at": self._now()}
        try:
            async with self._database.transaction() as transaction:
                if seen is None:
                    row = position_key(self._group_id, partition) | values
                    await transaction.execute(insert(consumer_positions), [row])
                    return True
                unchanged = and_(
                    is_position_of(self._group_id, partition),
                    consumer_positions.c.claim_id == seen.claim_id,
                    consumer_positions.c.next_offset == seen.next_offset,
                )
                take = update(consumer_positions).where(unchanged).values(values)
                return (await transaction.execute(take)).rowcount == 1
        except DuplicateKey:
            return False
        except TemporaryError as error:
            raise Unavailable(f"position is locked: {error}", part="database") from error

    async def ping(self) -> None:
        """Raise `Unavailable` unless the database answers."""
        await self._database.ping()

    async def check_writable(self, entity: str) -> None:
        """Raise `Unavailable` when a table of `entity` is locked as a whole; locked rows do not count."""
        lines = self._entities[entity].lines
        tables = (self._entities[entity].table, *([lines.table] if lines else []), processed_events)
        try:
            async with self._database.transaction() as transaction:
                for table in tables:
                    await transaction.execute(_touching_nothing(table))
        except TemporaryError as error:
            raise Unavailable(f"tables of {entity} are locked: {error}", part="database") from error

    # ---------------------------------------------------------------- what fits into a packet

    async def _refuse_oversized(self, events: Sequence[Event]) -> None:
        """Raise `PermanentError` for a row that no statement can carry: it would look like an outage."""
        await self._learn_packet_limit()
        if not all(fits_packet(event, self._max_packet_bytes) for event in events):
            raise PermanentError("larger than max_allowed_packet", error_class="RecordTooLarge")

    async def _learn_packet_limit(self) -> None:
        query = self._dialect.packet_limit()
        if query is not None and self._max_packet_bytes is None:
            async with self._database.transaction() as transaction:
                ((limit,),) = await transaction.read(query)
                self._max_packet_bytes = int(limit)


def _touching_nothing(table: Table) -> Update:
    """A write that needs the table and none of its rows."""
    key = next(iter(table.primary_key))
    return update(table).where(false()).values({key.name: key})


def _in_offset_order(*events: Event) -> list[Event]:
    return sorted(events, key=lambda event: event.record.offset)


def _trace(item: Event | DeadLetter) -> Trace:
    """What the mark of this record says: its event id and its coordinates."""
    record = item.record
    return item.event_id, record.partition.topic, record.partition.number, record.offset


def _is_letter_of(letter: Row[Any], record: Record | None) -> bool:
    return record is not None and letter.digest == digest(record)


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
