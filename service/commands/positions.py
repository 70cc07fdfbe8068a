"""`upsertd positions`: where each partition stands, in Kafka and in the database; `reset` moves one.

Works beside a running service and without one. What would halt a lane is decided by `pipeline.claim`, over
the state as it is now.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import click

from service.app import start_policy, topics, utc_now
from service.commands.asking_kafka import load_kafka_settings, open_kafka
from service.commands.opening import open_database, run_briefly
from service.commands.terminal import printable, table
from service.core.errors import NotOwner
from service.core.types import GroupOffset, LogRange, Partition, StoredPosition
from service.pipeline.claim import Halt, StartPolicy, choose_start
from service.settings import DatabaseSettings, KafkaSettings, load_group
from service.sources.kafka_admin import KafkaAdmin
from service.stores.positions import Reset, Target, hand_back, read_positions, reset_position


@dataclass(frozen=True, slots=True)
class Standing:
    """A partition as `--json` shows it.

    `lag` counts from the database's offset or, where there is none or the log does not reach it, from where
    a claim would start; it is None where Kafka does not tell the end. `halted` says why a lane cannot go
    on, None while it can.
    """

    topic: str
    partition: int
    group_offset: int | None
    database_offset: int | None
    end_offset: int | None
    lag: int | None
    owner: str | None
    halted: str | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What Kafka and the database say, read in an order that makes no lag negative."""

    partitions: Sequence[Partition]
    group: Mapping[Partition, GroupOffset]
    stored: Mapping[Partition, StoredPosition]
    logs: Mapping[Partition, LogRange]
    cluster_id: str


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  upsertd positions
  upsertd positions --json
  upsertd positions reset --topic orders --partition 0 --to-earliest

\b
GROUP     the offset committed to Kafka, a copy of the next column for lag tools
DATABASE  the position that counts: where the next claim starts
LAG       END - DATABASE; before the first claim, from where it would start""",
)
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects instead of a table.")
@click.pass_context
def positions(context: click.Context, as_json: bool) -> None:
    """Show where every partition stands, or move one."""
    if context.invoked_subcommand is not None:
        if as_json:
            raise click.UsageError("--json belongs to 'positions' alone", context)
        return
    kafka, database = load_kafka_settings(), load_group(DatabaseSettings)
    seen = run_briefly(look(kafka, database))
    policy = start_policy(kafka)
    standings = [standing(partition, seen, policy) for partition in seen.partitions]
    if as_json:
        click.echo(json.dumps([asdict(each) for each in standings], indent=2))
    else:
        click.echo(_table(standings))
    for topic in topics(kafka).keys() - {partition.topic for partition in seen.partitions}:
        click.echo(f"upsertd: topic {topic} does not exist", err=True)


async def look(kafka: KafkaSettings, database_settings: DatabaseSettings) -> Seen:
    """Read every partition of the configured topics, and those that have a row besides."""
    async with open_kafka(kafka) as admin, open_database(database_settings) as database:
        consumed = [await admin.topic_partitions(topic) for topic in topics(kafka)]
        rows = await read_positions(database, kafka.group_id)
        partitions = sorted({*rows, *(each for topic in consumed for each in topic)})
        # Each of these only grows: what is read first is never ahead of what is read after it.
        group = await admin.group_offsets(partitions)
        rows = await read_positions(database, kafka.group_id)
        logs = await admin.log_ranges(partitions)
        return Seen(partitions, group, rows, logs, await admin.cluster_id())


def standing(partition: Partition, seen: Seen, policy: StartPolicy) -> Standing:
    """How one partition stands; pure."""
    group, stored = seen.group.get(partition), seen.stored.get(partition)
    log = seen.logs.get(partition)
    lag = halted = None
    if log is not None:
        start = choose_start(stored, group, log, seen.cluster_id, policy)
        halted = start.reason if isinstance(start, Halt) else None
        wanted = log.beginning if isinstance(start, Halt) else start.offset
        if stored is not None and stored.next_offset <= log.end:
            wanted = stored.next_offset
        lag = max(0, log.end - wanted)
    return Standing(
        topic=partition.topic,
        partition=partition.number,
        group_offset=None if group is None else group.offset,
        database_offset=None if stored is None else stored.next_offset,
        end_offset=None if log is None else log.end,
        lag=lag,
        owner=None if stored is None else stored.owner,
        halted=halted,
    )


def _table(standings: Sequence[Standing]) -> str:
    head = ("TOPIC", "PARTITION", "GROUP", "DATABASE", "END", "LAG", "OWNER", "HALTED")
    rows = [
        ["-" if value is None else printable(str(value)) for value in asdict(each).values()]
        for each in standings
    ]
    return table(head, rows, numbers=range(1, 6))


# ---------------------------------------------------------------- reset


@dataclass(frozen=True, slots=True)
class Wish:
    """Where an operator wants a partition to be; `offset` None means one end of the log."""

    partition: Partition
    offset: int | None
    to_latest: bool

    def target(self, log: LogRange) -> int:
        """The offset that is meant. Raises `click.BadParameter` when the log does not reach it."""
        if self.offset is None:
            return log.end if self.to_latest else log.beginning
        if not log.beginning <= self.offset <= log.end:
            reach = f"the log of {self.partition}, {log.beginning} to {log.end}"
            raise click.BadParameter(f"{self.offset} lies outside of {reach}", param_hint="'--to-offset'")
        return self.offset


@positions.command(
    epilog="""\b
