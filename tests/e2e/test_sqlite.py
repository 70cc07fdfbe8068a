"""The service on SQLite: the same mixed load and the same judge, who reads the file as it is."""

from __future__ import annotations

import secrets
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tests.e2e import judge
from tests.e2e import world as seeing
from tests.e2e.eviction import evict_members
from tests.e2e.messages import TABLES
from tests.e2e.oracle import Model
from tests.e2e.producing import produce
from tests.e2e.service_process import PROGRAM, ServiceProcess
from tests.e2e.workload import Shape, Workload
from tests.e2e.world import Fields, World, read_progress
from tests.servers import Kafka

DECIMALS = {"price", "total", "quantity", "unit_price"}


@pytest.fixture
def world(kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Topics of three partitions, and a migrated file that the judge reads through sqlite3."""
    name = secrets.token_hex(4)
    topics = {entity: f"{table}-{name}" for entity, table in TABLES.items()}
    for topic in topics.values():
        kafka.create_topic(topic, 3, retention_ms=-1)
    url = f"sqlite:///{tmp_path}/shop.db"
    subprocess.run([PROGRAM, "migrate"], env={"DATABASE_URL": url}, check=True, timeout=60)
    monkeypatch.setattr(seeing, "connect", connect)
    monkeypatch.setattr(seeing, "select", select)
    yield World(kafka.bootstrap, f"group-{name}", url, topics)
    for topic in topics.values():
        kafka.delete_topic(topic)


@pytest.fixture
def service(world: World) -> Iterator[ServiceProcess]:
    """One replica, not started."""
    topics = {f"KAFKA_TOPIC_{TABLES[entity].upper()}": topic for entity, topic in world.topics.items()}
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": world.bootstrap,
        "KAFKA_GROUP_ID": world.group_id,
        "KAFKA_SESSION_TIMEOUT_SECONDS": "6",
        "DATABASE_URL": world.database_url,
        "LOG_FORMAT": "json",
    }
    service = ServiceProcess({**topics, **settings})
    yield service
    service.close()


async def test_sqlite_holds_what_the_model_says(world: World, service: ServiceProcess, seed: int) -> None:
    """Rows, marks, letters and offsets, after a crash in the middle, and without one retry on nine lanes."""
    workload, model = Workload(seed, Shape(hostile=0.06)), Model()
    service.start()
    await service.wait_ready()
    model.take_all(await produce(world, workload.take(900)))
    await service.kill9()
    await evict_members(world)
    service.start()
    model.take_all(await produce(world, workload.take(600)))
    await settled(world)
    differences = await judge.verify(model, world)
    assert not differences, "\n".join(differences)
    metrics = await service.metrics()
    assert metrics.total("upsertd_retries_total") == 0
    assert metrics.total("upsertd_db_pool_in_use") <= metrics.total("upsertd_db_pool_size") == 5
    assert await service.sigterm() == 0


async def settled(world: World) -> None:
    deadline = time.monotonic() + 60
    while lagging := list((await read_progress(world)).lagging()):
        assert time.monotonic() < deadline, "\n".join(lagging)


@contextmanager
def connect(world: World) -> Iterator[sqlite3.Connection]:
    """As `world.connect`."""
    with closing(sqlite3.connect(world.database_url.removeprefix("sqlite:///"))) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


def select(connection: sqlite3.Connection, sql: str, *parameters: object) -> list[Fields]:
    """As `world.select`."""
    rows = connection.execute(sql.replace("%s", "?"), parameters)
    return [{name: _value(name, row[name]) for name in row.keys()} for row in rows]  # noqa: SIM118 - values


def _value(name: str, stored: object) -> object:
    if isinstance(stored, str) and name.endswith("_at"):
        return datetime.fromisoformat(stored)
    return Decimal(stored) if isinstance(stored, str) and name in DECIMALS else stored
