"""`python -m tests.servers` (`make servers`): all three servers for a person, until Ctrl-C.

Prints the addresses as `export` lines, on well-known ports where these are free, with the topics made and
an empty database. Everything is gone at the end.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack

from tests.servers import Kafka, MariaDb, Redis, ServerFailed, ServerMissing

_KAFKA_PORT, _MARIADB_PORT, _REDIS_PORT = 19092, 13306, 16379
_TOPICS = ("customers", "products", "orders")
_PARTITIONS = 3


def main() -> int:
    """Run the servers until SIGINT or SIGTERM; 1 when one cannot be had."""
    for server in (Kafka, MariaDb, Redis):
        # Exported by an earlier run perhaps: here servers are started, not looked for.
        os.environ.pop(server.address_variable, None)
    # SIGINT too: it is ignored from the start where a shell runs this in the background.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.default_int_handler)
    try:
        return _serve()
    except KeyboardInterrupt:
        return 0
    except (ServerFailed, ServerMissing) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _serve() -> int:
    with ExitStack() as servers:
        kafka = servers.enter_context(Kafka(port=_KAFKA_PORT))
        mariadb = servers.enter_context(MariaDb(port=_MARIADB_PORT))
        redis = servers.enter_context(Redis(port=_REDIS_PORT))
        for topic in _TOPICS:
            kafka.create_topic(topic, _PARTITIONS)
        database_url = mariadb.create_database("upsertd")
        print(f"export KAFKA_BOOTSTRAP_SERVERS={kafka.bootstrap}")
        print(f"export DATABASE_URL={database_url}")
        print(f"export REDIS_URL={redis.url}")
        print("# Ctrl-C ends the servers and removes their data.", flush=True)
        signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
