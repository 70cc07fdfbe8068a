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
from urllib.parse import urlsplit, urlunsplit

from tests.faults.chaos.proxy import Proxy
from tests.servers import Kafka, MariaDb, Redis, ServerFailed, database_of
from tests.servers.ports import free_port

REPLICAS = 3
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
            "DATABASE_URL": _moved(database_url, self.database.port),
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
    proxies = tuple(Proxies(Proxy(), Proxy(), Proxy()) for _ in range(REPLICAS))
    with ExitStack() as running:
        kafka = running.enter_context(_kafka_behind([each.kafka for each in proxies]))
        mariadb = running.enter_context(MariaDb())
        redis = running.enter_context(Redis())
        schema = await asyncio.to_thread(_migrated, mariadb)
        try:
            for number, each in enumerate(proxies):
                await each.kafka.start(int(kafka.address(_listener(number)).rpartition(":")[2]))
                await each.database.start(mariadb.port)
                await each.redis.start(redis.port)
            yield Servers(kafka, mariadb, redis, proxies, schema)
        finally:
            await asyncio.gather(*(one.stop() for each in proxies for one in _all(each)))


def _all(proxies: Proxies) -> tuple[Proxy, ...]:
    return proxies.kafka, proxies.database, proxies.redis


def _listener(number: int) -> str:
    return f"REPLICA{number + 1}"


def _kafka_behind(proxies: list[Proxy]) -> Kafka:
    """A broker that tells each listener's clients the address of its proxy."""
    names = [_listener(number) for number in range(len(proxies))]
    port = free_port()
    seen = [f"{name}://127.0.0.1:{proxy.port}" for name, proxy in zip(names, proxies, strict=True)]
    return Kafka(
        port=port,
        protocols=names,
        properties={
            "advertised.listeners": ",".join([f"PLAINTEXT://127.0.0.1:{port}", *seen]),
            "listener.security.protocol.map": ",".join(
                f"{name}:PLAINTEXT" for name in ("CONTROLLER", "PLAINTEXT", *names)
            ),
        },
    )


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


def _moved(url: str, port: int) -> str:
    """`url` at another port."""
    parts = urlsplit(url)
    login, _, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{port}"))
