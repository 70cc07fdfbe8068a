"""What is drained for each shape: a load, and how a frozen consumer comes to find it. Called by `runs`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.contenders import addresses
from benchmarks.load import PARTITIONS, Load, Message
from benchmarks.process import ConsumerFailed
from benchmarks.shapes import loads
from benchmarks.stage import Stage

REPLAY_STORM, HOT_KEYS, LARGE_RECORDS = "replay-storm", "hot-keys", "large-records"
_RESET_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Variant:
    """One load of a shape; `make_backlog` None: the measured part is produced."""

    name: str
    load: Load
    make_backlog: Callable[[Stage], None] | None = None


def replay_storm(seed: int, events: int) -> list[Variant]:
    """New events; once more with a warm and with an empty cache; and read again after a reset."""
    load = loads.replayed(seed, events)
    return [
        Variant("new", loads.unique(seed, events)),
        Variant("produced again, warm", load),
        Variant("produced again, cold", load, partial(_produce_cold, load)),
        Variant("positions reset", load, partial(_reset, load)),
    ]


def hot_keys(seed: int, events: int, population: int, exponents: Sequence[float]) -> list[Variant]:
    """Every event another record; then `population` records, for each exponent of Zipf's law."""
    hot = [
        Variant(f"s = {exponent:g}", loads.hot_keys(seed, events, population, exponent))
        for exponent in exponents
    ]
    return [Variant("all different", loads.unique(seed, events)), *hot]


def large_records(seed: int, events: int, megabytes: int, sizes: Sequence[int]) -> list[Variant]:
    """Customers as they are, then padded to each size: as many as make `megabytes`, `events` at most."""
    padded = [
        Variant(_size(size), loads.large(seed, min(events, megabytes * 1_000_000 // size), size))
        for size in sizes
    ]
    return [Variant("as they are", loads.unique(seed, events)), *padded]


def _size(size: int) -> str:
    return f"{size / 1000:g} KB"


def _produce_cold(load: Load, stage: Stage) -> None:
    stage.servers.redis.flush()
    stage.produce(load.measured)


def _reset(load: Load, stage: Stage) -> None:
    """Let every partition begin anew by `upsertd positions reset`; only the new events are produced."""
    for partition in range(PARTITIONS):
        _reset_partition(stage, partition)
    stage.produce(_new(load))


def _reset_partition(stage: Stage, partition: int) -> None:
    where = ["--topic", stage.topics[loads.ENTITY], "--partition", str(partition), "--to-earliest"]
    done = subprocess.run(
        [sys.executable, "-m", "service", "positions", "reset", *where],
        env={**os.environ, **addresses(stage)},
        capture_output=True,
        text=True,
        check=False,
        timeout=_RESET_SECONDS,
    )
    if done.returncode:
        raise ConsumerFailed(f"a position could not be reset:\n{done.stdout}{done.stderr}")


def _new(load: Load) -> list[Message]:
    prepared = {message.event_id for message in load.prepared}
    return [message for message in load.measured if message.event_id not in prepared]
