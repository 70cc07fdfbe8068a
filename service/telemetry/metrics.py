"""Every metric of upsertd, in one list, in a registry of its own.

`app` builds one `Metrics` and hands it to whoever counts; adapters without a word for metrics are given
callables. Labels are only entity, outcome, topic, partition and other names that upsertd gives itself:
never an id, never a value.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.core.types import LetterStatus, Outcome, Partition
from service.telemetry.histogram import BatchHistogram

LOOKUP_RESULTS = ("hit", "miss", "error")
PURGED_TABLES = ("processed_events", "dead_letters")
CLAIM_STARTS = ("stored", "restored", "reset", "lost", "new", "out_of_range")

# One record at a time is the quiet case, BATCH_MAX_RECORDS (1000 by default) the busy one.
BATCH_RECORDS_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
# A quiet batch takes 3 ms, a full one a tenth of a second, a lock timeout 5 s, a transaction 30 s at most.
BATCH_SECONDS_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
# A free connection costs next to nothing; beyond seconds the pool is too small or the database away.
POOL_WAIT_BUCKETS = (0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30)
# From the milliseconds of a quiet topic to the days of a backlog that is worked off.
EVENT_DELAY_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200, 86_400)


class Metrics:
    """All metrics; each attribute is a metric of prometheus_client.

    Counters of the `entities` that are known begin at 0, so that the first increase can be seen as one.
    """

    def __init__(
        self, version: str, entities: Iterable[str] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        # The `_created` series double the page and answer nobody's question. The switch is the library's.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types for it
        registry = self.registry = CollectorRegistry()

        # Events: what became of them
        self.events = Counter(
            "upsertd_events", "Events by what became of them", ["entity", "outcome"], registry=registry
        )
        self.unknown_fields = Counter(
            "upsertd_unknown_fields", "Fields that the schema does not know", ["entity"], registry=registry
        )
        self.key_mismatch = Counter(
            "upsertd_key_mismatch",
            "Events whose Kafka key is not the entity's id: their order is not guaranteed",
            registry=registry,
        )
        self.event_delay = BatchHistogram(
            "upsertd_event_delay_seconds",
            "From occurred_at to the commit",
            buckets=EVENT_DELAY_BUCKETS,
            registry=registry,
        )
        self.retries = Counter("upsertd_retries", "Retries of events that had failed", registry=registry)
        self.dead_letters = Gauge(
            "upsertd_dead_letters", "Dead letters in the database", ["status"], registry=registry
        )
        self.purged = Counter(
            "upsertd_purged", "Rows deleted because their retention was over", ["table"], registry=registry
        )

        # Batches
        self.batch_records = Histogram(
            "upsertd_batch_records", "Records of a batch", buckets=BATCH_RECORDS_BUCKETS, registry=registry
        )
        self.batch_seconds = Histogram(
            "upsertd_batch_seconds",
            "From taking a batch to its commit",
            buckets=BATCH_SECONDS_BUCKETS,
            registry=registry,
        )

        # Kafka: positions, claims, lanes
        self.consumer_lag = Gauge(
            "upsertd_consumer_lag",
            "Records between the position and the end of the log",
            ["topic", "partition"],
            registry=registry,
        )
        self.consumer_position = Gauge(
            "upsertd_consumer_position",
            "The offset that the lane reads next: standing still with a lag means stuck",
            ["topic", "partition"],
            registry=registry,
        )
        self.records_redelivered = Counter(
            "upsertd_records_redelivered", "Records below the database's position", registry=registry
        )
        self.offset_commits = Counter(
            "upsertd_offset_commits", "Commits of the group's offset", ["result"], registry=registry
        )
        self.claims = Counter(
            "upsertd_claims",
            "Claims of partitions by where they began (restored, lost and out_of_range are alarms)",
            ["topic", "partition", "start"],
            registry=registry,
        )
        self.fenced = Counter(
            "upsertd_fenced", "Times that another claim stood in the position's row", registry=registry
        )
        self.lane_paused = Gauge(
            "upsertd_lane_paused",
            "1 while the lane is paused for this reason",
            ["topic", "partition", "reason"],
            registry=registry,
        )

        # Cache
        self.cache_lookups = Counter(
            "upsertd_cache_lookups", "Ids asked of Redis, by the answer", ["result"], registry=registry
        )
        registry.register(_CacheHitRate(self.cache_lookups))

        # Database
        self.db_pool_size = Gauge(
            "upsertd_db_pool_size", "How many connections there are at most", registry=registry
        )
        self.db_pool_in_use = Gauge(
            "upsertd_db_pool_in_use", "Connections at work right now", registry=registry
        )
        self.db_pool_in_use_peak = Gauge(
            "upsertd_db_pool_in_use_peak", "The most connections ever at work at once", registry=registry
        )
        self.db_pool_wait = Histogram(
            "upsertd_db_pool_wait_seconds",
            "How long a transaction waited for its connection",
            buckets=POOL_WAIT_BUCKETS,
            registry=registry,
        )
        self.db_statements = Counter(
            "upsertd_db_statements", "Statements sent, COMMIT included", registry=registry
        )

        # The process
        self.part_ready = Gauge(
            "upsertd_part_ready",
            "1 while this part answers as it should, as in /health/ready; the database with its schema",
            ["part"],
            registry=registry,
        )
        self.circuit_breaker_open = Gauge(
            "upsertd_circuit_breaker_open", "1 while this part is not asked", ["part"], registry=registry
        )
        self.uptime = Gauge("upsertd_uptime_seconds", "Since the start", registry=registry)
        self.async_tasks = Gauge("upsertd_async_tasks", "Tasks of the event loop", registry=registry)
        self.build = Info("upsertd_build", "Which upsertd this is", registry=registry)
        ProcessCollector(registry=registry)

        started = clock()
        self.uptime.set_function(lambda: clock() - started)
        self.async_tasks.set_function(_count_tasks)
        self.build.info({"version": version})
        self._begin_at_zero(entities)

    def text(self) -> bytes:
        """The whole page in Prometheus' text format, version 0.0.4."""
        return generate_latest(self.registry)

    def forget(self, partition: Partition) -> None:
        """Drop the gauges of a partition that has left: its next owner speaks for it now."""
        for gauge in (self.consumer_lag, self.consumer_position, self.lane_paused):
            gauge.remove_by_labels({"topic": partition.topic, "partition": str(partition.number)})

    def _begin_at_zero(self, entities: Iterable[str]) -> None:
        for entity in entities:
            self.unknown_fields.labels(entity)
            for outcome in Outcome:
                self.events.labels(entity, outcome)
        for result in LOOKUP_RESULTS:
            self.cache_lookups.labels(result)
        for table in PURGED_TABLES:
            self.purged.labels(table)
        for status in LetterStatus:
            self.dead_letters.labels(status)


class _CacheHitRate(Collector):
    """Hits / (hits + misses) since the start; 0 before the first lookup.

    Of totals, so that the rate agrees with the counters beside it; a rate over a window is
    `rate(upsertd_cache_lookups_total[5m])`. Failed lookups say nothing about the cache's contents and do
    not count.
    """

    def __init__(self, lookups: Counter) -> None:
        self._lookups = lookups

    def collect(self) -> Iterator[Metric]:
        samples = [sample for metric in self._lookups.collect() for sample in metric.samples]
        totals = {sample.labels["result"]: sample.value for sample in samples}
        answered = totals["hit"] + totals["miss"]
        rate = totals["hit"] / answered if answered else 0.0
        yield GaugeMetricFamily("upsertd_cache_hit_rate", "Hits / (hits + misses) since the start", rate)


def _count_tasks() -> float:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0  # asked from outside of the loop
