"""A Redis that forgets everything when it ends, as a cache may. Called by fixtures, tests, `make servers`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import redis

from tests.servers.errors import ServerFailed
from tests.servers.processes import Image
from tests.servers.programs import find_program
from tests.servers.server import Command, Server


class Redis(Server):
    """One Redis. `options` are arguments of `redis-server`, `("--maxmemory", "5mb")`."""

    name = "Redis"
    address_variable = "REDIS_URL"

    def __init__(self, *, port: int | None = None, options: Sequence[str] = ()) -> None:
        super().__init__(port=port, configured=bool(options))
        self._options = tuple(options)

    @property
    def url(self) -> str:
        """Its database 0, or the one that `REDIS_URL` names."""
        return self.given_address or f"redis://127.0.0.1:{self.port}/0"

    def flush(self) -> None:
        """Forget every key of the database in `url`."""
        with redis.Redis.from_url(self.url) as client:
            client.flushdb()

    def answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, socket_timeout=1, retry=None) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _check_given(self) -> None:
        super()._check_given()
        with redis.Redis.from_url(self.url) as client:
            if client.dbsize():
                raise ServerFailed(f"the database in {self.address_variable} holds keys, and tests flush it")

    def _image(self) -> Image:
        return Image("redis:7", ports=[self.port], arguments=["redis-server", *self._arguments("0.0.0.0")])

    def _command(self, folder: Path) -> Command:
        program = find_program("redis-server", package="redis-server")
        arguments = [str(program.path), *self._arguments("127.0.0.1"), "--dir", str(folder)]
        return Command(arguments, program.environment)

    def _arguments(self, host: str) -> list[str]:
        # Outside of its container only 127.0.0.1 is published, so there is nothing to protect.
        return [
            *("--port", str(self.port), "--bind", host, "--protected-mode", "no"),
            *("--save", "", "--appendonly", "no", *self._options),
        ]
