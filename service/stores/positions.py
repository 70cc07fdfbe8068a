"""The rows of `consumer_positions` as operators see and move them; `upsertd positions` works here.

Lanes read and write their own row through the sink. A reset here only changes a row: a running lane
notices that within seconds and claims anew, a stopped one finds it at its next start.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, update

from service.bookkeeping import (
    consumer_positions,
    is_position_of,
    position_columns,
    position_key,
    position_of,
    position_values,
)
from service.core.errors import TemporaryError
from service.core.types import OPERATOR, Partition, StoredPosition
from service.database import Database, Transaction
from service.sql_errors import DuplicateKey

RESET_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Target:
    """Where a partition is to begin anew: at `offset` of its log in the Kafka cluster `cluster_id`."""

    partition: Partition
    offset: int
    cluster_id: str


@dataclass(frozen=True, slots=True)
class Reset:
    """What a reset found and what it wrote; `before` is None where there was no row."""

    before: StoredPosition | None
    after: StoredPosition


async def read_positions(database: Database, group_id: str) -> dict[Partition, StoredPosition]:
    """Every position of a group. Raises `Unavailable`."""
    columns = consumer_positions.c
    query = select(columns.topic, columns.partition_id, *position_columns).where(columns.group_id == group_id)
    async with database.transaction() as transaction:
        rows = (await transaction.execute(query)).all()
    return {Partition(row.topic, row.partition_id): position_of(row) for row in rows}


async def reset_position(
    database: Database, group_id: str, target: Target, now: Callable[[], datetime]
) -> Reset:
    """Let a partition begin anew at `target`; whoever owned it has to claim again.

    `now` gives naive UTC. Raises `Unavailable`, and `TemporaryError` when the row stays locked.
    """
    for attempt in range(RESET_ATTEMPTS):
        try:
            async with database.transaction() as transaction:
                return await _reset(transaction, group_id, target, now())
        except (DuplicateKey, TemporaryError):
            # A lane inserted its first claim, or holds the row: the next attempt sees what it wrote.
            if attempt == RESET_ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


async def _reset(transaction: Transaction, group_id: str, target: Target, now: datetime) -> Reset:
    here = is_position_of(group_id, target.partition)
    row = (await transaction.execute(select(*position_columns).where(here).with_for_update())).one_or_none()
    before = None if row is None else position_of(row)
    after = position_after_reset(before, target)
    values = position_values(after) | {"updated_at": now}
    if before is None:
        await transaction.execute(
            insert(consumer_positions), [position_key(group_id, target.partition) | values]
        )
    else:
        await transaction.execute(update(consumer_positions).where(here).values(values))
    return Reset(before, after)


async def hand_back(database: Database, group_id: str, reset: Reset, partition: Partition) -> None:
    """Make a row that was reset nobody's: the group's offset has followed, and counts again."""
    row = is_position_of(group_id, partition) & (consumer_positions.c.claim_id == reset.after.claim_id)
    async with database.transaction() as transaction:
        await transaction.execute(update(consumer_positions).where(row).values(owner=None))


def position_after_reset(before: StoredPosition | None, target: Target) -> StoredPosition:
    """The row that a reset writes, under a fresh claim and a fresh cache namespace."""
    return StoredPosition(
        next_offset=target.offset,
        # Nothing that was handled before counts any more, and no cache entry of that time is a hit.
        handled_offset=target.offset,
        handled_from=target.offset,
        cache_namespace=secrets.token_hex(8),
        # The owner's fence fails from now on.
        claim_id=secrets.token_hex(16),
        epoch=1 if before is None else before.epoch + 1,
        # The next claim obeys the operator's row, whatever the group's offset says.
        owner=OPERATOR,
        cluster_id=target.cluster_id,
    )
