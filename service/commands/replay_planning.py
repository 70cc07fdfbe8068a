"""What `upsertd replay` is asked for, as stretches of partitions: Kafka and the database say what is there.

The rules are `pipeline.stretch`'s; here the questions are asked, and what cannot be is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import click

from service.app import start_policy
from service.commands.ending import Failed
from service.core.errors import Unavailable
from service.core.types import GroupOffset, LogRange, Partition, StoredPosition
from service.database import Database
from service.pipeline.claim import Halt, StartPolicy, choose_start
from service.pipeline.stretch import BelowLog, Stretch, plan, reached_offset
from service.settings import KafkaSettings
from service.sources.kafka_admin import KafkaAdmin
from service.sources.kafka_range import KafkaRange
from service.stores.positions import read_positions


@dataclass(frozen=True, slots=True)
class Wish:
    """What an operator wants to have read again; `partition` None means all, times are naive UTC."""

    topic: str
    partition: int | None
    since: int | datetime
    until: int | datetime | None
    force: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """Whom to ask how the group stands."""

    kafka: KafkaSettings
    admin: KafkaAdmin
    database: Database


async def find_stretches(wish: Wish, standing: Standing, reader: KafkaRange) -> list[Stretch]:
    """The stretches that are meant, in order.

    Raises `click.BadParameter` for a topic or a partition that is not there, `Failed` when records are gone
    or a partition is halted, `Unavailable`.
    """
    partitions = await _partitions(wish, standing.admin)
    # In this order: the group goes on meanwhile, and must not be found beyond the log's end.
    group = await standing.admin.group_offsets(partitions)
    rows = await read_positions(standing.database, standing.kafka.group_id)
    logs = await standing.admin.log_ranges(partitions)
    if without := [str(each) for each in partitions if each not in logs]:
        raise Unavailable(f"no leader for {', '.join(without)}", part="kafka")
    reached = _reached(logs, group, rows, await standing.admin.cluster_id(), start_policy(standing.kafka))
    begins = await _offsets(wish.since, partitions, reader)
    ends = await _offsets(wish.until, partitions, reader)
    try:
        return [
            plan(each, begins.get(each), ends.get(each), logs[each], reached[each]) for each in partitions
        ]
    except BelowLog as gone:
        raise Failed(str(gone)) from gone


async def _partitions(wish: Wish, admin: KafkaAdmin) -> tuple[Partition, ...]:
    existing = await admin.topic_partitions(wish.topic)
    if not existing:
        raise click.BadParameter(f"Kafka has no topic {wish.topic}", param_hint="'--topic'")
    if wish.partition is None:
        return existing
    wanted = Partition(wish.topic, wish.partition)
    if wanted not in existing:
        last = existing[-1].number
        raise click.BadParameter(f"{wish.topic} has partitions 0 to {last}", param_hint="'--partition'")
    return (wanted,)


async def _offsets(
    bound: int | datetime | None, partitions: Collection[Partition], reader: KafkaRange
) -> dict[Partition, int]:
    """A bound as an offset of each partition; those that have no record of the time are left out."""
    if bound is None:
        return {}
    if isinstance(bound, int):
        return dict.fromkeys(partitions, bound)
    return await reader.offsets_at(partitions, milliseconds(bound))


def milliseconds(moment: datetime) -> int:
    """A naive UTC time as Kafka counts it; a part of a millisecond counts as a whole one."""
    since_epoch = moment.replace(tzinfo=UTC) - datetime.fromtimestamp(0, UTC)
    return -(-since_epoch // timedelta(milliseconds=1))


def _reached(
    logs: Mapping[Partition, LogRange],
    group: Mapping[Partition, GroupOffset],
    rows: Mapping[Partition, StoredPosition],
    cluster_id: str,
    policy: StartPolicy,
) -> dict[Partition, int]:
    """How far the group has come in each partition. Raises `Failed` where it is halted."""
    reached: dict[Partition, int] = {}
    for partition, log in logs.items():
        stored = rows.get(partition)
        start = choose_start(stored, group.get(partition), log, cluster_id, policy)
        if isinstance(start, Halt):
            raise Failed(f"{partition} is halted: {start.reason} (see `upsertd positions`)")
        reached[partition] = reached_offset(start, stored)
    return reached
