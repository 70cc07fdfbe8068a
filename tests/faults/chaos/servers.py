"""A Kafka, a MariaDB and a Redis of our own, and a proxy between each of them and each replica.

Called by `run`, which lets replicas know the proxies' addresses; the harness itself asks the servers
directly. Every proxy of Kafka is a listener of its own, because a broker tells its clients where it is.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.proxied import at_port, kafka_behind
from tests.faults.proxy import Proxy
from tests.servers import Kafka, MariaDb, Redis, ServerFailed, database_of

REPLICAS = 3
SLOW_SECONDS = 0.06  # a packet
_CHECKOUT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Proxies:
    """What lies between one replica and its servers."""

    kafka: Proxy
    database: Proxy
    redis: Proxy

    def settings(self, database_url: str) -> Mapping[str, str]:
        """What the replica is told: the proxies' addresses instead of the real ones."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{self.kafka.port}",
            "DATABASE_URL": at_port(database_url, self.database.port),
            "REDIS_URL": f"redis://127.0.0.1:{self.redis.port}/0",
            # A record that is parked is to have its end while the act lasts.
            "RETRY_DELAYS_SECONDS": "2",
        }


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers, the proxies of each replica, and a backup of a migrated, empty database."""

    kafka: Kafka
    mariadb: MariaDb
    redis: Redis
    proxies: tuple[Proxies, ...]
    schema: bytes


@asynccontextmanager
async def serving() -> AsyncIterator[Servers]:
    """Start everything; in the end it is closed and its data removed."""
    with ExitStack() as running:
        mariadb = running.enter_context(MariaDb())
        redis = running.enter_context(Redis())
        schema = await asyncio.to_thread(_migrated, mariadb)
        servers = (0, mariadb.port, redis.port)  # a broker comes up behind its proxies
        proxies = tuple(
            Proxies(*(running.enter_context(Proxy(port, SLOW_SECONDS)) for port in servers))
            for _ in range(REPLICAS)
        )
        kafka = running.enter_context(kafka_behind(*(each.kafka for each in proxies)))
        yield Servers(kafka, mariadb, redis, proxies, schema)


def _migrated(mariadb: MariaDb) -> bytes:
    url = mariadb.create_database()
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    environment = {**os.environ, "DATABASE_URL": url}
    done = subprocess.run(
        command, cwd=_CHECKOUT, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode != 0:
        raise ServerFailed(f"the database could not be migrated:\n{done.stderr}")
    backup = mariadb.dump(database_of(url))
    mariadb.drop_database(database_of(url))
    return backup
