"""What nothing can need any more, pure: which marks and dead letters are over, and how many go at a time.

`stores.purging` reads, asks here, and deletes. Copies of an event that arrive after its mark has gone are
held back by their version alone, so a mark stays until it is old *and* its record is far behind everybody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.core.types import LetterStatus, Partition

# Powers of two: few sizes, so that few statements are prepared for them. More rows at once than the most
# keep the event loop for milliseconds, in which no lane gets on; fewer than the fewest cost as much.
FIRST_ROWS = 64
MOST_ROWS = 128
FEWEST_ROWS = 32
# What one batch may take while the lanes want the database for themselves. Not less: its few round trips
# alone take long where the database is far away, and small batches would not make them shorter.
BATCH_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class GroupPosition:
    """Where one group stands in a partition; it last moved at `updated_at` (naive UTC)."""

    partition: Partition
    next_offset: int
    updated_at: datetime


def lowest_positions(positions: Iterable[GroupPosition], active_since: datetime) -> dict[Partition, int]:
    """The offset of each partition that no group reads below, unless somebody resets it.

    A group that has not moved since `active_since` (naive UTC) does not count beside one that has: it may
    never come back. Where none has, all of them count.
    """
    by_partition: dict[Partition, list[GroupPosition]] = defaultdict(list)
    for position in positions:
        by_partition[position.partition].append(position)
    return {
        partition: min(each.next_offset for each in _that_count(groups, active_since))
        for partition, groups in by_partition.items()
    }


def _that_count(groups: Sequence[GroupPosition], active_since: datetime) -> Sequence[GroupPosition]:
    return [each for each in groups if each.updated_at >= active_since] or groups


@dataclass(frozen=True, slots=True)
class MarkRetention:
    """Which marks are over: made before `cut` (naive UTC), of records more than `horizon_records` behind.

    `lowest` is what `lowest_positions` says. A partition that is not in it keeps its marks: whoever claims
    it first begins at its earliest record, and needs all of them.
    """

    cut: datetime
    horizon_records: int
    lowest: Mapping[Partition, int]

    def is_over(self, partition: Partition, offset: int, processed_at: datetime) -> bool:
        """Whether the mark of the record at `offset`, made at `processed_at`, may go."""
        lowest = self.lowest.get(partition)
        return processed_at < self.cut and lowest is not None and offset < lowest - self.horizon_records


def letter_is_over(status: str, last_failed_at: datetime, cut: datetime) -> bool:
    """Whether a letter that failed last before `cut` may go: any but one that is still to be tried again."""
    return status != LetterStatus.RETRYING and last_failed_at < cut


def rows_of_next_batch(rows: int, seconds: float) -> int:
    """How many rows to take after a batch of `rows` that took `seconds`."""
    if seconds > 2 * BATCH_SECONDS:
        return max(FEWEST_ROWS, rows // 2)
    return min(MOST_ROWS, 2 * rows) if seconds < BATCH_SECONDS / 2 else rows
