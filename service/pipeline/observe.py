"""What the lanes tell the metrics: every count comes from an outcome, in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from service.core.types import Batch, Event, Lease, Outcome, Partition, Work, Written
from service.pipeline.claim import StartKind
from service.telemetry.metrics import Metrics


class Observer:
    """Counts for the lanes of one topic, whose records belong to `entity`. `now` gives naive UTC."""

    def __init__(self, metrics: Metrics, entity: str, now: Callable[[], datetime]) -> None:
        self._metrics = metrics
        self._entity = entity
        self._now = now

    def decoded(self, events: Sequence[Event], batch: Batch, lease: Lease) -> None:
        """A batch was decoded, before anything is known of its outcome."""
        metrics = self._metrics
        metrics.batch_records.observe(len(batch.records))
        redelivered = sum(record.offset < lease.handled_offset for record in batch.records)
        metrics.records_redelivered.inc(redelivered)
        metrics.unknown_fields.labels(self._entity).inc(sum(event.unknown_fields for event in events))
        metrics.key_mismatch.inc(sum(event.key_mismatch for event in events))

    def outcomes(self, outcomes: Iterable[tuple[Event, Outcome]]) -> None:
        """These events have their outcome, for good."""
        for event, outcome in outcomes:
            self._metrics.events.labels(event.entity, outcome.value).inc()

    def written(self, work: Work, written: Written) -> None:
        """A transaction was committed."""
        self.outcomes(written.outcomes)
        self._metrics.events.labels(self._entity, Outcome.DEAD.value).inc(len(work.letters))
        now = self._now()
        for event, outcome in written.outcomes:
            if outcome is Outcome.APPLIED:
                self._metrics.event_delay.observe(max(0.0, (now - event.occurred_at).total_seconds()))

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
