"""The processed-event cache in memory, for tests of the pipeline and for the demo.

Holds to the rules of the Redis one, which `tests/contracts/test_processed_cache.py` checks on both. It keeps
real values under event ids, so that a test can plant one, and it can be told to fail. Entries live until
they are flushed or forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from service.core.types import Event, Lease

_VALUE = re.compile(
    rb"(?P<namespace>.*):(?P<offset>0|[1-9][0-9]{0,18}):(?P<entity_id>[1-9][0-9]*)", re.DOTALL
)


@dataclass(slots=True)
class InMemoryProcessedCache:
    """What Redis would hold, by event id. `failing` stands for a Redis that is away.

    `hits`, `misses` and `errors` add up what the lookups found; `lookups` counts the calls of `seen` that
    asked for something, `writes` those of `remember` that stored something.
    """

    values: dict[bytes, object] = field(default_factory=dict)
    failing: bool = False
    hits: int = 0
    misses: int = 0
    errors: int = 0
    lookups: int = 0
    writes: int = 0

    async def seen(self, events: Sequence[Event], lease: Lease) -> frozenset[bytes]:
        """The ids of `events` that count as a hit under `lease`."""
        if not events:
            return frozenset()
        self.lookups += 1
        if self.failing:
            self.errors += len(events)
            return frozenset()
        missed = {event.event_id for event in events if not self._is_hit(event, lease)}
        hits = [event.event_id for event in events if event.event_id not in missed]
        self.hits += len(hits)
        self.misses += len(events) - len(hits)
        return frozenset(hits)

    async def remember(self, events: Sequence[Event], lease: Lease) -> None:
        """Store `events` of the lease's partition, of one id the event at the highest offset."""
        ours = [event for event in events if event.record.partition == lease.partition]
        if self.failing or not ours:
            return
        self.writes += 1
        for event in sorted(ours, key=lambda event: event.record.offset):
            value = f"{lease.cache_namespace}:{event.record.offset}:{event.entity_id}"
            self.values[event.event_id] = value.encode()

    def plant(self, event_id: bytes, value: object) -> None:
        """Put `value` under an id, whatever it is; anything but bytes stands for another Redis type."""
        self.values[event_id] = value

    def forget(self, event_id: bytes) -> None:
        """Drop one entry, as its expiry would."""
        self.values.pop(event_id, None)

    def flush(self) -> None:
        """Drop every entry, as FLUSHDB would."""
        self.values.clear()

    def _is_hit(self, event: Event, lease: Lease) -> bool:
        value = self.values.get(event.event_id)
        found = _VALUE.fullmatch(value) if isinstance(value, bytes) else None
        return (
            found is not None
            and found["namespace"] == lease.cache_namespace.encode()
            and lease.handled_from <= int(found["offset"]) < lease.handled_offset
            and found["entity_id"] == str(event.entity_id).encode()
        )
