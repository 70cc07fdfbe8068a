"""What MariaDB and Redis count of themselves: bytes in and out, bytes written, commits. Called by `backlogs`.

The measuring connection's own bytes are taken off; its commits are none, it commits by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import redis

from benchmarks.probe import Probe

FROM_KAFKA, OFFSET_COMMITS = "from_kafka", "offset_commits"
TO_DATABASE, FROM_DATABASE = "to_database", "from_database"
TO_REDIS, FROM_REDIS = "to_redis", "from_redis"
LOG, FILES, COMMITS = "log", "files", "commits"

_OF_DATABASE = {
    "Bytes_received": TO_DATABASE,
    "Bytes_sent": FROM_DATABASE,
    "Innodb_os_log_written": LOG,
    "Innodb_data_written": FILES,
    "Com_commit": COMMITS,
}
_OWN = ("Bytes_received", "Bytes_sent")
_OF_REDIS = {"total_net_input_bytes": TO_REDIS, "total_net_output_bytes": FROM_REDIS}


def read(probe: Probe, redis_url: str) -> dict[str, int]:
    """All counters up to now, by our names for them."""
    counted = _status(probe, "GLOBAL", _OF_DATABASE)
    for name, value in _status(probe, "SESSION", _OWN).items():
        counted[name] -= value
    stats = _info(redis_url, "stats")
    return {
        **{ours: counted[theirs] for theirs, ours in _OF_DATABASE.items()},
        **{ours: int(stats[theirs]) for theirs, ours in _OF_REDIS.items()},
    }


def since(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """What was counted between two readings."""
    return {name: value - before[name] for name, value in after.items()}


def redis_memory(redis_url: str) -> int:
    """The bytes that Redis keeps its data in: without the buffers of its clients."""
    memory = _info(redis_url, "memory")
    return int(memory["used_memory"]) - int(memory["mem_clients_normal"])


def redis_entries(redis_url: str) -> int:
    """How many keys there are."""
    with redis.Redis.from_url(redis_url) as client:
        return int(cast(int, client.dbsize()))


def _status(probe: Probe, scope: str, names: Iterable[str]) -> dict[str, int]:
    listed = ",".join(f"'{name}'" for name in names)
    rows = probe.select(f"SHOW {scope} STATUS WHERE Variable_name IN ({listed})")
    return {str(name): int(str(value)) for name, value in rows}


def _info(redis_url: str, section: str) -> Mapping[str, str]:
    with redis.Redis.from_url(redis_url) as client:
        return cast(Mapping[str, str], client.info(section))
