"""What becomes of members in a storm, of those that are stopped, that hang, that are told twice to end.

One scenario each; `test_ownership` plays them side by side, each on a stage of its own. A scenario returns
what it measured.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from tests.e2e.service_process import ServiceProcess
from tests.e2e.stage import PARTITIONS, Stage
from tests.e2e.workload import Shape, Workload
from tests.e2e.world import Log
from tests.faults.ownership.hanging import hanging_process
from tests.faults.ownership.sleepers import (
    epochs,
    held_positions,
    is_claim,
    is_commit,
    moved_everywhere,
    sleeper,
)
from tests.faults.ownership.storm import Storm, owners
from tests.servers import Kafka, MariaDb

# `STORM_SECONDS=90` is a storm for people who want to see one.
STORM_SECONDS = float(os.environ.get("STORM_SECONDS", "25"))
_ADDED = 2
_PER_SECOND = 200
# The server ends an idle transaction after 20 s, the session ends after 6 s; a busy machine is given more.
_ZOMBIE_SECONDS = 60
# An idle lane looks at its row every 3 s: a war would show by then.
_PEACE_SECONDS = 5
_AT_ONCE_SECONDS = 3
_REST_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a scenario takes place."""

    stage: Stage
    kafka: Kafka
    mariadb: MariaDb
    seed: int


async def rebalance_storm(scene: Scene) -> str:
    """Joins, exits, crashes and sleeps overlap for a while, and partitions are added in the middle of it."""
    stage = scene.stage
    orders = stage.world.topics["order"]
    storm = Storm(stage, random.Random(scene.seed), {"KAFKA_METADATA_MAX_AGE_SECONDS": "3"})
    others = Workload(scene.seed, Shape(entities=("customer", "product")))
    async with stage.load(others, per_second=_PER_SECOND):
        await asyncio.gather(storm.rage(STORM_SECONDS), _add_partitions(scene.kafka, orders))
    calm = time.monotonic()
    shape = Shape(entities=("order",), partitions=PARTITIONS + _ADDED)
    await stage.produce(Workload(scene.seed + 1, shape).take(400))
    await stage.settle(90)
    seconds = time.monotonic() - calm
    await _each_partition_has_one(stage, 3 * PARTITIONS + _ADDED)
    await stage.judge()
    return (
        f"{dict(storm.struck)} in {STORM_SECONDS:g} s, {len(stage.sent)} records; nothing moved for"
        f" {storm.stalls.total_seconds:.1f} s in all, {storm.stalls.longest_seconds:.1f} s at most;"
        f" settled {seconds:.1f} s after it"
    )


async def _add_partitions(kafka: Kafka, topic: str) -> None:
    await asyncio.sleep(STORM_SECONDS / 2)
    await asyncio.to_thread(kafka.add_partitions, topic, PARTITIONS + _ADDED)


async def _each_partition_has_one(stage: Stage, partitions: int) -> None:
    """Wait until the members' own word is that each partition has one owner; they look every few seconds."""
    for member in stage.replicas:
        await member.wait_ready()
    deadline = time.monotonic() + _REST_SECONDS
    while not _are_single(held := await owners(stage), partitions):
        assert time.monotonic() < deadline, held
        await asyncio.sleep(0.5)


def _are_single(held: Mapping[Log, list[str]], partitions: int) -> bool:
    return len(held) == partitions and all(len(names) == 1 for names in held.values())


async def stopped_before_its_claim(scene: Scene) -> str:
    """The claim arrives when its partition has a new owner; both go on, and nobody claims any more."""
    stage = scene.stage
    with sleeper(stage, scene.mariadb.port) as late:
        other = stage.start()
        await other.wait_ready()
        async with stage.load(Workload(scene.seed), per_second=_PER_SECOND):
            await stage.wait_for_progress()
            await other.kill9()  # its partitions are to be claimed
            other.start()
            await late.stop_at(is_claim)
            without = await moved_everywhere(stage)
            late.deliver()
            await asyncio.sleep(1)  # for the late claim to be answered
            late.member.cont()
            with_it = await moved_everywhere(stage)
        await stage.settle()
        before = epochs(stage)
        await asyncio.sleep(_PEACE_SECONDS)
        assert epochs(stage) == before
        await _each_partition_has_one(stage, 3 * PARTITIONS)
        await stage.judge()
    return f"all partitions moved {without:.1f} s after the stop, and {with_it:.1f} s after the late claim"


async def stopped_in_a_transaction(scene: Scene) -> str:
    """Its rows are locked until the server ends it, and what it commits afterwards does not count."""
    stage = scene.stage
    with sleeper(stage, scene.mariadb.port) as zombie:
        await zombie.member.wait_ready()
        async with stage.load(Workload(scene.seed), per_second=_PER_SECOND):
            await stage.wait_for_progress()
            successor = stage.start()
            await successor.wait_ready()
            await zombie.stop_at(is_commit)
            seconds = await moved_everywhere(stage)
            assert seconds < _ZOMBIE_SECONDS
            zombie.deliver()
            zombie.member.cont()
            await moved_everywhere(stage)
        await stage.settle()
        await stage.judge()
    return f"all partitions moved {seconds:.1f} s after the stop"


async def told_twice_to_end(scene: Scene) -> str:
    """The second signal ends at once what the first one lets drain; nothing is lost by it."""
    stage = scene.stage
    replica = stage.start()
    await replica.wait_ready()
    async with stage.load(Workload(scene.seed), per_second=_PER_SECOND):
        await stage.wait_for_progress()
        with held_positions(stage, scene.mariadb):
            await replica.wait_for_status("/health/ready", 503)
            replica._signal(signal.SIGTERM)
            await _wait_for_log(replica, "draining")
            await replica.wait_for_status("/health/live", 200)
            began = time.monotonic()
            code = await replica.sigterm()
            seconds = time.monotonic() - began
        assert code == -signal.SIGTERM
        assert seconds < _AT_ONCE_SECONDS
        replica.start()
        await stage.wait_for_progress()
    await stage.settle()
    await stage.judge()
    return f"ended {seconds:.2f} s after the second signal"


async def hangs_without_a_reason(scene: Scene) -> str:
    """Liveness says which lane stands still at which step; a stop cuts it off, names it, and exits with 1."""
    stage = scene.stage
    replica = hanging_process(stage._settings() | {"SHUTDOWN_TIMEOUT_SECONDS": "2"})
    stage.replicas.append(replica)
    replica.start()
    await replica.wait_ready()
    await stage.produce(Workload(scene.seed).take(200))
    await replica.wait_for_status("/health/live", 503)
    async with replica._client() as client:
        stuck: list[str] = (await client.get("/health/live")).json()["stuck"]
    assert all(" at process for " in each for each in stuck), stuck
    assert await replica.sigterm() == 1
    assert '"not drained in time"' in replica.log
    stage.start()
    await stage.settle()
    await stage.judge()
    return stuck[0]


SCENARIOS: Mapping[str, Callable[[Scene], Awaitable[str]]] = {
    "in a rebalance storm": rebalance_storm,
    "stopped right before its claim": stopped_before_its_claim,
    "stopped in a transaction": stopped_in_a_transaction,
    "told twice to end": told_twice_to_end,
    "hangs without a reason": hangs_without_a_reason,
}


async def _wait_for_log(replica: ServiceProcess, text: str) -> None:
    async with asyncio.timeout(30):
        while text not in replica.log:  # noqa: ASYNC110 -- another process tells nobody
            await asyncio.sleep(0.05)
