"""Everything at once, without faults of the servers: the tables are what the model says, to the byte."""

from __future__ import annotations

from dataclasses import replace

from tests.e2e.producing import produce_in_transactions
from tests.e2e.stage import PARTITIONS, Stage
from tests.e2e.workload import Shape, Workload

OUTCOMES = ("applied", "stale", "duplicate", "dead")


async def test_mixed_load_leaves_what_the_model_says(stage: Stage, seed: int) -> None:
    """Copies, reorderings, odd and hostile records on nine partitions: rows, marks, letters, counters."""
    # Enough hostile ones to go through the whole catalogue.
    workload = Workload(seed, Shape(hostile=0.06))
    replica = stage.start()
    await stage.produce(workload.take(7_000))
    await stage.settle()
    await stage.produce(workload.strays([record.message for record in stage.sent], 300))
    await stage.settle()
    await stage.judge()
    metrics = await replica.metrics()
    counted = {outcome: metrics.total("upsertd_events_total", outcome=outcome) for outcome in OUTCOMES}
    assert counted == {outcome: stage.model.outcomes[outcome] for outcome in OUTCOMES}


async def test_a_transactional_producer_reaches_lag_zero(stage: Stage, seed: int) -> None:
    """Aborted records are never applied, and markers at the log's end are no lag."""
    stage.start()
    messages = Workload(seed).take(1_200)
    transactions = 24
    aborted = frozenset({1, 2, 7, transactions - 1})
    stage.take(await produce_in_transactions(stage.world, messages, size=50, aborted=aborted))
    await stage.settle()
    await stage.judge()


async def test_copies_by_another_partition_are_known(stage: Stage, seed: int) -> None:
    """A copy of an event that comes by another partition misses the cache, and SQL knows it."""
    replica = stage.start()
    originals = await stage.produce(Workload(seed).take(600))
    await stage.settle()
    moved = [replace(one.message, partition=(one.message.partition + 1) % PARTITIONS) for one in originals]
    named = [message for message in moved if message.kind == "change"]
    before = await replica.metrics()
    await stage.produce(named)
    await stage.settle()
    await stage.judge()
    after = await replica.metrics()
    hits = [metrics.total("upsertd_cache_lookups_total", result="hit") for metrics in (before, after)]
    assert hits[0] == hits[1]
