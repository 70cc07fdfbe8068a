"""Fixtures of every test: one server of each kind for the whole run, started when first used.

Each test has topics, a database and a Redis of its own on them; a test that kills a server makes its own
(`tests.servers`). Also here: a server that cannot be had is a visible skip, and in CI a skip is a failure.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, settings

from tests.contracts.sink_worlds import create_tables
from tests.servers import Kafka, MariaDb, PostgreSql, Redis, ServerMissing, database_of

_CHECKOUT = Path(__file__).parents[1]

# How long examples take to make says something about the machine: in a fresh clone on a busy one, too long.
settings.register_profile("upsertd", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("upsertd")


class NewTopic(Protocol):
    """Creates a topic with a fresh name, which it returns; it is deleted after the test.

    `config` are topic settings with underscores for dots.
    """

    def __call__(self, partitions: int = 1, **config: object) -> str: ...


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """The broker of this run."""
    with Kafka() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """The MariaDB of this run."""
    with MariaDb() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSql]:
    """The PostgreSQL of this run."""
    with PostgreSql() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """The Redis of this run."""
    with Redis() as server:
        yield server


@pytest.fixture
def new_topic(kafka: Kafka) -> Iterator[NewTopic]:
    """Makes topics for this test."""
    made: list[str] = []

    def create(partitions: int = 1, **config: object) -> str:
        name = f"topic-{secrets.token_hex(6)}"
        kafka.create_topic(name, partitions, **config)
        made.append(name)
        return name

    yield create
    for name in made:
        kafka.delete_topic(name)


@pytest.fixture
def topic(new_topic: NewTopic) -> str:
    """The name of a fresh topic with one partition."""
    return new_topic()


@pytest.fixture
def database_url(mariadb: MariaDb) -> Iterator[str]:
    """A fresh database without tables."""
    url = mariadb.create_database()
    yield url
    mariadb.drop_database(database_of(url))


@pytest.fixture
def postgresql_url(postgresql: PostgreSql) -> Iterator[str]:
    """A fresh database without tables, in PostgreSQL."""
    url = postgresql.create_database()
    yield url
    postgresql.drop_database(database_of(url))


@pytest.fixture(scope="session")
def schema(mariadb: MariaDb) -> bytes:
    """A backup of a database that has the newest schema and no rows: migrating once a run is enough."""
    url = mariadb.create_database()
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    environment = {**os.environ, "DATABASE_URL": url}
    done = subprocess.run(
        command, cwd=_CHECKOUT, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    backup = mariadb.dump(database_of(url))
    mariadb.drop_database(database_of(url))
    return backup


@pytest.fixture
def migrated_url(mariadb: MariaDb, database_url: str, schema: bytes) -> str:
    """A fresh database with the newest schema."""
    mariadb.restore(database_of(database_url), schema)
    return database_url


@pytest.fixture(scope="session")
def mariadb_tables(mariadb: MariaDb) -> str:
    """A database with the tables, for tests that leave these as they are; what is in them may be deleted."""
    url = mariadb.create_database()
    create_tables(url)
    return url


@pytest.fixture(scope="session")
def postgresql_tables(postgresql: PostgreSql) -> str:
    """The same in PostgreSQL."""
    url = postgresql.create_database()
    create_tables(url)
    return url


@pytest.fixture(scope="session")
def sqlite_tables(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same in a SQLite file."""
    url = f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/shop.db"
    create_tables(url)
    return url


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    """A Redis without keys."""
    redis_server.flush()
    return redis_server.url


def pytest_sessionstart() -> None:
    # looptime asks for the event loop in synchronous tests too. Unless one was set, None included, asyncio
    # makes one then, which nobody closes: a ResourceWarning in whatever test the collector runs.
    asyncio.set_event_loop(None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    return (yield from _skip_without_server())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    return (yield from _skip_without_server())


def _skip_without_server() -> Generator[None, object, object]:
    try:
        return (yield)
    except ServerMissing as missing:
        pytest.skip(str(missing))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    # An expected failure is reported as skipped too, but it did run.
    if report.skipped and not hasattr(report, "wasxfail"):
        _fail_in_ci(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped:
        _fail_in_ci(report)
    return report


def _fail_in_ci(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get("CI") == "true":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        report.outcome = "failed"
        report.longrepr = f"Nothing may be skipped in CI. {reason}"
