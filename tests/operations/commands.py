"""Short commands of `upsertd`, run as an operator runs them. Called by the tests beside it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

from tests.e2e.messages import TABLES
from tests.e2e.service_process import PROGRAM
from tests.e2e.world import World

_TIMEOUT_SECONDS = 60
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH")


def settings_of(world: World) -> dict[str, str]:
    """The settings of a scenario's service, as far as commands need them."""
    topics = {f"KAFKA_TOPIC_{TABLES[entity].upper()}": topic for entity, topic in world.topics.items()}
    return {
        **topics,
        "KAFKA_BOOTSTRAP_SERVERS": world.bootstrap,
        "KAFKA_GROUP_ID": world.group_id,
        "DATABASE_URL": world.database_url,
        "REDIS_URL": world.redis_url or "",
    }


def upsertd(settings: Mapping[str, str], *arguments: str, exit_code: int = 0) -> str:
    """What a command prints, on both streams; fails when it ends otherwise than expected."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    done = subprocess.run(
        [PROGRAM, *arguments],
        env={**inherited, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == exit_code, done.stdout
    return done.stdout
