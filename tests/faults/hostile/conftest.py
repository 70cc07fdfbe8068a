"""A database of each kind with tables, made once, and a sink in front of it for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import cast

import pytest
import pytest_asyncio

from tests.contracts.sink_worlds import SqlWorld, create_tables
from tests.servers import MariaDb, PostgreSql, database_of

DATABASES = ["mariadb_tables", "postgresql_tables", "sqlite_tables"]


@pytest.fixture(scope="package")
def mariadb_tables(mariadb: MariaDb) -> Iterator[str]:
    url = mariadb.create_database()
    create_tables(url)
    yield url
    mariadb.drop_database(database_of(url))


@pytest.fixture(scope="package")
def postgresql_tables(postgresql: PostgreSql) -> Iterator[str]:
    url = postgresql.create_database()
    create_tables(url)
    yield url
    postgresql.drop_database(database_of(url))


@pytest.fixture(scope="package")
def sqlite_tables(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/shop.db"
    create_tables(url)
    return url


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest) -> str:
    """A database with tables, of each kind."""
    return cast("str", request.getfixturevalue(request.param))


@pytest_asyncio.fixture
async def world(url: str) -> AsyncIterator[SqlWorld]:
    """A sink in front of empty tables."""
    world = SqlWorld(url)
    await world.clear()
    yield world
    await world.database.close()
