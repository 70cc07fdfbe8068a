"""Upgrades without downtime: the schema may be ahead of the service, and one that is behind is waited for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.e2e.service_process import ServiceFailed, ServiceProcess
from tests.e2e.stage import Stage
from tests.e2e.workload import Workload
from tests.operations.commands import settings_of, upsertd
from tests.operations.next_version import COLUMN, REVISION, make_next_version
from tests.servers import MariaDb

_PER_SECOND = 200


@pytest.fixture
def next_version(tmp_path: Path) -> dict[str, str]:
    """The environment of the version after this one."""
    return make_next_version(tmp_path)


async def test_a_migration_and_a_rollout_beside_the_running_service(
    stage: Stage, mariadb: MariaDb, next_version: dict[str, str]
) -> None:
    """The old version goes on in the new schema without a pause, until the new one has taken over."""
    old = stage.start()
    await old.wait_ready()
    settings = settings_of(stage.world)
    async with stage.load(Workload(3), per_second=_PER_SECOND):
        await stage.wait_for_progress()
        async with always_ready(old):
            told = await asyncio.to_thread(upsertd, settings | next_version, "migrate")
            assert told.endswith(f"to {REVISION}\n")
            for _ in range(3):
                await stage.wait_for_progress()
        assert pauses(old) == []
        assert f"ahead: at {REVISION}" in await asyncio.to_thread(upsertd, settings, "check")
        new = stage.start(**next_version)
        await new.wait_ready()
        assert await old.sigterm() == 0
        await stage.wait_for_progress()
    await stage.settle()
    await stage.judge()
    assert (COLUMN,) in columns_of_customers(stage, mariadb)


async def test_a_new_version_waits_for_its_migration(stage: Stage, next_version: dict[str, str]) -> None:
    """Unready and alive, beside an old one that goes on; it begins by itself once the schema is there."""
    old = stage.start()
    await old.wait_ready()
    new = stage.start(**next_version)
    await new.wait_for_status("/health/ready", 503)
    await stage.produce(Workload(4).take(600))
    await stage.settle()
    await new.wait_for_status("/health/live", 200)
    waiting = await new.metrics()
    assert waiting.total("upsertd_events_total") == 0
    # This is how the alert tells it from a database that is away.
    assert waiting.total("upsertd_part_ready", part="schema") == 0
    assert waiting.total("upsertd_part_ready", part="database") == 1
    assert "run `upsertd migrate`" in new.log
    await asyncio.to_thread(upsertd, settings_of(stage.world) | next_version, "migrate")
    await new.wait_ready()
    assert await old.sigterm() == 0
    await stage.produce(Workload(5).take(600))
    await stage.settle()
    await stage.judge()
    assert (await new.metrics()).total("upsertd_events_total") > 0


@asynccontextmanager
async def always_ready(replica: ServiceProcess) -> AsyncIterator[None]:
    """Ask for its readiness again and again; fail when it was ever not ready."""

    unready: list[str] = []

    async def watch() -> None:
        while replica.running:
            with suppress(ServiceFailed):  # no 503 for a second: well
                await replica.wait_for_status("/health/ready", 503, timeout_seconds=1)
                unready.append(replica.log_tail())

    watching = asyncio.create_task(watch())
    yield
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert replica.running
    assert unready == []


def pauses(replica: ServiceProcess) -> list[str]:
    """The lines of its log that tell of a lane that had to wait."""
    lines = [line for line in replica.log.splitlines() if line.startswith("{")]
    return [line for line in lines if json.loads(line)["event"] == "paused"]


def columns_of_customers(stage: Stage, mariadb: MariaDb) -> list[tuple[object, ...]]:
    """Their names, as the server has them."""
    sql = "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
    return mariadb.execute(sql, parameters=(stage.database, "customers"))
