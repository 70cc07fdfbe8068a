"""Runs the compose files: with docker-compose 1.29 where Debian has it, the oldest that they are written for.

Called by `python -m tests.container`. Free ports and a project name of its own keep it apart from whatever
else runs on the machine.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from aiokafka import AIOKafkaProducer

from tests.container.build import TAG
from tests.container.docker import Docker, run_program
from tests.container.documents import CHECKOUT, COMPOSE_FILES
from tests.container.errors import CheckFailed
from tests.servers import ServerMissing
from tests.servers.ports import free_port
from tests.servers.programs import find_program

_WHOLE, _REDIS = COMPOSE_FILES
_PUBLISHED = ("KAFKA", "MARIADB", "REDIS", "UPSERTD", "PROMETHEUS")
_WAIT_SECONDS = 90
_UP_SECONDS = 300
_POLL_SECONDS = 0.5
# An engine that keeps off the machine's network rules does not choose a subnet itself.
_NETWORK = {"networks": {"default": {"ipam": {"config": [{"subnet": "172.31.77.0/24"}]}}}}


class Compose:
    """One compose file with everything that it starts, taken down at the end of `running`."""

    def __init__(self, docker: Docker, program: list[str], file: Path, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._files = [file]
        self.ports = {name: free_port() for name in _PUBLISHED}
        self.environment = {
            **docker.environment,
            **{f"{name}_PUBLISHED_PORT": str(port) for name, port in self.ports.items()},
            "COMPOSE_PROJECT_NAME": f"upsertd-check-{secrets.token_hex(4)}",
            "UPSERTD_IMAGE": TAG,
        }
        if docker.own:
            self._files.append(folder / "network.yml")
            self._files[-1].write_text(json.dumps(_NETWORK))

    def run(self, *arguments: str, seconds: float = _UP_SECONDS) -> str:
        """Run one command of Compose. Raises `CheckFailed` with what it says."""
        files = [part for file in self._files for part in ("--file", str(file))]
        command = [*self._program, *files, "--project-directory", str(CHECKOUT), *arguments]
        done = run_program(command, self.environment, seconds=seconds)
        if done.returncode != 0:
            raise CheckFailed(f"docker-compose {arguments[0]}: {(done.stdout + done.stderr).strip()[-1500:]}")
        return done.stdout

    @contextmanager
    def running(self, *services: str) -> Iterator[None]:
        """Have the services up, and remove them with their volumes afterwards."""
        try:
            self.run("up", "--detach", "--no-build", *services)
            yield
        finally:
            self.run("down", "--volumes", "--timeout", "45")

    def http(self, part: str, path: str) -> httpx.Response | None:
        """What a part answers on its published port, None while it does not."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.ports[part]}{path}", timeout=5, trust_env=False)
        except httpx.TransportError:
            return None


def find_compose(docker: Docker) -> list[str]:
    """The command that is Compose: docker-compose, else the client's. Raises `CheckFailed` without any."""
    try:
        return [str(find_program("docker-compose", package="docker-compose").path)]
    except ServerMissing as missing:
        if docker.succeeds("compose", "version"):
            return [docker.program, "compose"]
        raise CheckFailed(str(missing)) from missing


def version(program: list[str]) -> str:
    """Which Compose it is."""
    return run_program([*program, "version", "--short"], {}).stdout.strip()


@contextmanager
def compose(docker: Docker, program: list[str], file: Path) -> Iterator[Compose]:
    """One of the compose files."""
    with tempfile.TemporaryDirectory(prefix="upsertd-compose-") as folder:
        yield Compose(docker, program, file, Path(folder))


def check_files(docker: Docker, program: list[str]) -> None:
    """Let Compose read both files. Raises `CheckFailed`."""
    for file in COMPOSE_FILES:
        with compose(docker, program, file) as files:
            files.run("config", "--quiet")


def check_redis(docker: Docker, program: list[str], password: str) -> None:
    """Run Redis alone: it gets healthy, and keeps its keys over a restart. Raises `CheckFailed`."""
    with compose(docker, program, _REDIS) as files:
        files.environment["REDIS_PASSWORD"] = password
        with files.running():
            _wait_healthy(files, docker, "redis")
            _redis_cli(files, password, "SET", "processed:event:1", "hint", "EX", "300")
            files.run("restart")
            _wait_healthy(files, docker, "redis")
            found = _redis_cli(files, password, "--scan", "--pattern", "processed:event:*")
            if found != "processed:event:1":
                raise CheckFailed(f"Redis has not kept its key over a restart, but {found!r}")
            if password and _redis_cli(files, "", "PING") == "PONG":
                raise CheckFailed("Redis answers without the password")


def check_all(docker: Docker, program: list[str]) -> str:
    """Run everything: an event goes from Kafka to MariaDB, and Prometheus scrapes it; says how it stopped.

    Raises `CheckFailed`.
    """
    with compose(docker, program, _WHOLE) as files, files.running():
        _wait(lambda: _ready(files), "upsertd does not get ready")
        asyncio.run(_produce(f"127.0.0.1:{files.ports['KAFKA']}"))
        _wait(lambda: "Ada" in _names(files), "the event does not get into the database")
        _wait(lambda: _scraped(files), "Prometheus does not scrape upsertd")
        _wait_healthy(files, docker, "upsertd")
        began = time.monotonic()
        files.run("stop", "upsertd")
        _check_stopped(files, docker)
        return f"upsertd stopped in {time.monotonic() - began:.1f} s"


def _ready(files: Compose) -> bool:
    answer = files.http("UPSERTD", "/health/ready")
    # Degraded is ready, too: here Redis has to be there.
    return answer is not None and answer.status_code == 200 and answer.json()["status"] == "ok"


def _scraped(files: Compose) -> bool:
    answer = files.http("PROMETHEUS", "/api/v1/query?query=up%7Bjob%3D%22upsertd%22%7D")
    result = answer.json()["data"]["result"] if answer is not None and answer.status_code == 200 else []
    return any(each["value"][1] == "1" for each in result)


def _names(files: Compose) -> str:
    account = ("--user=upsertd", "--password=upsertd", "--host=127.0.0.1")
    query = ("--batch", "--execute", "SELECT name FROM customers")
    return files.run("exec", "-T", "mariadb", "mariadb", "--no-defaults", *account, *query, "upsertd")


def _check_stopped(files: Compose, docker: Docker) -> None:
    container = files.run("ps", "--all", "--quiet", "upsertd").strip()
    code = docker.run("inspect", "--format", "{{.State.ExitCode}}", container).strip()
    if code != "0":
        raise CheckFailed(f"upsertd ended with {code}")


def _redis_cli(files: Compose, password: str, *arguments: str) -> str:
    login = ["--no-auth-warning", "-a", password] if password else []
    return files.run("exec", "-T", "redis", "redis-cli", *login, *arguments).strip()


def _wait_healthy(files: Compose, docker: Docker, service: str) -> None:
    container = files.run("ps", "--quiet", service).strip()
    health = ("inspect", "--format", "{{.State.Health.Status}}", container)
    _wait(lambda: docker.run(*health).strip() == "healthy", f"{service} does not get healthy")


async def _produce(bootstrap: str) -> None:
    event = {"event_id": "check", "operation": "create", "entity_id": 1, "data": {"name": "Ada"}}
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        await producer.send_and_wait("customers", json.dumps(event).encode(), key=b"1")


def _wait(holds: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise CheckFailed(otherwise)
        time.sleep(_POLL_SECONDS)
