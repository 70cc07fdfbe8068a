"""Fixtures of the tests of benchmarks: the servers of all tests, as a benchmark wants them."""

from __future__ import annotations

import pytest

from benchmarks.servers import Servers
from tests.servers import Kafka, MariaDb, Redis, ServerMissing


class _SeenServers(Servers):
    """Servers whose processes need not be of this machine: their CPU time is left out."""

    @property
    def pids(self) -> dict[str, int]:
        return {}


@pytest.fixture
def bench_servers(kafka: Kafka, mariadb: MariaDb, redis_server: Redis, schema: bytes) -> Servers:
    """The servers of this run, with a schema to begin with."""
    if mariadb.given_address is not None:
        raise ServerMissing("MariaDB is given by DATABASE_URL, and only root may ask for peaks")
    return _SeenServers(kafka, mariadb, redis_server, schema)
