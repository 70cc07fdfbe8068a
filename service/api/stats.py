"""`/stats`: the metrics once more, for people. Every number comes from the registry, none is kept here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct
from prometheus_client import CollectorRegistry


class CacheStats(Struct):
    """Lookups in Redis since the start; `hit_rate` = hits / (hits + misses)."""

    hit_rate: float
    hits: int
    misses: int
    errors: int


class PoolStats(Struct):
    """Connections to the database."""

    size: int
    in_use: int
    in_use_peak: int


class BatchStats(Struct):
    """Batches since the start."""

    count: int
    mean_records: float
    mean_seconds: float


class Stats(Struct):
    """What the service did since its start, and where it stands.

    `events` by entity and outcome, `lag` by topic and partition (records), `dead_letters` by status.
    """

    cache: CacheStats
    pool: PoolStats
    events: dict[str, dict[str, int]]
    lag: dict[str, dict[str, int]]
    dead_letters: dict[str, int]
    batch: BatchStats
    uptime_seconds: float
    version: str


def build_stats(registry: CollectorRegistry) -> Stats:
    """Read the figures of `service.telemetry.metrics.Metrics.registry`."""
    samples = _Samples(registry)
    return Stats(
        cache=_cache(samples),
        pool=_pool(samples),
        events=samples.nested("upsertd_events_total", "entity", "outcome"),
        lag=samples.nested("upsertd_consumer_lag", "topic", "partition"),
        dead_letters=samples.by("upsertd_dead_letters", "status"),
        batch=_batch(samples),
        uptime_seconds=round(samples.value("upsertd_uptime_seconds"), 3),
        version=samples.label("upsertd_build_info", "version"),
    )


class _Samples:
    """One reading of the registry, by the names of its samples."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._by_name: dict[str, list[tuple[Mapping[str, str], float]]] = {}
        for metric in registry.collect():
            for sample in metric.samples:
                self._by_name.setdefault(sample.name, []).append((sample.labels, sample.value))

    def of(self, name: str) -> Iterator[tuple[Mapping[str, str], float]]:
        """The labels and the value of each sample; none of a metric that has none yet."""
        yield from self._by_name.get(name, ())

    def value(self, name: str) -> float:
        """The sum over all labels."""
        return sum(value for _, value in self.of(name))

    def label(self, name: str, label: str) -> str:
        """One label of the only sample."""
        return next((labels[label] for labels, _ in self.of(name)), "")

    def by(self, name: str, label: str) -> dict[str, int]:
        """Values by one label."""
        return {labels[label]: int(value) for labels, value in self.of(name)}

    def nested(self, name: str, outer: str, inner: str) -> dict[str, dict[str, int]]:
        """Values by two labels."""
        found: dict[str, dict[str, int]] = {}
        for labels, value in self.of(name):
            found.setdefault(labels[outer], {})[labels[inner]] = int(value)
        return found


def _cache(samples: _Samples) -> CacheStats:
    results = samples.by("upsertd_cache_lookups_total", "result")
    return CacheStats(
        hit_rate=round(samples.value("upsertd_cache_hit_rate"), 4),
        hits=results.get("hit", 0),
        misses=results.get("miss", 0),
        errors=results.get("error", 0),
    )


def _pool(samples: _Samples) -> PoolStats:
    return PoolStats(
        size=int(samples.value("upsertd_db_pool_size")),
        in_use=int(samples.value("upsertd_db_pool_in_use")),
        in_use_peak=int(samples.value("upsertd_db_pool_in_use_peak")),
    )


def _batch(samples: _Samples) -> BatchStats:
    count = int(samples.value("upsertd_batch_records_count"))
    seconds_count = samples.value("upsertd_batch_seconds_count")
    return BatchStats(
        count=count,
        mean_records=round(samples.value("upsertd_batch_records_sum") / max(count, 1), 3),
        mean_seconds=round(samples.value("upsertd_batch_seconds_sum") / max(seconds_count, 1), 6),
    )
