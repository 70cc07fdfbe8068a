"""Processes that die, leave, join and freeze under load: nothing is lost, nothing runs twice."""

from __future__ import annotations

import asyncio
import os
import random

from tests.e2e.eviction import evict_members
from tests.e2e.stage import Stage
from tests.e2e.workload import PLAIN, Workload
from tests.e2e.world import read_progress

KILLS = int(os.environ.get("KILLS", "5"))
_PER_SECOND = 600


async def test_hard_kills_under_load(stage: Stage, seed: int) -> None:
    """`kill -9` at random moments, each time with records on their way, costs no record and repeats none."""
    moments = random.Random(seed)
    replica = stage.start()
    async with stage.load(Workload(seed), per_second=_PER_SECOND):
        for number in range(KILLS):
            await stage.wait_for_progress()
            await asyncio.sleep(moments.uniform(0, 0.8))
            await replica.kill9()
            if number > 0:  # the first is left to the session timeout
                await evict_members(stage.world)
            replica.start()
        await stage.wait_for_progress()
    await stage.settle()
    await stage.judge()


async def test_replicas_join_leave_and_die(stage: Stage, seed: int) -> None:
    """Partitions wander between replicas that come and go, and every write stays in order."""
    first = stage.start()
    await first.wait_ready()
    async with stage.load(Workload(seed), per_second=_PER_SECOND):
        await stage.wait_for_progress()
        second = stage.start()
        await second.wait_ready()
        await stage.wait_for_progress()
        await first.kill9()
        third = stage.start()
        await third.wait_ready()
        await stage.wait_for_progress()
        assert await second.sigterm() == 0
        await stage.wait_for_progress()
    await stage.settle()
    await stage.judge()


async def test_sigterm_drains_and_nothing_runs_twice(stage: Stage, seed: int) -> None:
    """SIGTERM under load: exit 0, Kafka at the database's position, no connection left, no second run."""
    replica = stage.start()
    await replica.wait_ready()
    async with stage.load(Workload(seed, PLAIN), per_second=_PER_SECOND):
        await stage.wait_for_progress()
        await asyncio.sleep(1)
        assert await replica.sigterm() == 0
        progress = await read_progress(stage.world)
        positions = {log: position.next_offset for log, position in progress.positions.items()}
        assert progress.group_offsets == positions
        assert stage.connections() == 0
        handled = stage.count("processed_events")
    replica.start()
    await stage.settle()
    await stage.judge()
    metrics = await replica.metrics()
    assert metrics.total("upsertd_records_redelivered_total") == 0
    assert metrics.total("upsertd_events_total", outcome="duplicate") == 0
    assert metrics.total("upsertd_events_total") == len(stage.sent) - handled


async def test_a_frozen_owner_wakes_up_after_its_partitions_moved(stage: Stage, seed: int) -> None:
    """A replica that slept through a rebalance writes nothing more with its old claims."""
    workload = Workload(seed)
    sleeper, other = stage.start(), stage.start()
    await sleeper.wait_ready()
    await other.wait_ready()
    async with stage.load(workload, per_second=_PER_SECOND):
        await stage.wait_for_progress()
        await asyncio.sleep(1)
        sleeper.stop()
        await asyncio.sleep(2)
    await stage.settle()
    async with stage.load(workload, per_second=_PER_SECOND):
        sleeper.cont()
        await asyncio.sleep(3)
    await stage.settle()
    await stage.judge()
