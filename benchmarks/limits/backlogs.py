"""Works backlogs off and counts what an event moves: over the network, to the disk, into memory.

Called by `__main__`. The drain is that of `benchmarks.growth.backlog`; before and after it the database has
to write its changed pages back, so that what an event makes it write is in the figures however soon the
drain is over.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.contenders import UPSERTD, Upsertd, counted_at_end
from benchmarks.drain import Scenario, load_for
from benchmarks.growth.backlog import drain_backlog, migrated, running, staged_on, warm_up
from benchmarks.growth.filling import table_bytes
from benchmarks.growth.meter import write_back
from benchmarks.limits.counters import (
    FILES,
    FROM_DATABASE,
    FROM_KAFKA,
    FROM_REDIS,
    LOG,
    OFFSET_COMMITS,
    TO_DATABASE,
    TO_REDIS,
    read,
    redis_entries,
    redis_memory,
    since,
)
from benchmarks.limits.results import Limits, Worked
from benchmarks.load import ENTITIES, PARTITIONS, Generator, Load
from benchmarks.probe import Probe
from benchmarks.servers import Servers
from benchmarks.stage import Stage
from benchmarks.verify import verify

KIND = "customers"
SCENARIOS = (Scenario(KIND, 0), Scenario(KIND, 85))
MARKS = "processed_events"
TABLES = (MARKS, *ENTITIES[KIND])
_TOLD = (TO_DATABASE, FROM_DATABASE, TO_REDIS, FROM_REDIS, LOG, FILES)


def run(servers: Servers, limits: Limits, events: int) -> Iterator[str]:
    """Run all rounds and add each drain to `limits`; yields a line about each."""
    generator = Generator(KIND, limits.seed)
    for number in range(1, limits.rounds + 1):
        for scenario in SCENARIOS if number % 2 else reversed(SCENARIOS):
            load = load_for(UPSERTD, generator, scenario, events)
            worked = work_off(servers, scenario.name, load, number)
            limits.worked.append(worked)
            yield _line(worked, limits.rounds)


def work_off(servers: Servers, scenario: str, load: Load, number: int) -> Worked:
    """Work `load` off in round `number`. Raises `ConsumerFailed`, `WrongResult`."""
    with (
        migrated(servers) as database,
        staged_on(servers, database, PARTITIONS) as stage,
        stage.probe() as probe,
    ):
        empty_bytes = redis_memory(servers.redis.url)
        with running(stage, 1) as [consumer]:
            warm_up(stage, probe, [consumer], load.prepared)
            before = _count(stage, probe, consumer)
            drained = drain_backlog(stage, probe, [consumer], load.measured, copies=load.copies)
            counted = counted_at_end(consumer, load.events)
            after = _count(stage, probe, consumer)
            kept_bytes = redis_memory(servers.redis.url) - empty_bytes
            entries = redis_entries(servers.redis.url)
        verify(probe, load, counted)
        row_bytes = _row_bytes(servers, probe, stage.database, load.events - load.copies)
    return Worked(
        scenario,
        number,
        len(load.measured),
        load.copies,
        drained.used.seconds,
        drained.used.cpu_seconds,
        {FROM_KAFKA: _record_bytes(load), **since(before, after)},
        row_bytes,
        kept_bytes / entries,
    )


def _count(stage: Stage, probe: Probe, consumer: Upsertd) -> dict[str, int]:
    write_back(probe)
    commits = int(consumer.total("upsertd_offset_commits_total"))
    return {**read(probe, stage.servers.redis.url), OFFSET_COMMITS: commits}


def _record_bytes(load: Load) -> int:
    """What the measured records are: keys and values, without the few bytes that frame them."""
    return sum(len(message.key) + len(message.value) for message in load.measured)


def _row_bytes(servers: Servers, probe: Probe, database: str, rows: int) -> dict[str, float]:
    """What a row takes on the disk, by table; `rows` is how many each of them has."""
    probe.select(f"ANALYZE TABLE {', '.join(TABLES)}")
    return {table: table_bytes(servers.mariadb, database, table) / rows for table in TABLES}


def _line(worked: Worked, rounds: int) -> str:
    moved = [f"{name} {worked.per_event(name):,.0f}" for name in _TOLD]
    cpu = sum(map(worked.cpu_us, worked.cpu_seconds))
    return (
        f"{worked.round}/{rounds} {worked.scenario:17} {cpu:5.1f} CPU us/event"
        f" {worked.events_per_second:7,.0f} events/s; bytes/event: {', '.join(moved)}"
    )
