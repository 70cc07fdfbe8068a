"""What the lanes tell the metrics: every count comes from an outcome, in one place."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from operator import attrgetter

from service.core.types import Batch, Event, Lease, Outcome, Partition, Work, Written
from service.pipeline.claim import StartKind
from service.telemetry.metrics import Metrics

_UNKNOWN_FIELDS = attrgetter("unknown_fields")
_KEY_MISMATCH = attrgetter("key_mismatch")


class Observer:
    """Counts for the lanes of one topic, whose records belong to `entity`. `now` gives naive UTC."""

    def __init__(self, metrics: Metrics, entity: str, now: Callable[[], datetime]) -> None:
        self._metrics = metrics
        self._entity = entity
        self._now = now

    def written(self, work: Work, written: Written) -> None:
        """A transaction was committed."""
        now = self._now()
        for outcome, number in Counter(outcome for _, outcome in written.outcomes).items():
            self._count(outcome, number)
        self._count(Outcome.DEAD, sum(letter.retry_in_seconds is None for letter in work.letters))
        delays = [
            (now - event.occurred_at).total_seconds()
            for event, outcome in written.outcomes
            if outcome is Outcome.APPLIED
        ]
        # A producer's clock may be ahead of ours.
        self._metrics.event_delay.observe_all(
            delays if min(delays, default=0.0) >= 0 else [max(0.0, delay) for delay in delays]
        )

    def settled(self, outcome: Outcome) -> None:
        """A parked event has come to its outcome after all."""
        self._count(outcome, 1)

    def taken(self, batch: Batch, events: Sequence[Event], seen: Collection[bytes], lease: Lease) -> None:
        """A batch that began under `lease` was taken to its end; the cache knew the ids in `seen`."""
        metrics = self._metrics
        self._count(Outcome.DUPLICATE, sum(event.event_id in seen for event in events) if seen else 0)
        metrics.batch_records.observe(len(batch.records))
        # Records stand in the order of their offsets.
        redelivered = bisect_left(batch.records, lease.handled_offset, key=attrgetter("offset"))
        metrics.records_redelivered.inc(redelivered)
        metrics.unknown_fields.labels(self._entity).inc(sum(map(_UNKNOWN_FIELDS, events)))
        metrics.key_mismatch.inc(sum(map(_KEY_MISMATCH, events)))

    def processed(self, seconds: float) -> None:
        """A batch has come to its end after `seconds`."""
        self._metrics.batch_seconds.observe(seconds)

    def retried(self) -> None:
        """A transaction is run again because it failed for now."""
        self._metrics.retries.inc()

    def fenced(self) -> None:
        """A transaction was turned away: another claim stands in the position's row."""
        self._metrics.fenced.inc()

    def committed(self, result: str) -> None:
        """The group's offset was committed (`ok`), or not (`unavailable`)."""
        self._metrics.offset_commits.labels(result).inc()

    def claimed(self, partition: Partition, kind: StartKind) -> None:
        """A lane claimed its partition and knows where it starts."""
        self._metrics.claims.labels(partition.topic, str(partition.number), kind.value).inc()

    def paused(self, partition: Partition, before: str | None, reason: str | None) -> None:
        """A lane paused for another `reason` than `before`; None: it moves."""
        for each, value in ((before, 0), (reason, 1)):
            if each is not None:
                self._metrics.lane_paused.labels(partition.topic, str(partition.number), each).set(value)

    def left(self, partition: Partition) -> None:
        """A partition is not ours any more: what its gauges say is its next owner's business."""
        self._metrics.forget(partition)

    def _count(self, outcome: Outcome, number: int) -> None:
        self._metrics.events.labels(self._entity, outcome.value).inc(number)
