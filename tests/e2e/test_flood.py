"""A topic full of garbage: the lanes pause before they drain it into the dead letters."""

from __future__ import annotations

import asyncio

from tests.e2e.hostile import CANARY
from tests.e2e.messages import ENTITIES, Hopeless, Message
from tests.e2e.service_process import ServiceProcess
from tests.e2e.stage import PARTITIONS, Stage
from tests.e2e.workload import PLAIN, Workload
from tests.e2e.world import read_progress

_WINDOW = 100
_GARBAGE = 5_000
# Each lane may have a batch in hand, which is no larger than a window, when the guard trips.
_AT_ONCE = PARTITIONS * _WINDOW
_MOMENT_MS = 1_700_000_000_000


async def test_a_flood_pauses_until_an_operator_resumes(stage: Stage, seed: int) -> None:
    """Readiness says why; resuming and restarting begin a new window; what is good behind it is applied."""
    await stage.produce([garbage(number) for number in range(_GARBAGE)])
    await stage.produce(Workload(seed, PLAIN).take(300))
    replica = stage.start(DEAD_LETTER_FLOOD_WINDOW=str(_WINDOW))
    first = await letters_of_flood(stage, replica, after=0)
    assert first >= _WINDOW / 2
    await replica.wait_for_status("/health/live", 200)

    assert await replica.resume()
    second = await letters_of_flood(stage, replica, after=first)

    assert await replica.sigterm() == 0
    replica.start()
    await letters_of_flood(stage, replica, after=second)

    assert await replica.sigterm() == 0
    stage.start(DEAD_LETTER_FLOOD_WINDOW="0")
    await stage.settle()
    await stage.judge()


def garbage(number: int) -> Message:
    """Nothing that could become an event."""
    value = f"{CANARY} {number}".encode()
    return Message("garbage", "customer", number % PARTITIONS, b"1", value, (), _MOMENT_MS, Hopeless())


async def letters_of_flood(stage: Stage, replica: ServiceProcess, *, after: int) -> int:
    """Wait until there are more letters and every lane pauses; how many letters there are then.

    That is a few windows more at most. Nothing was skipped, and Kafka has heard of no more than SQL.
    """
    await stage.wait_until(lambda: stage.count("dead_letters") > after, "no dead letters")
    await replica.wait_for_status("/health/ready", 503, saying="records are dead")
    await wait_for_pauses(replica)
    letters = stage.count("dead_letters")
    assert after < letters <= after + _AT_ONCE
    progress = await read_progress(stage.world)
    assert sum(progress.positions[log].next_offset for log in stage.logs("customer")) == letters
    for log, offset in progress.group_offsets.items():
        assert offset <= progress.positions[log].next_offset
    return letters


async def wait_for_pauses(replica: ServiceProcess) -> None:
    """Wait until all lanes of a process pause, those that have nothing to read too."""
    lanes = len(ENTITIES) * PARTITIONS
    async with asyncio.timeout(30):
        while (await replica.metrics()).total("upsertd_lane_paused", reason="flood") < lanes:  # noqa: ASYNC110 -- another process tells nobody
            await asyncio.sleep(0.1)
