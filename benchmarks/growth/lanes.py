"""What a partition costs: one replica with few and with many of them, the same events in all.

Called by `__main__`. Each run has three parts: a start with one event waiting in every partition, some
seconds in which nothing comes, and a backlog.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import psutil

from benchmarks.contenders import Upsertd
from benchmarks.growth.backlog import (
    TIMEOUT_SECONDS,
    TOPIC,
    drain_backlog,
    migrated,
    over_partitions,
    parts,
    running,
    staged_on,
    wait_until_marked,
)
from benchmarks.growth.meter import Meter
from benchmarks.growth.results import Lanes, LanesRun, Used
from benchmarks.load import Generator, Load
from benchmarks.probe import Probe
from benchmarks.servers import Servers
from benchmarks.stage import Stage
from benchmarks.verify import verify

# Some for each of many partitions: the statements of a full batch have been made once.
WARM_UP_EVENTS = 2_000
# Rounds that every lane makes by itself: one waits a second for records, looks at its row every three.
_BEFORE_IDLE_SECONDS = 3
_POLL_SECONDS = 0.005


def run(
    servers: Servers, partitions: Sequence[int], lanes: Lanes, idle_seconds: float, seed: int
) -> Iterator[str]:
    """Run all rounds and add each run to `lanes`; yields a line about each."""
    generator = Generator(TOPIC, seed)
    for number in range(1, lanes.rounds + 1):
        for each in partitions if number % 2 else reversed(partitions):
            load = _load(generator, lanes.events, each)
            measured = _measure(servers, load, each, number, idle_seconds)
            lanes.runs.append(measured)
            yield _line(measured, lanes.rounds)


def _load(generator: Generator, events: int, partitions: int) -> Load:
    load = generator.load(events, 0, others=max(WARM_UP_EVENTS, partitions))
    return Load(over_partitions(load.prepared, partitions), over_partitions(load.measured, partitions), 0)


def _measure(servers: Servers, load: Load, partitions: int, number: int, idle_seconds: float) -> LanesRun:
    with (
        migrated(servers) as database,
        staged_on(servers, database, partitions) as stage,
        stage.probe() as probe,
    ):
        first, others = load.prepared[:partitions], load.prepared[partitions:]
        stage.produce(first)
        begun = time.monotonic()
        with running(stage, 1) as [consumer]:
            first_seconds = _until_first_commit(probe, consumer, begun)
            wait_until_marked(probe, [consumer], first)
            all_seconds = time.monotonic() - begun
            stage.produce(others)
            wait_until_marked(probe, [consumer], others)
            idle = _idle(stage, probe, consumer, idle_seconds)
            idle_memory = memory_bytes(consumer)
            probe.forget_peak()
            drained = drain_backlog(stage, probe, [consumer], load.measured)
            connections, memory = probe.peak_connections(), memory_bytes(consumer)
        verify(probe, load, None)
    return LanesRun(
        partitions, number, first_seconds, all_seconds, idle, idle_memory, drained, memory, connections
    )


def memory_bytes(consumer: Upsertd) -> int:
    """The resident memory of a replica."""
    return int(psutil.Process(consumer.process.pid).memory_info().rss)


def _until_first_commit(probe: Probe, consumer: Upsertd, begun: float) -> float:
    """The seconds from `begun` to the first mark. Raises `ConsumerFailed`."""
    while not probe.select("SELECT 1 FROM processed_events LIMIT 1"):
        consumer.process.check()
        if time.monotonic() - begun > TIMEOUT_SECONDS:
            raise consumer.process.failed(f"has committed nothing within {TIMEOUT_SECONDS} s")
        time.sleep(_POLL_SECONDS)
    return time.monotonic() - begun


def _idle(stage: Stage, probe: Probe, consumer: Upsertd, seconds: float) -> Used:
    time.sleep(_BEFORE_IDLE_SECONDS)
    meter = Meter(probe, parts(stage.servers, [consumer]))
    meter.begin()
    time.sleep(seconds)
    return meter.end()


def _line(measured: LanesRun, rounds: int) -> str:
    idle, drained = measured.idle, measured.drained
    return (
        f"{measured.round}/{rounds} {measured.partitions:3} partitions:"
        f" {drained.cpu_us_sum:5.1f} CPU us/event {drained.events_per_second:7,.0f} events/s;"
        f" idle {idle.cpu_seconds_sum / idle.seconds * 1e3:5.1f} CPU ms/s"
        f" {idle.statements / idle.seconds:5.1f} statements/s;"
        f" first commit after {measured.first_seconds:.1f} s, all after {measured.all_seconds:.1f} s;"
        f" {measured.drained_memory_bytes / 1e6:.0f} MB"
    )
