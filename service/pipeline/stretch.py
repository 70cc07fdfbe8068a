"""What a replay may read of a partition: pure, called by `upsertd replay` with what Kafka and SQL say now.

Records that the group has not reached yet are its own to handle first: one that was taken before the records
ahead of it would make these stale, and the fields that only they carry would be lost.
"""

from __future__ import annotations

from msgspec import Struct

from service.core.types import LogRange, Partition, StoredPosition
from service.pipeline.claim import Start


class Stretch(Struct, frozen=True):
    """What to read of a partition: from `begin` up to, not including, `end`; `remark` says why it is so."""

    partition: Partition
    begin: int
    end: int
    remark: str = ""


class BelowLog(Exception):
    """Records that were asked for are not in the log any more."""


def plan(partition: Partition, begin: int | None, until: int | None, log: LogRange, reached: int) -> Stretch:
    """The stretch from `begin` to `until`; raises `BelowLog` where it begins below the log.

    `begin` None: behind every record. `until` None, or beyond the log's end: to that end. `reached` is how
    far the group has come: a stretch that begins beyond it is empty.
    """
    if begin is not None and begin < log.beginning:
        raise BelowLog(f"the log of {partition} begins at {log.beginning}: what lies below is gone")
    if begin is None or begin >= log.end:
        return Stretch(partition, log.end, log.end, f"nothing: the log ends at {log.end}")
    if begin > reached:
        remark = f"nothing: the group stands at {reached} and has yet to come to {begin}"
        return Stretch(partition, begin, begin, remark)
    if until is None or until >= log.end:
        return Stretch(partition, begin, log.end, "the end as of now")
    return Stretch(partition, begin, max(begin, until))


def reached_offset(start: Start, stored: StoredPosition | None) -> int:
    """How far the group has come: everything below was handled, or left out on purpose.

    `start` is where its next claim would start; an operator's reset backwards makes nothing unhandled.
    """
    if stored is None or start.anew:
        return start.offset
    return max(start.offset, stored.handled_offset)
