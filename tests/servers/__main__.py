"""`python -m tests.servers` (`make servers`): Kafka, a database and Redis for a person, until Ctrl-C.

Prints the addresses as `export` lines, on well-known ports where these are free, with the topics made and
an empty database: MariaDB's, or that of `--database`. Everything is gone at the end.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack

from tests.servers import Kafka, MariaDb, PostgreSql, Redis, ServerFailed, ServerMissing
from tests.servers.folders import guarded_folder

_KAFKA_PORT, _MARIADB_PORT, _POSTGRESQL_PORT, _REDIS_PORT = 19092, 13306, 15432, 16379
_TOPICS = ("customers", "products", "orders")
_PARTITIONS = 3
_NAME = "upsertd"


def main() -> int:
    """Run the servers until SIGINT or SIGTERM; 1 when one cannot be had, 2 on wrong usage."""
    make_database = _DATABASES[_arguments().database]
    for server in (Kafka, MariaDb, PostgreSql, Redis):
        # Exported by an earlier run perhaps: here servers are started, not looked for.
        os.environ.pop(server.address_variable, None)
    # SIGINT too: it is ignored from the start where a shell runs this in the background.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.default_int_handler)
    try:
        return _serve(make_database)
    except KeyboardInterrupt:
        return 0
    except (ServerFailed, ServerMissing) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.servers", description="Kafka, a database and Redis.")
    parser.add_argument("--database", choices=sorted(_DATABASES), default="mariadb")
    return parser.parse_args()


def _serve(make_database: Callable[[ExitStack], str]) -> int:
    with ExitStack() as servers:
        kafka = servers.enter_context(Kafka(port=_KAFKA_PORT))
        database_url = make_database(servers)
        redis = servers.enter_context(Redis(port=_REDIS_PORT))
        for topic in _TOPICS:
            kafka.create_topic(topic, _PARTITIONS)
        print(f"export KAFKA_BOOTSTRAP_SERVERS={kafka.bootstrap}")
        print(f"export DATABASE_URL={database_url}")
        print(f"export REDIS_URL={redis.url}")
        print("# Ctrl-C ends the servers and removes their data.", flush=True)
        signal.pause()
    return 0


def _mariadb(servers: ExitStack) -> str:
    return servers.enter_context(MariaDb(port=_MARIADB_PORT)).create_database(_NAME)


def _postgresql(servers: ExitStack) -> str:
    return servers.enter_context(PostgreSql(port=_POSTGRESQL_PORT)).create_database(_NAME)


def _sqlite(_servers: ExitStack) -> str:
    """The address of a file that the first migration makes; its folder ends with this process."""
    return f"sqlite:///{guarded_folder('sqlite') / _NAME}.db"


_DATABASES: dict[str, Callable[[ExitStack], str]] = {
    "mariadb": _mariadb,
    "postgresql": _postgresql,
    "sqlite": _sqlite,
}


if __name__ == "__main__":
    sys.exit(main())
