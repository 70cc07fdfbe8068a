"""The transaction that keeps the promise: fence, check, decide, upsert, mark, dead letters, commit.

Called by the pipeline through the port `Sink`. Everything that happens to a batch in SQL happens here, in
one transaction, in this order; check, decide, upsert and mark are those of `sinks.events`, the rows those of
`sinks.rows`, the errors' names those of `service.database`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import (
    Delete,
    Row,
    Table,
    Update,
    and_,
    bindparam,
    case,
    delete,
    false,
    insert,
    select,
    update,
)

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
from service.core.errors import FenceLost, PermanentError, TemporaryError, Unavailable
from service.core.types import (
    DeadLetter,
    Event,
    Lease,
    Outcome,
    Partition,
    Record,
    StoredPosition,
    Work,
    Written,
)
from service.database import Database, Transaction
from service.entities.entity import Entity
from service.sinks.events import EventTables, trace
from service.sinks.rows import (
    digest,
    fits_packet,
    letter_row,
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
        self._events = EventTables(database.dialect, entities, now)
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
        record behind it has written since. With `dry_run` the transaction is rolled back at its end, as if it
        had never been. Raises what `apply` raises, but for `FenceLost`.
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
            written = await self._events.write(transaction, (event,), found)
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
        written = await self._events.write(transaction, work.events, found, force=force)
        await self._supersede(transaction, written.marked)
        reused = [event for event, outcome in written.outcomes if outcome is Outcome.DEAD]
        letters = await self._without_mark(transaction, work.letters)
        await self._bury(transaction, [*letters, *map(reused_letter, reused)])
        return written

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

    async def _without_mark(
        self, transaction: Transaction, letters: Sequence[DeadLetter]
    ) -> Sequence[DeadLetter]:
        """The letters of records that left no mark: one that was handled before is not given up now (I2)."""
        ids = {letter.event_id for letter in letters if letter.event_id}
        left = await self._events.traces(transaction, ids)
        return [letter for letter in letters if trace(letter) not in left]

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
        others = [lines.table] if lines else []
        # What the sink itself does to these tables: an account may have no other right.
        writes = (_rewrite_nothing(self._entities[entity].table), *map(_delete_nothing, others))
        try:
            async with self._database.transaction() as transaction:
                for write in (*writes, _delete_nothing(processed_events)):
                    await transaction.execute(write)
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


def _rewrite_nothing(table: Table) -> Update:
    """A write that needs the table and none of its rows."""
    key = next(iter(table.primary_key))
    return update(table).where(false()).values({key.name: key})


def _delete_nothing(table: Table) -> Delete:
    return delete(table).where(false())


def _is_letter_of(letter: Row[Any], record: Record | None) -> bool:
    return record is not None and letter.digest == digest(record)
