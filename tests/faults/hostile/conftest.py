"""A database of each kind with tables, and a sink in front of it for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

import pytest
import pytest_asyncio

from tests.contracts.conftest import DATABASES
from tests.contracts.sink_worlds import SqlWorld


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
