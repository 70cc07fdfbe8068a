"""What operators do to dead letters besides trying them again: discard, correct, open anew.

Called by `upsertd dead-letters`. Every action is recorded in the transaction that takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from sqlalchemy import insert, select, update

from service.bookkeeping import OPEN_STATUSES, action_row, dead_letter_actions, dead_letters
from service.core.types import Action, LetterStatus
from service.database import Database


async def discard(
    database: Database, ids: Collection[int], action: Action, now: Callable[[], datetime]
) -> Sequence[int]:
    """Close those of the letters that are open; returns their ids, in order. Raises `Unavailable`."""
    columns = dead_letters.c
    still_open = (
        select(columns.id)
        .where(columns.id.in_(ids), columns.status.in_(OPEN_STATUSES))
        .order_by(columns.id)
        .with_for_update()
    )
    async with database.transaction() as transaction:
        found = list((await transaction.execute(still_open)).scalars())
        if found:
            close = update(dead_letters).where(columns.id.in_(found))
            discarded = LetterStatus.DISCARDED
            await transaction.execute(close.values(status=discarded.value, next_attempt_at=None))
            rows = [action_row(letter_id, action, discarded, now()) for letter_id in found]
            await transaction.execute(insert(dead_letter_actions), rows)
    return found


async def reopen(database: Database, letter_id: int) -> None:
    """Make a discarded letter dead again, so that it can be tried. Raises `Unavailable`."""
    columns = dead_letters.c
    row = (columns.id == letter_id) & (columns.status == LetterStatus.DISCARDED.value)
    async with database.transaction() as transaction:
        await transaction.execute(update(dead_letters).where(row).values(status=LetterStatus.DEAD.value))


async def correct(
    database: Database, letter_id: int, value: bytes, action: Action, now: Callable[[], datetime]
) -> None:
    """Keep `value` beside the record's own: what is tried from now on. Raises `Unavailable`."""
    columns = dead_letters.c
    row = (columns.id == letter_id) & columns.status.in_(OPEN_STATUSES)
    async with database.transaction() as transaction:
        status = (await transaction.execute(select(columns.status).where(row).with_for_update())).scalar()
        if status is not None:
            await transaction.execute(update(dead_letters).where(row).values(corrected_value=value))
            done = action_row(letter_id, action, LetterStatus(status), now())
            await transaction.execute(insert(dead_letter_actions), [done])