Examples:
  upsertd positions reset --topic orders --partition 0 --to-earliest
  upsertd positions reset --topic orders --partition 0 --to-offset 4711

Releases a halted partition of a running service, or moves one of a stopped service. Records that are read
again change nothing: they are marked. Records that are jumped over are not read."""
)
@click.option("--topic", required=True, help="The topic of the partition.")
@click.option("--partition", required=True, type=click.IntRange(min=0), help="Its number.")
@click.option("--to-earliest", is_flag=True, help="To the first record that the log still has.")
@click.option("--to-latest", is_flag=True, help="To the log's end: only what comes from now on.")
@click.option("--to-offset", type=click.IntRange(min=0), metavar="N", help="To this offset.")
def reset(topic: str, partition: int, to_earliest: bool, to_latest: bool, to_offset: int | None) -> None:
    """Let one partition begin anew at another offset."""
    if [to_earliest, to_latest, to_offset is not None].count(True) != 1:
        raise click.UsageError("Give exactly one of --to-earliest, --to-latest and --to-offset.")
    kafka, database = load_kafka_settings(), load_group(DatabaseSettings)
    if topic not in topics(kafka):
        consumed = ", ".join(topics(kafka))
        raise click.BadParameter(
            f"{printable(topic)} is not consumed (these are: {consumed})", param_hint="'--topic'"
        )
    wish = Wish(Partition(topic, partition), to_offset, to_latest)
    click.echo(run_briefly(_reset(wish, kafka, database)))


async def _reset(wish: Wish, kafka: KafkaSettings, database_settings: DatabaseSettings) -> str:
    async with open_kafka(kafka) as admin, open_database(database_settings) as database:
        await _check_exists(wish.partition, admin)
        offset = wish.target(await admin.log_range(wish.partition))
        target = Target(wish.partition, offset, await admin.cluster_id())
        # The row first: it is the truth, and until the group's offset has followed it is the last word.
        done = await reset_position(database, kafka.group_id, target, utc_now)
        followed = await _commit_if_stopped(target, admin)
        if followed:
            await hand_back(database, kafka.group_id, done, target.partition)
    return "\n".join(_told(target, done, followed))


async def _check_exists(partition: Partition, admin: KafkaAdmin) -> None:
    existing = await admin.topic_partitions(partition.topic)
    if not existing:
        raise click.BadParameter(f"Kafka has no topic {partition.topic}", param_hint="'--topic'")
    if partition not in existing:
        last = existing[-1].number
        raise click.BadParameter(f"{partition.topic} has partitions 0 to {last}", param_hint="'--partition'")


async def _commit_if_stopped(target: Target, admin: KafkaAdmin) -> bool:
    """Commit the group's offset; a group that has members commits it itself after its next claim."""
    try:
        await admin.commit({target.partition: target.offset})
    except NotOwner:
        return False
    return True


def _told(target: Target, done: Reset, followed: bool) -> list[str]:
    before = "no position" if done.before is None else str(done.before.next_offset)
    if followed:
        group = "the group has no members: its offset in Kafka was committed, too"
    else:
        group = "the group has members: the partition's owner claims it again within seconds"
    return [f"{target.partition}: {before} -> {target.offset} (epoch {done.after.epoch})", group]
