"""Where the commands of the documentation are run: real servers, a running service, events and dead letters.

The docs speak of topics called `customers`, of port 8000 and of servers on well-known ports. What a command
says of these is rewritten to what this world has, and what it prints is written back.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from aiokafka import AIOKafkaProducer

from tests.e2e.messages import TABLES
from tests.e2e.service_process import ServiceProcess
from tests.e2e.stage import Stage, staged
from tests.e2e.world import connect, select
from tests.operations.commands import settings_of
from tests.servers import Kafka, MariaDb, Redis, database_of
from tests.servers.ports import free_port
from tests.servers.programs import find_program

_COMMAND_SECONDS = 60
_EVENT_ID = "0198f6f2-0000-7000-8000-000000000001"
_BROKEN = b'{"operation": "update", "entity_id": '
# What the page shows of a part that is away needs a command that does not find it.
_AWAY = "the server cannot be reached: connection refused"


class DocsWorld:
    """A stage with a running service, and a folder to run commands in."""

    def __init__(self, stage: Stage, replica: ServiceProcess, folder: Path) -> None:
        self.stage = stage
        self._replica = replica
        self._folder = folder
        self._curl = find_program("curl", package="curl")
        self._blanks: Mapping[str, str] = {}
        self._blanks = self._placeholders()
        (folder / ".venv").symlink_to(sys.prefix)

    def run(self, script: str, shown: str = "") -> subprocess.CompletedProcess[str]:
        """Run a script as a reader of the docs would; what it prints names what the docs name."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self._rewritten(script)],
            cwd=self._folder,
            env=self._environment(shown),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
        done.stdout = self._written_back(done.stdout)
        return done

    def rows(self, sql: str) -> list[dict[str, object]]:
        """What a query finds in the service's database."""
        with connect(self.stage.world) as connection:
            return select(connection, self._filled(sql))

    def _rewritten(self, script: str) -> str:
        world = self.stage.world
        script = self._filled(script)
        script = re.sub(r"(mysql|mariadb)://\S+", world.database_url, script)
        script = re.sub(r"redis://\S+", world.redis_url or "", script)
        script = re.sub(r"(KAFKA_BOOTSTRAP_SERVERS=)\S+", rf"\g<1>{world.bootstrap}", script)
        script = script.replace("localhost:8000", self._address())
        if left := re.findall(r"<[a-z][a-z +1]*>", script):
            raise ValueError(f"nothing to fill in for {left}")
        for table, topic in self._topics().items():
            script = script.replace(f"--topic {table}", f"--topic {topic}").replace(
                f'"{table}"', f'"{topic}"'
            )
        return script

    def _filled(self, text: str) -> str:
        for blank, filled in self._blanks.items():
            text = text.replace(f"<{blank}>", filled)
        return text

    def _written_back(self, printed: str) -> str:
        world = self.stage.world
        for table, topic in self._topics().items():
            printed = printed.replace(topic, table)
        return printed.replace(world.group_id, "upsertd").replace(database_of(world.database_url), "upsertd")

    def _environment(self, shown: str) -> dict[str, str]:
        programs = (self._folder / ".venv" / "bin", self._curl.path.parent)
        path = os.pathsep.join([*map(str, programs), os.environ["PATH"]])
        settings = settings_of(self.stage.world)
        if _AWAY in shown:
            settings["DATABASE_URL"] = f"mysql://nobody@127.0.0.1:{free_port()}/nothing"
        proxies = {"NO_PROXY": "*", "no_proxy": "*"}
        return {**os.environ, **self._curl.environment, **settings, **proxies, "PATH": path}

    def _placeholders(self) -> Mapping[str, str]:
        [letter] = self.rows("SELECT MIN(id) AS id FROM dead_letters")
        return {
            "topic": "orders",
            "partition": "0",
            "offset": "1",
            "offset + 1": "2",
            "entity": "orders",
            "id": str(letter["id"]),
            "event id": _EVENT_ID,
            "time": "2020-01-01T00:00:00Z",
        }

    def _topics(self) -> Mapping[str, str]:
        return {TABLES[entity]: topic for entity, topic in self.stage.world.topics.items()}

    def _address(self) -> str:
        """Where the service answers; its first line says it."""
        lines = [json.loads(line) for line in self._replica.log.splitlines() if '"started"' in line]
        return f"127.0.0.1:{lines[-1]['port']}"


@contextmanager
def docs_world(
    kafka: Kafka, mariadb: MariaDb, redis_server: Redis, schema: bytes, folder: Path
) -> Iterator[DocsWorld]:
    """The world, from its topics to its end."""
    with staged(kafka, mariadb, redis_server, schema) as stage:
        replicas = [stage.start(), stage.start()]
        asyncio.run(_prepare(stage, replicas))
        yield DocsWorld(stage, replicas[0], folder)


async def _prepare(stage: Stage, replicas: Sequence[ServiceProcess]) -> None:
    await asyncio.gather(_send(stage), *(replica.wait_ready() for replica in replicas))
    await stage.settle()


async def _send(stage: Stage) -> None:
    """An event and a broken record in every partition of every topic."""
    async with AIOKafkaProducer(bootstrap_servers=stage.world.bootstrap) as producer:
        for topic in stage.world.topics.values():
            for partition in range(3):
                event = {"operation": "create", "entity_id": partition + 1, "version": 1, "data": {}}
                if topic == stage.world.topics["customer"] and partition == 0:
                    event["event_id"] = _EVENT_ID
                key = str(partition + 1).encode()
                await producer.send(topic, json.dumps(event).encode(), key=key, partition=partition)
                await producer.send(topic, _BROKEN, key=key, partition=partition)
        await producer.flush()
