"""The real service as operators run it: `upsertd migrate`, then `upsertd run`, by environment variables."""

from __future__ import annotations

import sys
from pathlib import Path

from service.demo.processes import Child, free_port
from service.demo.verdict import GROUP_ID

_MIGRATE_SECONDS = 60.0
_STOP_SECONDS = 40.0
_PATHS = ("/metrics", "/stats", "/health/ready", "/schema")


class ServiceProcess:
    """The service on embedded parts. Its log is in `folder`."""

    def __init__(self, folder: Path, *, kafka: str, database_url: str, redis_url: str) -> None:
        self.port = free_port()
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "KAFKA_GROUP_ID": GROUP_ID,
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "HTTP_PORT": str(self.port),
            # The mock broker answers a fetch with one burst: several make a batch worth a transaction.
            "BATCH_LINGER_MS": "100",
        }
        upsertd = [sys.executable, "-m", "service"]
        self._migration = Child("migrate", [*upsertd, "migrate"], folder, settings)
        self._child = Child("upsertd", [*upsertd, "run"], folder, settings)

    @property
    def urls(self) -> tuple[str, ...]:
        """What it answers."""
        return tuple(f"http://127.0.0.1:{self.port}{path}" for path in _PATHS)

    @property
    def log(self) -> Path:
        """Where it writes."""
        return self._child.log

    async def migrate(self) -> None:
        """Bring the database to its schema. Raises `DemoFailed`."""
        self._migration.start()
        if await self._migration.ended(_MIGRATE_SECONDS) != 0:
            raise self._migration.failed("did not succeed")

    def start(self) -> None:
        """Start it; it is ready when its lanes have claimed their partitions."""
        self._child.start()

    def require(self) -> None:
        """Raise `DemoFailed` when it has ended."""
        if not self._child.running:
            raise self._child.failed("has ended")

    async def stop(self) -> None:
        """Stop it in order; raises `DemoFailed` when it does not end well."""
        if await self._child.stop(_STOP_SECONDS) != 0:
            raise self._child.failed("did not stop cleanly")

    def kill(self) -> None:
        """End whatever of it still runs."""
        self._child.kill()
        self._migration.kill()
