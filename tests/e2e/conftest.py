"""A stage for each scenario, on the servers that the whole run shares."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from tests.e2e.stage import Stage, staged
from tests.servers import Kafka, MariaDb, Redis


@pytest.fixture
def stage(kafka: Kafka, mariadb: MariaDb, redis_server: Redis, schema: bytes) -> Iterator[Stage]:
    """Topics, a migrated and audited database, and processes that end with the test."""
    with staged(kafka, mariadb, redis_server, schema) as stage:
        yield stage


@pytest.fixture
def seed() -> int:
    """The seed of the scenario; `E2E_SEED` repeats one. pytest shows it when the test fails."""
    seed = int(os.environ.get("E2E_SEED") or random.SystemRandom().randrange(2**32))
    print(f"E2E_SEED={seed}")
    return seed
