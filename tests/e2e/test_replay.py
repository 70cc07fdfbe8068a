"""`upsertd replay` beside a running group and without one: it changes nothing that must not change."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tests.e2e.messages import Message
from tests.e2e.service_process import PROGRAM
from tests.e2e.stage import Stage
from tests.e2e.workload import Workload
from tests.e2e.world import Observed, World, connect, observe, select
from tests.operations.commands import settings_of

_PER_SECOND = 300
_TABLES = (
    *("customers", "products", "orders", "order_items"),
    *("processed_events", "dead_letters", "consumer_positions"),
)
_PAYLOAD_TABLES = _TABLES[:4]


async def start(stage: Stage, arguments: str, **settings: str) -> asyncio.subprocess.Process:
    """Run `upsertd replay` beside the scenario's replicas."""
    return await asyncio.create_subprocess_exec(
        *(str(PROGRAM), "replay", "--json", *arguments.split()),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **settings_of(stage.world), **settings},
    )


async def finish(process: asyncio.subprocess.Process, code: int = 0) -> Mapping[str, Any]:
    """Wait for a replay's end, which must have this exit code; returns its summary."""
    async with asyncio.timeout(120):
        out, told = await process.communicate()
    assert process.returncode == code, told.decode()
    summary: Mapping[str, Any] = json.loads(out)
    return summary


async def replay(stage: Stage, entity: str, options: str = "", **settings: str) -> Mapping[str, Any]:
    """Replay the whole topic of an entity."""
    arguments = f"--topic {stage.world.topics[entity]} --from-offset 0 {options}"
    return await finish(await start(stage, arguments, **settings))


async def test_replays_beside_the_running_group(stage: Stage, seed: int) -> None:
    """Whole topics, forced ones too, under load and while a replica is killed."""
    first, second = stage.start(), stage.start()
    workload = Workload(seed)
    await stage.produce(workload.take(1_200))
    await second.wait_ready()
    async with stage.load(workload, per_second=_PER_SECOND):
        await stage.wait_for_progress()
        await asyncio.gather(replay(stage, "customer"), replay(stage, "order", "--force"))
        forced = asyncio.create_task(replay(stage, "product", "--force"))
        await stage.wait_for_progress()
        await first.kill9()
        await forced
        first.start()
    await stage.settle()
    await stage.judge()


async def test_rows_removed_by_hand_come_back(stage: Stage, seed: int) -> None:
    """With --force, as they were; not without it, not by a dry run, and no less for a Ctrl-C in between.

    Before anything was removed a forced replay changes nothing: no row, mark, letter or position.
    """
    await handled(stage, Workload(seed).take(900))
    before, sums = await observe(stage.world), checksums(stage.world)
    for summary in await replay_all(stage, "--force"):
        assert summary["total"]["applied"] == 0
    assert checksums(stage.world) == sums

    remove_rows(stage.world)
    assert outcomes(await replay(stage, "customer")).keys() <= {"duplicate", "dead"}
    assert stage.count("customers") == 0

    sums = checksums(stage.world)
    assert outcomes(await replay(stage, "customer", "--force --dry-run"))["applied"] > 0
    assert checksums(stage.world) == sums

    assert not (await interrupted(stage, "customer", "--force"))["finished"]
    assert all(summary["finished"] for summary in await replay_all(stage, "--force"))
    assert_same(await observe(stage.world), before)


async def replay_all(stage: Stage, options: str) -> list[Mapping[str, Any]]:
    """Replay every topic, side by side."""
    return await asyncio.gather(*(replay(stage, entity, options) for entity in stage.world.topics))


def outcomes(summary: Mapping[str, Any]) -> dict[str, int]:
    """What became of the records, without the zeros."""
    return {name: number for name, number in summary["total"].items() if number and name != "read"}


async def handled(stage: Stage, messages: Sequence[Message]) -> None:
    """Let the service handle messages and end."""
    replica = stage.start()
    await stage.produce(messages)
    await stage.settle()
    assert await replica.sigterm() == 0


async def interrupted(stage: Stage, entity: str, options: str) -> Mapping[str, Any]:
    """Replay a topic record by record, and press Ctrl-C when the first rows are there."""
    arguments = f"--topic {stage.world.topics[entity]} --from-offset 0 {options}"
    process = await start(stage, arguments, BATCH_MAX_RECORDS="1")
    deadline = time.monotonic() + 60
    while not stage.count("customers"):
        assert time.monotonic() < deadline
        assert process.returncode is None
        await asyncio.sleep(0.02)
    process.send_signal(signal.SIGINT)
    return await finish(process, 130)


def remove_rows(world: World) -> None:
    """What an operator's mistake does: every row is gone, and its mark stays."""
    with connect(world) as connection, connection.cursor() as cursor:
        for table in _PAYLOAD_TABLES:
            cursor.execute(f"DELETE FROM {table}")


def checksums(world: World) -> dict[str, object]:
    """A number for the content of each table."""
    with connect(world) as connection:
        rows = select(connection, f"CHECKSUM TABLE {', '.join(_TABLES)} EXTENDED")
    return {str(row["Table"]): row["Checksum"] for row in rows}


def assert_same(after: Observed, before: Observed) -> None:
    """Rows, marks, letters and positions are what they were."""
    differing = {
        subject: (before.rows.get(subject), after.rows.get(subject))
        for subject in before.rows.keys() | after.rows.keys()
        if before.rows.get(subject) != after.rows.get(subject)
    }
    assert differing == {}
    assert after.marks == before.marks
    assert after.letters == before.letters
    assert after.progress == before.progress
