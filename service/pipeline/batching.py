"""The bounds of a batch: how many records, how many bytes, how long to wait for more. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from service.core.types import Batch, Record


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Bounds of a batch. Without a linger a lane takes what is there: one record or many."""

    max_records: int = 1000
    max_bytes: int = 1024 * 1024
    linger_seconds: float = 0.0


def size_bytes(batch: Batch) -> int:
    """The bytes of a batch's records: keys, values and headers."""
    return sum(record.size_bytes for record in batch.records)


def fitting_records(batch: Batch, limits: BatchLimits) -> int:
    """How many records to ask for next, so that records of this size stay within the bytes."""
    if not batch.records:
        return limits.max_records
    mean_bytes = size_bytes(batch) // len(batch.records) + 1
    return max(1, min(limits.max_records, limits.max_bytes // mean_bytes))


def within_bytes(batch: Batch, max_bytes: int) -> list[Batch]:
    """Split a batch so that each part has at most `max_bytes`, or a single record."""
    if size_bytes(batch) <= max_bytes:
        return [batch]
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
