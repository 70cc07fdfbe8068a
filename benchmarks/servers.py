"""The servers of a benchmark: Kafka, a durable MariaDB and Redis, each a process of this machine.

Opened by `run`. They are the servers of the tests, with other options and never in a container: the CPU
time of a server is read from its process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

import redis

from tests.servers import Kafka, MariaDb, Redis, ServerFailed, database_of
from tests.servers import kafka as kafka_server
from tests.servers.folders import guarded_folder
from tests.servers.processes import LocalProcess
from tests.servers.server import Server

DATABASE_OPTIONS = (
    # Durable: each commit is on the disk before it is answered.
    "--innodb-flush-log-at-trx-commit=1",
    "--innodb-buffer-pool-size=512M",
    "--innodb-log-file-size=512M",
)
_CHECKOUT = Path(__file__).parents[1]
ADDRESS_VARIABLES = tuple(server.address_variable for server in (Kafka, MariaDb, Redis))


class _Local(Server):
    """A server that is a process of this machine even where containers could be had."""

    def _prepare(self) -> LocalProcess:
        self._folder = guarded_folder(self.name.lower())
        command = self._command(self._folder)
        return LocalProcess(command.arguments, self._folder, command.environment)


class _LocalKafka(_Local, Kafka):
    pass


class _LocalMariaDb(_Local, MariaDb):
    pass


class _LocalRedis(_Local, Redis):
    pass


@dataclass(frozen=True, slots=True)
class Servers:
    """All three, running; `schema` is a backup of a migrated, empty database."""

    kafka: Kafka
    mariadb: MariaDb
    redis: Redis
    schema: bytes

    @property
    def pids(self) -> dict[str, int]:
        """The process ids by part. Raises `ServerFailed` when one has ended."""
        servers = {"database": self.mariadb, "redis": self.redis, "broker": self.kafka}
        pids = {part: server.pid for part, server in servers.items()}
        if ended := [part for part, pid in pids.items() if pid is None]:
            raise ServerFailed(f"{', '.join(ended)} has ended")
        return {part: pid for part, pid in pids.items() if pid is not None}

    def versions(self) -> dict[str, str]:
        """What the servers say of themselves."""
        with redis.Redis.from_url(self.redis.url) as client:
            redis_version = client.info("server")["redis_version"]
        [(database_version,)] = self.mariadb.execute("SELECT VERSION()")
        return {
            "kafka": _kafka_version(),
            "mariadb": str(database_version),
            "redis": str(redis_version),
        }


@contextmanager
def open_servers(
    checkout: Path = _CHECKOUT, database_options: Sequence[str] = DATABASE_OPTIONS
) -> Iterator[Servers]:
    """Start servers of our own, whatever addresses the environment names; all is gone at the end.

    The schema is that of the service in `checkout`.
    """
    for name in ADDRESS_VARIABLES:
        os.environ.pop(name, None)
    with ExitStack() as stack:
        mariadb = stack.enter_context(_LocalMariaDb(options=database_options))
        redis_server = stack.enter_context(_LocalRedis())
        kafka = stack.enter_context(_LocalKafka())
        yield Servers(kafka, mariadb, redis_server, schema_of(mariadb, checkout))


@contextmanager
def another_database(servers: Servers, options: Sequence[str]) -> Iterator[Servers]:
    """The same servers but for MariaDB: one more, with `options` on top of the usual ones."""
    with _LocalMariaDb(options=(*DATABASE_OPTIONS, *options)) as mariadb:
        yield replace(servers, mariadb=mariadb)


def schema_of(mariadb: MariaDb, checkout: Path) -> bytes:
    """A backup of an empty database that the service of `checkout` has migrated; raises `ServerFailed`."""
    url = mariadb.create_database()
    command = [sys.executable, "-m", "service", "migrate"]
    environment = {**os.environ, "DATABASE_URL": url, "PYTHONPATH": str(checkout)}
    done = subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode:
        raise ServerFailed(f"the schema could not be made:\n{done.stdout}{done.stderr}")
    backup = mariadb.dump(database_of(url))
    mariadb.drop_database(database_of(url))
    return backup


def _kafka_version() -> str:
    pom = ElementTree.parse(Path(kafka_server.__file__).with_name("kafka-pom.xml"))
    found = pom.find(".//{*}dependency/{*}version")
    return "" if found is None else str(found.text)
