"""Metrics stand in a registry of their own, and `/stats` reads its figures from there."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from service.api.stats import build_stats
from service.core.types import Partition
from service.telemetry.metrics import Metrics

SPECIFIED = [
    "upsertd_cache_lookups_total",
    "upsertd_cache_hit_rate",
    "upsertd_db_pool_size",
    "upsertd_db_pool_in_use",
    "upsertd_db_pool_wait_seconds_bucket",
    "upsertd_db_statements_total",
    "upsertd_events_total",
    "upsertd_records_redelivered_total",
    "upsertd_batch_records_bucket",
    "upsertd_batch_seconds_bucket",
    "upsertd_event_delay_seconds_bucket",
    "upsertd_consumer_lag",
    "upsertd_retries_total",
    "upsertd_dead_letters",
    "upsertd_lane_paused",
    "upsertd_fenced_total",
    "upsertd_circuit_breaker_open",
    "upsertd_key_mismatch_total",
    "upsertd_build_info",
    "upsertd_unknown_fields_total",
    "upsertd_claims_total",
    "upsertd_offset_commits_total",
    "upsertd_consumer_position",
    "upsertd_part_ready",
]


class FakeClock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def metrics(clock: FakeClock) -> Metrics:
    return Metrics("1.2.3", ["customers", "orders"], clock=clock)


def sample_names(metrics: Metrics) -> set[str]:
    families = text_string_to_metric_families(metrics.text().decode())
    return {sample.name for family in families for sample in family.samples}


def test_specified_names(metrics: Metrics) -> None:
    """Every name that dashboards rely on is on the page, with its labels."""
    metrics.consumer_lag.labels(topic="orders", partition=0).set(1)
    metrics.lane_paused.labels(topic="orders", partition=0, reason="database").set(1)
    metrics.circuit_breaker_open.labels(part="redis").set(0)
    metrics.consumer_position.labels(topic="orders", partition=0).set(1)
    metrics.part_ready.labels(part="database").set(1)
    metrics.claims.labels(topic="orders", partition=0, start="stored").inc()
    metrics.offset_commits.labels(result="ok").inc()
    assert set(SPECIFIED) <= sample_names(metrics)


def test_process_is_measured(metrics: Metrics) -> None:
    """Memory, CPU and open files of the process are on the page."""
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"} <= sample_names(
        metrics
    )


def test_no_created_series(metrics: Metrics) -> None:
    """The page is not doubled by the times at which counters began."""
    assert not [name for name in sample_names(metrics) if name.endswith("_created")]


def test_registries_are_apart(metrics: Metrics) -> None:
    """A second service in one process counts for itself, and nothing is in the library's global registry."""
    Metrics("1.2.3").retries.inc()
    assert metrics.registry.get_sample_value("upsertd_retries_total") == 0
    assert not [family for family in REGISTRY.collect() if family.name.startswith("upsertd")]


def test_hit_rate_before_the_first_lookup(metrics: Metrics) -> None:
    """Without a lookup the rate is 0, not a division by zero."""
    assert metrics.registry.get_sample_value("upsertd_cache_hit_rate") == 0


def test_hit_rate_is_of_answers(metrics: Metrics) -> None:
    """A lookup that Redis did not answer says nothing about the rate."""
    metrics.cache_lookups.labels(result="hit").inc(3)
    metrics.cache_lookups.labels(result="miss").inc(1)
    metrics.cache_lookups.labels(result="error").inc(96)
    assert metrics.registry.get_sample_value("upsertd_cache_hit_rate") == 0.75


def test_forgotten_partition(metrics: Metrics) -> None:
    """A partition that left has no lag and no pause here any more; its neighbours keep theirs."""
    for number in (0, 1):
        metrics.consumer_lag.labels(topic="orders", partition=number).set(7)
        metrics.consumer_position.labels(topic="orders", partition=number).set(7)
        metrics.lane_paused.labels(topic="orders", partition=number, reason="claim").set(1)
    metrics.forget(Partition("orders", 0))
    metrics.forget(Partition("never", 0))
    assert build_stats(metrics.registry).lag == {"orders": {"1": 7}}
    assert b'partition="0"' not in metrics.text()


async def test_tasks_are_counted(metrics: Metrics) -> None:
    """The number of tasks shows a leak; asked on the loop it counts at least the one that asks."""
    count = metrics.registry.get_sample_value("upsertd_async_tasks")
    assert count is not None
    assert count >= 1


def test_stats_of_a_new_service(metrics: Metrics) -> None:
    """Before the first event every figure is there, as zero."""
    stats = build_stats(metrics.registry)
    assert stats.events == {
        entity: {"applied": 0, "stale": 0, "duplicate": 0, "dead": 0} for entity in ("customers", "orders")
    }
    assert stats.dead_letters == {
        "retrying": 0, "dead": 0, "replayed": 0, "discarded": 0, "superseded": 0
    }  # fmt: skip
    assert (stats.batch.count, stats.batch.mean_records, stats.batch.mean_seconds) == (0, 0, 0)
    assert stats.lag == {}


def test_stats_are_the_metrics(metrics: Metrics, clock: FakeClock) -> None:
    """The figures for people are those of the metrics."""
    metrics.cache_lookups.labels(result="hit").inc(2)
    metrics.cache_lookups.labels(result="miss").inc(2)
    metrics.db_pool_size.set(5)
    metrics.db_pool_in_use.set(2)
    metrics.db_pool_in_use_peak.set(3)
    metrics.events.labels(entity="orders", outcome="stale").inc(4)
    metrics.consumer_lag.labels(topic="shop.orders", partition=2).set(9)
    metrics.dead_letters.labels(status="dead").set(6)
    for records, seconds in ((10, 0.5), (20, 0.25)):
        metrics.batch_records.observe(records)
        metrics.batch_seconds.observe(seconds)
    clock.now += 42
    stats = build_stats(metrics.registry)
    assert (stats.cache.hit_rate, stats.cache.hits, stats.cache.misses, stats.cache.errors) == (0.5, 2, 2, 0)
    assert (stats.pool.size, stats.pool.in_use, stats.pool.in_use_peak) == (5, 2, 3)
    assert stats.events["orders"]["stale"] == 4
    assert stats.lag == {"shop.orders": {"2": 9}}
    assert stats.dead_letters["dead"] == 6
    assert (stats.batch.count, stats.batch.mean_records, stats.batch.mean_seconds) == (2, 15.0, 0.375)
    assert (stats.uptime_seconds, stats.version) == (42.0, "1.2.3")
