"""Where a scenario takes place, and what is seen there: tables, Kafka's offsets, Redis.

`observe` reads all of it at once for the judge; `read_progress` only what says how far the service is. It
knows the outside names of specification 0 and 1 and nothing of the service's inside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple, cast
from urllib.parse import unquote, urlsplit

import pymysql
import redis
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, NotCoordinatorForGroupError
from aiokafka.structs import OffsetAndMetadata

from tests.e2e.messages import TABLES, Line, Place
from tests.e2e.oracle import PAYLOAD_COLUMNS, Age, Row, Subject

CACHE_PREFIX = b"processed:event:"
_COORDINATOR_SECONDS = 20
_POLL_SECONDS = 0.2
_AGE_COLUMNS = ("version", "occurred_at", "source_partition", "source_offset")

Fields = dict[str, object]


@dataclass(frozen=True, slots=True)
class World:
    """The addresses of one scenario. `topics` maps entities to topics; its database is its own."""

    bootstrap: str
    group_id: str
    database_url: str
    topics: Mapping[str, str]
    redis_url: str | None = None


class Log(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class StoredPosition(NamedTuple):
    """What `consumer_positions` says of a log."""

    next_offset: int
    handled_offset: int
    cache_namespace: str
    handled_from: int = 0


@dataclass(slots=True)
class Progress:
    """How far the group is; `ends` are those that readers of committed records see."""

    positions: dict[Log, StoredPosition] = field(default_factory=dict)
    group_offsets: dict[Log, int] = field(default_factory=dict)
    ends: dict[Log, int] = field(default_factory=dict)

    def lagging(self) -> Iterator[str]:
        """A line for each log whose group offset or position is not its end."""
        for log, end in sorted(self.ends.items()):
            position = self.positions.get(log)
            at = position.next_offset if position else 0
            group = self.group_offsets.get(log, 0)
            if (at, group) != (end, end):
                yield f"{log.topic}/{log.partition}: position {at}, group {group}, end {end}"


@dataclass(slots=True)
class Observed:
    """Everything that the judge looks at. Marks and letters are rows as they are, by column."""

    rows: dict[Subject, Row] = field(default_factory=dict)
    marks: list[Fields] = field(default_factory=list)
    letters: list[Fields] = field(default_factory=list)
    progress: Progress = field(default_factory=Progress)
    cache: dict[bytes, bytes | None] = field(default_factory=dict)


async def observe(world: World) -> Observed:
    """Read the whole world; the service should be idle."""
    with connect(world) as connection:
        seen = Observed(
            rows={
                subject: row for entity in world.topics for subject, row in _rows(connection, entity, world)
            },
            marks=select(connection, "SELECT * FROM processed_events"),
            letters=select(connection, "SELECT * FROM dead_letters"),
        )
    seen.progress = await read_progress(world)
    seen.cache = _cache(world)
    return seen


async def read_progress(world: World) -> Progress:
    """Read positions, group offsets and the ends of the logs."""
    progress = await _kafka_progress(world)
    with connect(world) as connection:
        sql = "SELECT * FROM consumer_positions WHERE group_id = %s"
        for row in select(connection, sql, world.group_id):
            log = Log(str(row["topic"]), _int(row["partition_id"]))
            offsets = _int(row["next_offset"]), _int(row["handled_offset"])
            namespace = str(row["cache_namespace"]), _int(row["handled_from"])
            progress.positions[log] = StoredPosition(*offsets, *namespace)
    return progress


@contextmanager
def connect(world: World) -> Iterator[pymysql.Connection]:
    """A connection of our own to the scenario's database, in UTC, each statement committed at once."""
    parts = urlsplit(world.database_url)
    connection = pymysql.connect(
        host=parts.hostname or "",
        port=parts.port or 3306,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=parts.path.strip("/"),
        charset="utf8mb4",
        autocommit=True,
        connect_timeout=5,
        read_timeout=30,
        cursorclass=pymysql.cursors.DictCursor,
    )
    try:
        yield connection
    finally:
        connection.close()


def select(connection: pymysql.Connection, sql: str, *parameters: object) -> list[Fields]:
    """Run a query and return its rows by column name."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return list(cursor.fetchall())


def _rows(connection: pymysql.Connection, entity: str, world: World) -> Iterator[tuple[Subject, Row]]:
    lines = _lines(connection) if entity == "order" else {}
    for stored in select(connection, f"SELECT * FROM {TABLES[entity]}"):
        age = Age(*(cast(Any, stored[name]) for name in _AGE_COLUMNS))
        columns = {name: stored[name] for name in PAYLOAD_COLUMNS[entity]}
        source = Place(world.topics[entity], age.source_partition, age.source_offset)
        deleted = stored["deleted_at"] is not None
        identity = _int(stored["id"])
        yield Subject(entity, identity), Row(age, source, columns, deleted, lines.pop(identity, {}))
    for identity, left in lines.items():
        # Lines without an order: shown as an order that nobody can expect.
        nowhere = Place("lines without an order", -1, -1)
        yield Subject(entity, identity), Row(Age(None, datetime.min, -1, -1), nowhere, {}, False, left)


def _lines(connection: pymysql.Connection) -> dict[int, dict[int, Line]]:
    lines: dict[int, dict[int, Line]] = {}
    for stored in select(connection, "SELECT * FROM order_items"):
        product_id = cast(int | None, stored["product_id"])
        quantity = cast(Decimal | None, stored["quantity"])
        line = Line(product_id, quantity, cast(Decimal | None, stored["unit_price"]))
        lines.setdefault(_int(stored["order_id"]), {})[_int(stored["line_no"])] = line
    return lines


def _cache(world: World) -> dict[bytes, bytes | None]:
    if world.redis_url is None:
        return {}
    with redis.Redis.from_url(world.redis_url) as client:
        keys = [cast(bytes, key) for key in client.scan_iter(match=CACHE_PREFIX + b"*", count=1_000)]
        values = cast(list[bytes | None], client.mget(keys)) if keys else []
    return dict(zip(keys, values, strict=True))


async def _kafka_progress(world: World) -> Progress:
    admin = AIOKafkaAdminClient(bootstrap_servers=world.bootstrap)
    await admin.start()
    try:
        offsets = await _group_offsets(admin, world.group_id)
        topics = await admin.describe_topics(list(world.topics.values()))
    finally:
        await admin.close()
    logs = [Log(topic["topic"], part["partition"]) for topic in topics for part in topic["partitions"]]
    committed = {Log(*log): stored.offset for log, stored in offsets.items() if stored.offset >= 0}
    return Progress(group_offsets=committed, ends=await _ends(world, logs))


async def _group_offsets(
    admin: AIOKafkaAdminClient, group_id: str
) -> Mapping[TopicPartition, OffsetAndMetadata]:
    async with asyncio.timeout(_COORDINATOR_SECONDS):
        while True:
            try:
                return dict(await admin.list_consumer_group_offsets(group_id))
            except (GroupCoordinatorNotAvailableError, NotCoordinatorForGroupError):
                # A broker makes the topic of offsets when it is first asked for them.
                await asyncio.sleep(_POLL_SECONDS)


async def _ends(world: World, logs: Sequence[Log]) -> dict[Log, int]:
    consumer = AIOKafkaConsumer(bootstrap_servers=world.bootstrap, isolation_level="read_committed")
    await consumer.start()
    try:
        ends = await consumer.end_offsets([TopicPartition(*log) for log in logs])
    finally:
        await consumer.stop()
    return {Log(*log): end for log, end in ends.items()}


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
