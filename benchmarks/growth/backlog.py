"""Replicas of upsertd on a stage with any number of partitions, and what a backlog costs them.

Called by `marks`, `lanes`, `replicas` and `takeover`. As in `benchmarks.drain`, all replicas are warm when
they are frozen (SIGSTOP), the backlog is produced, and measuring begins when they go on.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from benchmarks.contenders import Upsertd
from benchmarks.growth.meter import Meter
from benchmarks.growth.results import Drained
from benchmarks.load import PARTITIONS, Generator, Message, last_ids
from benchmarks.probe import Probe
from benchmarks.servers import Servers
from benchmarks.stage import Stage

TOPIC = "customers"
# What follows a commit (Redis, Kafka's offset) counts too.
TAIL_SECONDS = 0.2
TIMEOUT_SECONDS = 300
_QUIET_SECONDS = 0.4
_WARMING_EVENTS = 10_000
# Asking for two hundred marks takes the database something: it is asked less often than in a drain.
_POLL_SECONDS = 0.05


@contextmanager
def staged_on(servers: Servers, database: str, partitions: int) -> Iterator[Stage]:
    """A topic and a group of their own on a database that stays; Redis is emptied."""
    name = secrets.token_hex(4)
    topic = f"{TOPIC}-{name}"
    servers.kafka.create_topic(topic, partitions)
    servers.redis.flush()
    try:
        yield Stage(servers, database, {TOPIC: topic}, f"group-{name}")
    finally:
        servers.kafka.delete_topic(topic)


@contextmanager
def migrated(servers: Servers) -> Iterator[str]:
    """The name of a database with upsertd's tables; it is gone at the end."""
    name = f"upsertd_{secrets.token_hex(4)}"
    servers.mariadb.restore(name, servers.schema)
    try:
        yield name
    finally:
        servers.mariadb.drop_database(name)


@contextmanager
def running(
    stage: Stage, replicas: int, settings: Mapping[str, str] | None = None
) -> Iterator[list[Upsertd]]:
    """So many replicas of one group, which have not joined it yet."""
    crew = [Upsertd(stage, settings or {}) for _ in range(replicas)]
    with ExitStack() as stack:
        for each in crew:
            stack.enter_context(each.process)
        yield crew


def over_partitions(messages: Iterable[Message], partitions: int) -> tuple[Message, ...]:
    """The messages with their keys evenly spread over so many partitions."""
    return tuple(message._replace(partition=int(message.key) % partitions) for message in messages)


def drain_backlog(
    stage: Stage,
    probe: Probe,
    crew: Sequence[Upsertd],
    messages: Sequence[Message],
    *,
    copies: int = 0,
    cold: bool = False,
) -> Drained:
    """Let replicas that have nothing to do work off `messages`; `cold`: with an empty Redis.

    The last message of each partition is no copy. Raises `ConsumerFailed`.
    """
    for each in crew:
        each.process.freeze()
    if cold:
        stage.servers.redis.flush()
    stage.produce(messages)
    meter = Meter(probe, parts(stage.servers, crew))
    meter.begin()
    for each in crew:
        each.process.resume()
    wait_until_marked(probe, crew, messages)
    seconds = meter.elapsed_seconds
    time.sleep(TAIL_SECONDS)
    return Drained(len(messages), copies, meter.end(seconds))


def wait_until_marked(
    probe: Probe, crew: Sequence[Upsertd], messages: Sequence[Message], quiet_seconds: float = 0
) -> None:
    """Wait until the last message of every partition is marked. Raises `ConsumerFailed`."""

    def check() -> None:
        for each in crew:
            each.process.check()

    try:
        probe.wait_for_marks(last_ids(messages), check, TIMEOUT_SECONDS, _POLL_SECONDS)
    except TimeoutError:
        raise crew[0].process.failed(f"was not through after {TIMEOUT_SECONDS} s") from None
    time.sleep(quiet_seconds)


def warm_up(stage: Stage, probe: Probe, crew: Sequence[Upsertd], messages: Sequence[Message]) -> None:
    """Have `messages` handled, and what follows their commits. Raises `ConsumerFailed`."""
    stage.produce(messages)
    wait_until_marked(probe, crew, messages, _QUIET_SECONDS)


def warm_servers(servers: Servers, seed: int) -> None:
    """Have servers do once what they are going to be measured at: their first time is their slowest."""
    load = Generator(TOPIC, seed).load(_WARMING_EVENTS, 0, others=PARTITIONS)
    with (
        migrated(servers) as database,
        staged_on(servers, database, PARTITIONS) as stage,
        stage.probe() as probe,
        running(stage, 1) as crew,
    ):
        warm_up(stage, probe, crew, load.prepared)
        drain_backlog(stage, probe, crew, load.measured)


def parts(servers: Servers, crew: Sequence[Upsertd]) -> dict[str, list[int]]:
    """The process ids of all replicas and servers, by part."""
    return {
        "client": [each.process.pid for each in crew],
        **{part: [pid] for part, pid in servers.pids.items()},
    }
