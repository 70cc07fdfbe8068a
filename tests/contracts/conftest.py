"""The databases of the contract suites: in memory, and each real one with its tables."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

import pytest
import pytest_asyncio

from tests.contracts.sink_worlds import MemoryWorld, SqlWorld, World

# Each real database, by the name of the fixture that makes its tables.
DATABASES = ["mariadb_tables", "postgresql_tables", "sqlite_tables"]


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
