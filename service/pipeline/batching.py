"""The bounds of a batch: how many records, how many bytes, how long to wait for more. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from service.core.types import Batch, Record

# What the lanes of a process have in hand together: few large batches, or many small ones. With more the loop
# is away from Kafka, Redis and the probes for too long, and memory grows with the number of partitions.
IN_HAND_RECORDS = 10_000
# Below this the round trips of a transaction cost more than its records.
FEWEST_RECORDS = 250


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Bounds of a batch. Without a linger a lane takes what is there: one record or many."""

    max_records: int = 2500
    max_bytes: int = 1024 * 1024
    linger_seconds: float = 0.0

    def shared_by(self, lanes: int) -> BatchLimits:
        """The limits of one of so many lanes: fewer records for each where there are many of them."""
        share = max(FEWEST_RECORDS, IN_HAND_RECORDS // max(lanes, 1))
        return replace(self, max_records=min(self.max_records, share))


def size_bytes(batch: Batch) -> int:
    """The bytes of a batch's records: keys, values and headers."""
    return sum([record.size_bytes for record in batch.records])


class Parted(NamedTuple):
    """A batch in parts that have at most so many bytes, and how many records of its mean size they have."""

    parts: list[Batch]
    fitting_records: int


def parted(batch: Batch, max_bytes: int) -> Parted:
    """Split a batch so that each part has at most `max_bytes`, or a single record."""
    size = size_bytes(batch)
    mean_bytes = size // max(len(batch.records), 1) + 1
    parts = [batch] if size <= max_bytes else _within(max_bytes, batch)
    return Parted(parts, max(1, max_bytes // mean_bytes))


def _within(max_bytes: int, batch: Batch) -> list[Batch]:
    parts: list[Batch] = []
    records: list[Record] = []
    filled = 0
    for record in batch.records:
        if records and filled + record.size_bytes > max_bytes:
            parts.append(Batch(tuple(records), record.offset))
            records, filled = [], 0
        records.append(record)
        filled += record.size_bytes
    return [*parts, Batch(tuple(records), batch.end)]
