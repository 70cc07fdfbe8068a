"""Marks and dead letters that are over, deleted batch by batch: the SQL of retention.

`stores.retention` calls these in rounds and says how fast; `core.retention` decides what is over. A page of
old rows is read by an index and without a lock; what is over among them is deleted by primary key, in key
order, where it is still what was read: several replicas may do this side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Row, bindparam, case, delete, or_, select

from service.bookkeeping import consumer_positions, dead_letter_actions, dead_letters, processed_events
from service.core.retention import GroupPosition, MarkRetention, letter_is_over, lowest_positions
from service.core.types import Partition
from service.database import Database

# A batch takes milliseconds. One that hangs must not keep others from the connection that they share.
TRANSACTION_SECONDS = 4.0

# Old marks may have to stay for long (of a quiet topic, of a group that is behind). As long as they are
# few, each round looks at all of them; more are passed over once in a while, and in between only what has
# become old since.
FEW_KEPT_MARKS = 5_000
WHOLE_WALK_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Step:
    """One batch: how many rows it `removed`, and whether anything is `left` to look at in this round.

    Rows that are over have waited for it for so long: `overdue`.
    """

    removed: int
    left: bool
    overdue: timedelta = timedelta(0)


class Purge(Protocol):
    """The rows of one table that are over."""

    table: str

    def begin(self) -> None:
        """A round begins."""

    async def step(self, rows: int) -> Step:
        """Look at the next `rows` old rows and delete those that are over.

        Raises `Unavailable`, `TemporaryError`; what was deleted then is found out by the next step.
        """


_marks = processed_events.c
_POSITIONS = select(
    consumer_positions.c.topic,
    consumer_positions.c.partition_id,
    consumer_positions.c.next_offset,
    consumer_positions.c.updated_at,
)
_OLD_MARKS = (
    select(_marks.event_id, _marks.topic, _marks.partition_id, _marks.record_offset, _marks.processed_at)
    .where(_marks.processed_at < bindparam("cut"))
    .order_by(_marks.processed_at, _marks.event_id)
    .limit(bindparam("rows"))
)
_OLD_MARKS_AFTER = _OLD_MARKS.where(
    _marks.processed_at >= bindparam("after"),
    or_(_marks.processed_at > bindparam("after"), _marks.event_id > bindparam("after_id")),
)
_DELETE_MARKS = delete(processed_events).where(
    _marks.event_id.in_(bindparam("ids", expanding=True)),
    # A rival may have deleted one that was then made anew. As a CASE: a server that sees two times to
    # compare may go by their index, and lock in its order.
    case((_marks.processed_at < bindparam("cut"), 1), else_=0) == 1,
)


class MarkPurge:
    """Purges the marks that are older than `keep` and lie `horizon_records` below their partition's position.

    `now` gives naive UTC.
    """

    table = processed_events.name

    def __init__(
        self, database: Database, keep: timedelta, horizon_records: int, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._keep = keep
        self._horizon_records = horizon_records
        self._now = now
        self._after: tuple[datetime, bytes] | None = None
        self._kept = 0
        self._walked_at: datetime | None = None

    def begin(self) -> None:
        """See `Purge`; begin at the oldest mark again, unless too many are passed over on the way."""
        now = self._now()
        if self._kept <= FEW_KEPT_MARKS or _is_due(self._walked_at, now):
            self._after, self._kept, self._walked_at = None, 0, now

    async def step(self, rows: int) -> Step:
        """See `Purge`."""
        cut = self._now() - self._keep
        retention, page = await self._read(cut, rows)
        over = sorted(
            row.event_id
            for row in page
            if retention.is_over(Partition(row.topic, row.partition_id), row.record_offset, row.processed_at)
        )
        removed = await self._delete(over, cut, rows) if over else 0
        self._kept += len(page) - len(over)
        if page:
            self._after = (page[-1].processed_at, page[-1].event_id)
        # Who finds less than it saw has met another replica at the same work, and leaves it to that one.
        overdue = cut - page[0].processed_at if over else timedelta(0)
        return Step(removed, left=len(page) == rows and removed == len(over), overdue=overdue)

    async def _read(self, cut: datetime, rows: int) -> tuple[MarkRetention, Sequence[Row[Any]]]:
        """The next marks made before `cut`, the oldest first, and the positions as they are now."""
        query, given = _OLD_MARKS, {"cut": cut, "rows": rows}
        if self._after is not None:
            query, given = (
                _OLD_MARKS_AFTER,
                given | dict(zip(("after", "after_id"), self._after, strict=True)),
            )
        async with self._database.transaction(TRANSACTION_SECONDS) as transaction:
            positions = (await transaction.execute(_POSITIONS)).all()
            page = (await transaction.execute(query, given)).all()
        lowest = lowest_positions(map(_group_position, positions), active_since=cut)
        return MarkRetention(cut, self._horizon_records, lowest), page

    async def _delete(self, ids: Sequence[bytes], cut: datetime, rows: int) -> int:
        # Always of the same length: statements that differ in it are prepared one by one, and a connection
        # forgets those of the lanes for them.
        padded = [*ids, *[ids[-1]] * (rows - len(ids))]
        async with self._database.transaction(TRANSACTION_SECONDS) as transaction:
            return (await transaction.execute(_DELETE_MARKS, {"ids": padded, "cut": cut})).rowcount


_letters = dead_letters.c
_LETTERS_AFTER = (
    select(_letters.id, _letters.status, _letters.first_failed_at, _letters.last_failed_at)
    .where(_letters.id > bindparam("after"))
    .order_by(_letters.id)
    .limit(bindparam("rows"))
)


class LetterPurge:
    """Purges the dead letters that failed last longer than `keep` ago, with what is noted of them.

    `now` gives naive UTC. Ids are given in the order of the first failure, so a round ends where letters
    are young; now and then one goes through all.
    """

    table = dead_letters.name

    def __init__(self, database: Database, keep: timedelta, now: Callable[[], datetime]) -> None:
        self._database = database
        self._keep = keep
        self._now = now
        self._after = 0
        self._all = True
        self._walked_at: datetime | None = None

    def begin(self) -> None:
        """See `Purge`."""
        now = self._now()
        self._after, self._all = 0, _is_due(self._walked_at, now)
        if self._all:
            self._walked_at = now

    async def step(self, rows: int) -> Step:
        """See `Purge`."""
        cut = self._now() - self._keep
        async with self._database.transaction(TRANSACTION_SECONDS) as transaction:
            page = (await transaction.execute(_LETTERS_AFTER, {"after": self._after, "rows": rows})).all()
        over = [row.id for row in page if letter_is_over(row.status, row.last_failed_at, cut)]
        removed = await self._delete(over, cut) if over else 0
        if page:
            self._after = page[-1].id
        has_old = any(row.first_failed_at < cut for row in page)
        return Step(removed, left=len(page) == rows and (has_old or self._all))

    async def _delete(self, ids: Sequence[int], cut: datetime) -> int:
        """Delete those that are still over once they are locked: an operator may want one back."""
        seen, dialect = (_letters.id, _letters.status, _letters.last_failed_at), self._database.dialect
        async with self._database.transaction(TRANSACTION_SECONDS) as transaction:
            (locked,) = await transaction.run(dialect.select_in(seen, _letters.id, ids, lock=True))
            over = [
                number for number, status, failed_at in locked.rows if letter_is_over(status, failed_at, cut)
            ]
            if over:
                actions = dialect.delete_in(dead_letter_actions.c.letter_id, over)
                await transaction.write(actions, dialect.delete_in(_letters.id, over))
        return len(over)


def _group_position(row: Row[Any]) -> GroupPosition:
    return GroupPosition(Partition(row.topic, row.partition_id), row.next_offset, row.updated_at)


def _is_due(last: datetime | None, now: datetime) -> bool:
    return last is None or now - last >= WHOLE_WALK_EVERY
