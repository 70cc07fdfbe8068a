"""What it costs to share the same partitions among several replicas. Called by `__main__`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from benchmarks.contenders import Upsertd
from benchmarks.growth.backlog import (
    TIMEOUT_SECONDS,
    TOPIC,
    drain_backlog,
    migrated,
    over_partitions,
    running,
    staged_on,
    warm_up,
)
from benchmarks.growth.lanes import WARM_UP_EVENTS, memory_bytes
from benchmarks.growth.results import Replicas, ReplicasRun
from benchmarks.load import Generator, Load
from benchmarks.probe import Probe
from benchmarks.servers import Servers
from benchmarks.stage import Stage
from benchmarks.verify import verify

_POLL_SECONDS = 0.05
# A group that has just been rebalanced may be rebalanced again.
_SETTLED_SECONDS = 1.0


def run(servers: Servers, numbers: Sequence[int], replicas: Replicas, seed: int) -> Iterator[str]:
    """Run all rounds and add each run to `replicas`; yields a line about each."""
    load = _load(replicas, seed)
    for number in range(1, replicas.rounds + 1):
        for each in numbers if number % 2 else reversed(numbers):
            measured = _measure(servers, load, each, replicas.partitions, number)
            replicas.runs.append(measured)
            yield _line(measured, replicas.rounds)


def wait_until_shared(
    stage: Stage, probe: Probe, crew: Sequence[Upsertd], partitions: int
) -> dict[int, list[int]]:
    """Wait until all partitions are claimed, evenly, by all replicas; returns them by process id.

    Raises `ConsumerFailed`.
    """
    deadline = time.monotonic() + TIMEOUT_SECONDS
    even_since: float | None = None
    while even_since is None or time.monotonic() - even_since < _SETTLED_SECONDS:
        owned = owners(stage, probe)
        held = [len(owned.get(each.process.pid, ())) for each in crew]
        is_even = sum(held) == partitions and max(held) - min(held) <= 1
        even_since = (even_since or time.monotonic()) if is_even else None
        if time.monotonic() > deadline:
            raise crew[0].process.failed(f"and the others hold {held} partitions, not {partitions} evenly")
        time.sleep(_POLL_SECONDS)
    return owned


def owners(stage: Stage, probe: Probe) -> dict[int, list[int]]:
    """The partitions by the process id of the replica that claimed them last."""
    rows = probe.select(
        "SELECT owner, partition_id FROM consumer_positions WHERE group_id = %s", (stage.group_id,)
    )
    owned: dict[int, list[int]] = {}
    for owner, partition in rows:
        _host, _, pid = str(owner).rpartition(":")
        owned.setdefault(int(pid), []).append(int(str(partition)))
    return owned


def _load(replicas: Replicas, seed: int) -> Load:
    load = Generator(TOPIC, seed).load(replicas.events, 0, others=WARM_UP_EVENTS)
    prepared, measured = (
        over_partitions(each, replicas.partitions) for each in (load.prepared, load.measured)
    )
    return Load(prepared, measured, 0)


def _measure(servers: Servers, load: Load, replicas: int, partitions: int, number: int) -> ReplicasRun:
    with (
        migrated(servers) as database,
        staged_on(servers, database, partitions) as stage,
        stage.probe() as probe,
    ):
        with running(stage, replicas) as crew:
            wait_until_shared(stage, probe, crew, partitions)
            warm_up(stage, probe, crew, load.prepared)
            probe.forget_peak()
            drained = drain_backlog(stage, probe, crew, load.measured)
            connections, memory = probe.peak_connections(), sum(map(memory_bytes, crew))
        verify(probe, load, None)
    return ReplicasRun(replicas, number, drained, connections, memory)


def _line(measured: ReplicasRun, rounds: int) -> str:
    drained = measured.drained
    return (
        f"{measured.round}/{rounds} {measured.replicas} replicas: {drained.cpu_us_sum:5.1f} CPU us/event"
        f" {drained.events_per_second:7,.0f} events/s, {measured.connections} connections,"
        f" {measured.memory_bytes / 1e6:.0f} MB"
    )
