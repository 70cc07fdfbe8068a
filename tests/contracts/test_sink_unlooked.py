"""The suite of `Sink` once more on each real database, where a first run never looks anything up.

`sinks.look_ups` says so after a stretch without marks and rows; here it always does, so that whatever is
there is found out by its key.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

import pytest
import pytest_asyncio

from tests.contracts import test_sink
from tests.contracts.conftest import DATABASES
from tests.contracts.sink_worlds import FirstRunLooks, SqlWorld

TestFence = test_sink.TestFence
TestOutcomes = test_sink.TestOutcomes
TestRows = test_sink.TestRows
TestDeletes = test_sink.TestDeletes
TestLines = test_sink.TestLines
TestVersions = test_sink.TestVersions
TestLetters = test_sink.TestLetters
TestAllOrNothing = test_sink.TestAllOrNothing
test_in_sql_a_batch_is_its_records_one_by_one = test_sink.test_in_sql_a_batch_is_its_records_one_by_one


@pytest.fixture(params=DATABASES)
def tables_url(request: pytest.FixtureRequest) -> str:
    """Where the tables are."""
    return cast("str", request.getfixturevalue(request.param))


@pytest_asyncio.fixture
async def world(tables_url: str) -> AsyncIterator[SqlWorld]:
    """A sink without rows, marks, positions and letters."""
    world = SqlWorld(tables_url, look_ups=FirstRunLooks())
    await world.clear()
    yield world
    await world.database.close()
