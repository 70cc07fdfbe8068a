"""A stage for each test: the service as it really runs, on the servers that the whole run shares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.stage import Stage, staged
from tests.servers import Kafka, MariaDb, Redis


@pytest.fixture
def stage(kafka: Kafka, mariadb: MariaDb, redis_server: Redis, schema: bytes) -> Iterator[Stage]:
    """Topics, a migrated and audited database, and processes that end with the test."""
    with staged(kafka, mariadb, redis_server, schema) as stage:
        yield stage
