"""The databases of the contract suites: in memory, and each real one with its tables."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import cast

import pytest
import pytest_asyncio

from tests.contracts.sink_worlds import MemoryWorld, SqlWorld, World, create_tables
from tests.servers import MariaDb, PostgreSql, database_of

# Each real database, by the name of the fixture that makes its tables: once for all tests of this module.
DATABASES = ["mariadb_tables", "postgresql_tables", "sqlite_tables"]


@pytest.fixture(scope="module")
def mariadb_tables(mariadb: MariaDb) -> Iterator[str]:
    url = mariadb.create_database()
    create_tables(url)
    yield url
    mariadb.drop_database(database_of(url))


@pytest.fixture(scope="module")
def postgresql_tables(postgresql: PostgreSql) -> Iterator[str]:
    url = postgresql.create_database()
    create_tables(url)
    yield url
    postgresql.drop_database(database_of(url))


@pytest.fixture(scope="module")
def sqlite_tables(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/shop.db"
    create_tables(url)
    return url


@pytest.fixture(params=["memory", *DATABASES])
def tables_url(request: pytest.FixtureRequest) -> str | None:
    """Where the tables are, None for those in memory."""
    return None if request.param == "memory" else cast("str", request.getfixturevalue(request.param))


@pytest_asyncio.fixture
async def world(tables_url: str | None) -> AsyncIterator[World]:
    """A sink without rows, marks, positions and letters."""
    if tables_url is None:
        yield MemoryWorld()
        return
    world = SqlWorld(tables_url)
    await world.clear()
    yield world
    await world.database.close()
