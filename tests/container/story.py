"""Runs the image against real servers: migrate, consume, answer the probes, stop.

Called by `python -m tests.container`. The servers are those of the tests, on 127.0.0.1, so the container
uses the host's network; everything else is as strict as in production.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
from aiokafka import AIOKafkaProducer

from tests.container.build import TAG
from tests.container.docker import Docker
from tests.container.documents import image_user
from tests.container.errors import CheckFailed
from tests.servers import Kafka, MariaDb, Redis, database_of
from tests.servers.ports import free_port

GRACE_SECONDS = 45
TOPICS = ("customers", "products", "orders")
STRICT = (
    "--read-only",
    *("--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges"),
    *("--memory", "512m"),
)
_WAIT_SECONDS = 60
_POLL_SECONDS = 0.3
# Of the process that the container is: who it is, and which capabilities it could ever have.
_PROCESS = "grep -E '^(Uid|Gid|CapBnd|CapEff|NoNewPrivs)' /proc/1/status"


@dataclass(frozen=True, slots=True)
class World:
    """The servers that the container works with, and the port that it answers on."""

    kafka: Kafka
    mariadb: MariaDb
    database_url: str
    redis_url: str
    http_port: int

    @property
    def settings(self) -> dict[str, str]:
        """The service's environment."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap,
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": str(self.http_port),
        }


@contextmanager
def servers() -> Iterator[World]:
    """Start Kafka with the topics, MariaDB with an empty database, and Redis."""
    with ExitStack() as stack:
        kafka, mariadb = stack.enter_context(Kafka()), stack.enter_context(MariaDb())
        redis = stack.enter_context(Redis())
        for topic in TOPICS:
            kafka.create_topic(topic, 2)
        yield World(kafka, mariadb, mariadb.create_database(), redis.url, free_port())


def run_command(docker: Docker, world: World, *command: str) -> str:
    """Run one command of the image to its end; returns what it prints. Raises `CheckFailed`."""
    return docker.run("run", "--rm", *_options(world), TAG, *command).strip()


def refuses_demo(docker: Docker) -> str:
    """The one line with which the image, which has no demo in it, answers `demo`."""
    done = docker.attempt("run", "--rm", "--network", "none", *STRICT, TAG, "demo")
    lines = done.stderr.strip().splitlines()
    if done.returncode == 0 or len(lines) != 1:
        raise CheckFailed(f"`demo` ended with {done.returncode} and said: {done.stdout}{done.stderr}")
    return lines[0]


class Service:
    """The container that consumes; removed at the end of the `with` block."""

    def __init__(self, docker: Docker, world: World) -> None:
        self._docker = docker
        self._world = world
        self._name = f"upsertd-check-{world.http_port}"

    def __enter__(self) -> Service:
        self._docker.run("run", "--detach", "--name", self._name, *_options(self._world), TAG)
        return self

    def __exit__(self, *_: object) -> None:
        self._docker.attempt("rm", "--force", "--volumes", self._name)

    def wait_ready(self) -> None:
        """Wait until `/health/ready` says 200."""
        self._wait(lambda: self._status("/health/ready") == 200, "it does not become ready")

    def wait_healthy(self) -> None:
        """Wait until the engine calls the container healthy."""
        self._wait(lambda: self._health() == "healthy", "the health check does not say healthy")

    def consume(self) -> int:
        """Send events of every entity, each twice, and wait for their rows; returns how many there were."""
        sent = asyncio.run(_produce(self._world.kafka.bootstrap))
        self._wait(lambda: self._rows() == sent // 2, "the events do not get into the database")
        return sent

    def check_process(self) -> None:
        """Check that it runs as its own user, without rights, and writes nothing."""
        status = dict(line.split(":\t", 1) for line in self._exec("sh", "-c", _PROCESS).splitlines())
        uid, gid = image_user().split(":")
        facts = {
            "Uid": set(status["Uid"].split()) == {uid},
            "Gid": set(status["Gid"].split()) == {gid},
            "CapBnd": int(status["CapBnd"], 16) == 0,
            "CapEff": int(status["CapEff"], 16) == 0,
            "NoNewPrivs": status["NoNewPrivs"] == "1",
        }
        if wrong := [name for name, holds in facts.items() if not holds]:
            raise CheckFailed(
                f"the process is not as it should be: {[(name, status[name]) for name in wrong]}"
            )
        if changes := self._docker.run("diff", self._name).strip():
            raise CheckFailed(f"files were written: {changes}")

    def check_probes(self) -> None:
        """Check both addresses, and that the health check fails where nothing answers."""
        for path in ("/health/live", "/health/ready"):
            if self._status(path) != 200:
                raise self._failed(f"{path} does not answer 200")
        _, *command = json.loads(self._inspect("{{json .Config.Healthcheck.Test}}"))
        if self._docker.succeeds("exec", "--env", f"HTTP_PORT={free_port()}", self._name, *command):
            raise CheckFailed("the health check says healthy where nothing answers")

    def stop(self) -> float:
        """Stop it with SIGTERM; returns the seconds that took. Raises `CheckFailed` unless it ends with 0."""
        began = time.monotonic()
        self._docker.run("stop", "--time", str(GRACE_SECONDS), self._name)
        code = int(self._inspect("{{.State.ExitCode}}"))
        if code != 0:
            raise self._failed(f"it ended with {code}")
        return time.monotonic() - began

    def check_log(self) -> None:
        """Check that the log holds no password."""
        done = self._docker.attempt("logs", self._name)
        if f":{urlsplit(self._world.database_url).password}@" in done.stdout + done.stderr:
            raise CheckFailed("the log quotes the database's password")

    def _status(self, path: str) -> int | None:
        try:
            address = f"http://127.0.0.1:{self._world.http_port}{path}"
            return httpx.get(address, timeout=5, trust_env=False).status_code
        except httpx.TransportError:
            return None

    def _health(self) -> str:
        return self._inspect("{{.State.Health.Status}}").strip()

    def _rows(self) -> int:
        query = " UNION ALL ".join(f"SELECT id FROM {table}" for table in TOPICS)
        return len(self._world.mariadb.execute(query, database_of(self._world.database_url)))

    def _exec(self, *command: str) -> str:
        return self._docker.run("exec", self._name, *command)

    def _inspect(self, template: str) -> str:
        return self._docker.run("inspect", "--format", template, self._name)

    def _wait(self, holds: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while not holds():
            if time.monotonic() > deadline or self._inspect("{{.State.Running}}").strip() != "true":
                raise self._failed(otherwise)
            time.sleep(_POLL_SECONDS)

    def _failed(self, why: str) -> CheckFailed:
        done = self._docker.attempt("logs", "--tail", "20", self._name)
        return CheckFailed(f"{why}; the log ends:\n{done.stdout}{done.stderr}")


async def _produce(bootstrap: str) -> int:
    events = [(topic, _event(topic, number)) for topic in TOPICS for number in range(1, 6)]
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        for topic, event in events * 2:
            await producer.send_and_wait(
                topic, json.dumps(event).encode(), key=str(event["entity_id"]).encode()
            )
    return 2 * len(events)


def _event(topic: str, number: int) -> dict[str, object]:
    event_id = f"check-{topic}-{number}"
    return {"event_id": event_id, "operation": "create", "entity_id": number, "version": 1, "data": {}}


def _options(world: World) -> list[str]:
    variables = [part for pair in world.settings.items() for part in ("--env", "=".join(pair))]
    return ["--network", "host", *STRICT, *variables]
