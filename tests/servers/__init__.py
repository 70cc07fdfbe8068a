"""Real Kafka, MariaDB, PostgreSQL and Redis for tests, on loopback ports of their own, found or fetched.

`tests/conftest.py` shares one of each over a test run; tests that kill or configure a server make their
own; `python -m tests.servers` starts Kafka, Redis and a database for a person. Where a server comes from,
first match:

1. the address in `KAFKA_BOOTSTRAP_SERVERS`, `DATABASE_URL` (MariaDB), `POSTGRESQL_URL` or `REDIS_URL` (such a
   server cannot be killed);
2. a Docker engine that answers and can pull the image;
3. the programs on the `PATH`;
4. Debian's package manager, and Maven for Kafka's jars (both kept in `UPSERTD_CACHE`, else `.cache`).

What cannot be had raises `ServerMissing`: a visible skip, and a failure with `CI=true`.
"""

from __future__ import annotations

from tests.servers.errors import ServerFailed, ServerMissing
from tests.servers.kafka import Kafka
from tests.servers.mariadb import MariaDb, database_of
from tests.servers.postgresql import PostgreSql
from tests.servers.redis import Redis

__all__ = ["Kafka", "MariaDb", "PostgreSql", "Redis", "ServerFailed", "ServerMissing", "database_of"]
