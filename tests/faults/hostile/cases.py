"""An input: the record that a hostile producer sends to the topic of an entity."""

from __future__ import annotations

from dataclasses import dataclass

from service.core.types import Partition, Record

CLUSTER = "hostile-cluster"
NOON_MS = 1_795_251_600_000
CANARY = "canary7c31"
"""Stands in texts and names: no message may quote it (I9)."""
CANARY_DIGITS = "73104229"
"""The same for numbers."""

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Case:
    """What is sent; `table` is the entity's, and its topic."""

    table: str
    key: bytes | None
    value: bytes | None
    timestamp_ms: int = NOON_MS
    headers: Headers = ()

    def record(self, offset: int = 5, partition: int = 0) -> Record:
        """The record that the source would hand over."""
        place = Partition(self.table, partition)
        return Record(place, offset, self.timestamp_ms, self.key, self.value, self.headers, CLUSTER)
