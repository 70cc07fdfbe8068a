"""The transaction that keeps the promise: fence, check, decide, upsert, mark, dead letters, commit.

Called by the pipeline through the port `Sink`. Everything that happens to a batch in SQL happens here, in
one transaction, in this order; check, decide, upsert and mark are those of `sinks.events`, the rows those of
`sinks.rows`, the errors' names those of `service.database`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy import (
    Delete,
    Table,
    Update,
    and_,
    bindparam,
    case,
    delete,
    false,
    insert,
    or_,
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
from service.core.errors import FenceLost, PermanentError, TemporaryError, Unavailable, UpsertdError
from service.core.types import (
    DeadLetter,
    Event,
    Lease,
    Outcome,
    Partition,
    StoredPosition,
    Work,
    Written,
)
from service.database import Database, Transaction
from service.dialects.dialect import Answer, Statement
from service.entities.entity import Entity
from service.sinks.events import Attempt, EventTables, trace, traces_in
from service.sinks.look_ups import EVERYTHING, LookUp, LookUps
from service.sinks.rows import digest, fits_packets, letter_row, reused_letter
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
    or_(*(dead_letters.c.status == status for status in OPEN_STATUSES)),
)
# The answers of a transaction that are not named by an entity's table.
_FENCE, _LETTERS, _TRACES = "fence", dead_letters.name, "traces"

Result = TypeVar("Result")


class _DryRun(Exception):
    """Rolls a transaction back that has come to its end."""

    def __init__(self, written: Written) -> None:
        super().__init__()
        self.written = written


class SqlSink:
    """Writes batches of one consumer group into the tables of `entities`.

    `now` gives naive UTC, for the columns that say when a row was written, `look_ups` what need not be looked
    for before it is written.
    """

    def __init__(
        self,
        database: Database,
        entities: Mapping[str, Entity],
        group_id: str,
        now: Callable[[], datetime],
        look_ups: LookUps | None = None,
    ) -> None:
        self._database = database
        self._entities = entities
        self._group_id = group_id
        self._now = now
        self._dialect = database.dialect
        self._events = EventTables(database.dialect, entities, now)
        # None: not known yet, or there is none.
        self._max_packet_bytes: int | None = None
        self._look_ups = look_ups or LookUps()

    # ---------------------------------------------------------------- the transaction of a batch

    async def apply(self, work: Work, lease: Lease) -> Written:
        """Write `work`, or nothing; see the port."""

        async def write(transaction: Transaction, attempt: Attempt) -> Written:
            return await self._write(transaction, work, lease, attempt)

        return await self._past_rivals(work.events, write, look_up=False)

    async def replay(self, work: Work, *, force: bool = False, dry_run: bool = False) -> Written:
        """Write `work` again, whoever owns its partition: without the fence, and without moving a position.

        With `force` an event is not known by the mark that its own record has left; it changes no row that a
        record behind it has written since. With `dry_run` the transaction is rolled back at its end, as if it
        had never been. Raises what `apply` raises, but for `FenceLost`.
        """

        async def write(transaction: Transaction, attempt: Attempt) -> Written:
            answers = await self._ask(transaction, self._questions(work, attempt))
            forced = await self._handled_themselves(transaction, work.events) if force else ()
            written = await self._handle(transaction, work, answers, attempt, forced)
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

        async def write(transaction: Transaction, attempt: Attempt) -> Outcome:
            await hold(transaction)
            work = Work((event,), (), event.record.offset)
            answers = await self._ask(transaction, self._questions(work, attempt))
            _require_all(answers)
            decided = self._events.decide(work.events, answers, attempt)
            await transaction.write(*decided.statements)
            ((_, outcome),) = decided.written.outcomes
            # First this letter, in its own way; then those of other records that the event makes good.
            await close(transaction, outcome)
            await self._supersede(transaction, decided.written.marked, answers)
            return outcome

        return await self._past_rivals((event,), write)

    async def _past_rivals(
        self,
        events: Sequence[Event],
        write: Callable[[Transaction, Attempt], Awaitable[Result]],
        *,
        look_up: bool = True,
    ) -> Result:
        """Run a transaction; when a mark or row was there first, run it again: it looks for it then.

        `write` notes in its attempt which marks and rows are there. A rerun that fails the same way without
        having found anything new is a permanent failure, never a loop. Without `look_up` the first run takes
        for new what `look_ups` says.
        """
        await self._refuse_oversized(events)
        partition = events[0].record.partition if events else None
        looked = look_for = EVERYTHING if look_up else self._look_ups.next(partition)
        known: set[object] | None = None
        while True:
            attempt = Attempt(again=known is not None, look_up=look_for)
            try:
                async with self._database.transaction() as transaction:
                    result = await write(transaction, attempt)
            except DuplicateKey as rival:
                if known is not None and attempt.found <= known:
                    raise PermanentError(str(rival), error_class="DuplicateKey") from rival
                known = attempt.found
            except PermanentError:
                # Before a record is blamed: a copy is a duplicate, and what is stale is not written at all.
                if look_for == EVERYTHING:
                    raise
            except UpsertdError:
                self._look_ups.doubt(partition)
                raise
            else:
                met = LookUp(bool(attempt.found_marks), bool(attempt.found_rows))
                self._look_ups.note(partition, len(events), looked, met)
                return result
            look_for = EVERYTHING

    async def _write(self, transaction: Transaction, work: Work, lease: Lease, attempt: Attempt) -> Written:
        """The steps in their order; notes in `attempt` which marks and rows are there, also when it fails."""
        asked = {_FENCE: self._advance(lease, work.end), **self._questions(work, attempt)}
        answers = await self._ask(transaction, asked)
        _require_fence(answers[_FENCE], lease)
        return await self._handle(transaction, work, answers, attempt)

    def _questions(self, work: Work, attempt: Attempt) -> dict[str, Statement]:
        """What has to be known before anything is written, by table; rows that may change are locked."""
        questions = self._events.questions(work.events, attempt)
        if work.events:
            questions[_LETTERS] = _open_letters(work.events)
        if ids := {letter.event_id for letter in work.letters if letter.event_id}:
            questions[_TRACES] = self._events.traces(ids)
        return questions

    async def _ask(self, transaction: Transaction, asked: Mapping[str, Statement]) -> dict[str, Answer]:
        return dict(zip(asked, await transaction.run(*asked.values()), strict=True))

    async def _handle(
        self,
        transaction: Transaction,
        work: Work,
        answers: Mapping[str, Answer],
        attempt: Attempt,
        forced: Collection[int] = (),
    ) -> Written:
        """Everything of a batch but its position."""
        _require_all(answers)
        written, statements = self._events.decide(work.events, answers, attempt, forced)
        reused = [event for event, outcome in written.outcomes if outcome is Outcome.DEAD]
        letters = [*_without_mark(work.letters, answers), *map(reused_letter, reused)]
        await transaction.write(*statements, *self._bury(letters))
        await self._supersede(transaction, written.marked, answers)
        return written

    def _advance(self, lease: Lease, end: int) -> Statement:
        """Move the position, if it is still ours and where we left it: the first statement of all."""
        held = {
            "group": self._group_id,
            "of_topic": lease.partition.topic,
            "of_partition": lease.partition.number,
            "claim": lease.claim_id,
            "expected": lease.expected,
        }
        return Statement(_ADVANCE, held | {"end": end, "now": self._now()})

    async def _handled_themselves(self, transaction: Transaction, events: Sequence[Event]) -> set[int]:
        """The events, by identity, whose mark was left by their own record, not by a copy of it."""
        if not events:
            return set()
        (answer,) = await transaction.run(self._events.traces({event.event_id for event in events}))
        left = traces_in(answer)
        return {id(event) for event in events if trace(event) in left}

    async def _supersede(
        self, transaction: Transaction, marked: Sequence[Event], answers: Mapping[str, Answer]
    ) -> None:
        """Close the letters of records that have a mark now: the two never stand open together (I2)."""
        letters = answers[_LETTERS].rows if marked else ()
        if not letters:
            return
        records = {event.record.offset: event.record for event in marked}
        settled = [
            number
            for number, offset, its_digest in letters
            if offset in records and digest(records[offset]) == its_digest
        ]
        if settled:
            still_open = and_(dead_letters.c.id.in_(settled), dead_letters.c.status.in_(OPEN_STATUSES))
            close = update(dead_letters).where(still_open)
            await transaction.execute(close.values(status="superseded", next_attempt_at=None))

    def _bury(self, letters: Sequence[DeadLetter]) -> Iterator[Statement]:
        if letters:
            now = self._now()
            rows = [letter_row(letter, now, self._max_packet_bytes) for letter in letters]
            values = [tuple(row.values()) for row in rows]
            yield self._dialect.insert_once(dead_letters, tuple(rows[0]), values)

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
        if not fits_packets(events, self._max_packet_bytes):
            raise PermanentError("larger than max_allowed_packet", error_class="RecordTooLarge")

    async def _learn_packet_limit(self) -> None:
        query = self._dialect.packet_limit()
        if query is not None and self._max_packet_bytes is None:
            async with self._database.transaction() as transaction:
                (answer,) = await transaction.run(query)
                ((limit,),) = answer.rows
                self._max_packet_bytes = int(limit)


def _rewrite_nothing(table: Table) -> Update:
    """A write that needs the table and none of its rows."""
    key = next(iter(table.primary_key))
    return update(table).where(false()).values({key.name: key})


def _delete_nothing(table: Table) -> Delete:
    return delete(table).where(false())


def _require_all(answers: Mapping[str, Answer]) -> None:
    """Raise the first failure: nothing may be written after one, for the transaction may be gone."""
    for answer in answers.values():
        answer.check()


def _require_fence(moved: Answer, lease: Lease) -> None:
    try:
        found = moved.count
    except TemporaryError as error:
        # A position's row that is locked or fought over says nothing about the records.
        raise Unavailable(f"position is locked: {error}", part="database") from error
    if found != 1:
        raise FenceLost(f"{lease.partition} is not at {lease.expected} under our claim")


def _open_letters(events: Sequence[Event]) -> Statement:
    """The question which letters of the records from the first to the last of `events` are open."""
    offsets = [event.record.offset for event in events]
    partition = events[0].record.partition
    # A lane's records lie close together; letters hardly ever do.
    between = {"first": min(offsets), "last": max(offsets)}
    return Statement(_OPEN_LETTERS, {"of_topic": partition.topic, "of_partition": partition.number} | between)


def _without_mark(letters: Sequence[DeadLetter], answers: Mapping[str, Answer]) -> Sequence[DeadLetter]:
    """The letters of records that left no mark: one that was handled before is not given up now (I2)."""
    left = traces_in(answers[_TRACES]) if _TRACES in answers else set()
    return [letter for letter in letters if trace(letter) not in left]
