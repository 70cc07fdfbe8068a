"""The service and its commands on PostgreSQL: the same mixed load and the same judge."""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import asyncpg
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
from tests.servers import Kafka, PostgreSql, database_of


@dataclass(frozen=True, slots=True)
class Shop:
    """A migrated database and its topics; `settings` is the environment of every command."""

    world: World
    settings: Mapping[str, str]

    def run(self, *arguments: str) -> str:
        """What a command prints, if it succeeds."""
        done = subprocess.run(
            [PROGRAM, *arguments], env=self.settings, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    async def settled(self) -> None:
        """Wait until group offsets and positions are at the ends."""
        deadline = time.monotonic() + 60
        while lagging := list((await read_progress(self.world)).lagging()):
            assert time.monotonic() < deadline, "\n".join(lagging)


@pytest.fixture
def shop(kafka: Kafka, postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """Topics of three partitions, and tables that the judge reads through asyncpg."""
    name = secrets.token_hex(4)
    topics = {entity: f"{table}-{name}" for entity, table in TABLES.items()}
    for topic in topics.values():
        kafka.create_topic(topic, 3, retention_ms=-1)
    monkeypatch.setattr(seeing, "connect", connect)
    monkeypatch.setattr(seeing, "select", select)
    settings = {
        **{f"KAFKA_TOPIC_{TABLES[entity].upper()}": topic for entity, topic in topics.items()},
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap,
        "KAFKA_GROUP_ID": f"group-{name}",
        "KAFKA_SESSION_TIMEOUT_SECONDS": "6",
        "DATABASE_URL": postgresql_url,
        "LOG_FORMAT": "json",
    }
    shop = Shop(World(kafka.bootstrap, f"group-{name}", postgresql_url, topics), settings)
    shop.run("migrate")
    yield shop
    for topic in topics.values():
        kafka.delete_topic(topic)


@pytest.fixture
def service(shop: Shop) -> Iterator[ServiceProcess]:
    """One replica, not started."""
    service = ServiceProcess(shop.settings)
    yield service
    service.close()


async def test_postgresql_holds_what_the_model_says(
    shop: Shop, service: ServiceProcess, postgresql: PostgreSql, seed: int
) -> None:
    """Rows, marks, letters and offsets, though the service is killed and loses all of its connections."""
    workload, model = Workload(seed, Shape(hostile=0.06)), Model()
    service.start()
    model.take_all(await produce(shop.world, workload.take(600)))
    await shop.settled()
    await service.kill9()
    await evict_members(shop.world)
    model.take_all(await produce(shop.world, workload.take(900)))
    service.start()
    for _ in range(5):
        await asyncio.to_thread(end_connections, postgresql, database_of(shop.world.database_url))
        model.take_all(await produce(shop.world, workload.take(100)))
    await shop.settled()
    differences = await judge.verify(model, shop.world)
    assert not differences, "\n".join(differences)
    metrics = await service.metrics()
    assert metrics.total("upsertd_db_pool_in_use") <= metrics.total("upsertd_db_pool_size") == 5
    assert await service.sigterm() == 0
    assert "never retrieved" not in service.log


async def test_the_commands_know_postgresql(shop: Shop, service: ServiceProcess, seed: int) -> None:
    """Migrate again, check, and what positions and dead letters say after a few records."""
    assert shop.run("migrate").startswith("nothing to do")
    service.start()
    await produce(shop.world, Workload(seed, Shape(hostile=0.3)).take(200))
    await shop.settled()
    assert all(line.startswith("ok") for line in shop.run("check").splitlines())
    positions = json.loads(shop.run("positions", "--json"))
    assert {row["lag"] for row in positions} == {0}
    letters = json.loads(shop.run("dead-letters", "list", "--json"))
    assert letters
    assert str(letters[0]["id"]) in shop.run("dead-letters", "show", str(letters[0]["id"]))


def end_connections(postgresql: PostgreSql, database: str) -> None:
    """Do as an administrator who restarts the server."""
    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1"
    postgresql.execute(query, parameters=(database,))


@contextmanager
def connect(world: World) -> Iterator[str]:
    """As `world.connect`: here every query has a connection of its own."""
    yield world.database_url


def select(connection: str, sql: str, *parameters: object) -> list[Fields]:
    """As `world.select`, from inside an event loop too."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, _select(connection, sql.replace("%s", "$1"), parameters)).result()


async def _select(url: str, sql: str, parameters: tuple[object, ...]) -> list[Fields]:
    connection: asyncpg.Connection = await asyncpg.connect(url)
    try:
        return [dict(row) for row in await connection.fetch(sql, *parameters)]
    finally:
        await connection.close()
