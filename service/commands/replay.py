"""`upsertd replay`: reads a range of a topic once more, beside the running group or without one.

Finds out what is meant, partition by partition, has `pipeline.replay` take it, and says how far it came
through `replay_telling`. It moves no position and no group offset.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import click

from service.app import kafka_options, retry_policy, topics, utc_now
from service.commands.asking_kafka import load_kafka_settings, open_kafka
from service.commands.ending import DONE, INTERRUPTED, Failed
from service.commands.moments import Moment
from service.commands.opening import open_database, run_briefly
from service.commands.replay_planning import Standing, Wish, find_stretches
from service.commands.replay_telling import Teller
from service.commands.terminal import printable
from service.core.errors import OffsetOutOfRange
from service.entities.registry import ENTITIES
from service.formats.native import decoder
from service.pipeline.batching import BatchLimits
from service.pipeline.replay import Replay, Replayed, ReplayRoute, ReplaySink
from service.schema import require_schema
from service.settings import BatchSettings, DatabaseSettings, KafkaSettings, RetrySettings, load_group
from service.sinks.sql import SqlSink
from service.sources.kafka_range import KafkaRange


class OffsetOrMoment(click.ParamType[int | datetime]):
    """An offset, or an RFC 3339 time as naive UTC."""

    name = "offset or time"

    def convert(
        self, value: str | int | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | datetime:
        if isinstance(value, int | datetime):
            return value
        return int(value) if value.isdecimal() else Moment().convert(value, param, ctx)


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """The settings that a replay works with."""

    kafka: KafkaSettings
    database: DatabaseSettings
    batch: BatchSettings
    retry: RetrySettings


@click.command(
    epilog="""\b
Examples:
  upsertd replay --topic orders --from-time 2026-11-21T08:00:00Z --dry-run
  upsertd replay --topic orders --from-time 2026-11-21T08:00:00Z --until 2026-11-21T09:30:00Z
  upsertd replay --topic orders --partition 2 --from-offset 4711 --until 4800 --force

Needs no stopped service: it moves no position, and a record that is marked changes nothing. With --force the
record that left the mark is applied again where the version rule lets it: rows that were removed by hand come
back; a copy of it, and whatever is older than the row, changes nothing. It reads what the group has come to:
a range that begins beyond that is left to the service.

Ctrl-C ends between two transactions. Running it again is harmless."""
)
@click.option("--topic", required=True, help="The topic to read.")
@click.option("--partition", type=click.IntRange(min=0), help="One of its partitions; all otherwise.")
@click.option("--from-time", type=Moment(), help="From the first record of this time (RFC 3339) or later on.")
@click.option("--from-offset", type=click.IntRange(min=0), metavar="N", help="From this offset on.")
@click.option(
    "--until",
    type=OffsetOrMoment(),
    metavar="N|TIME",
    help="Up to, not including, this offset, or the first record of this time or later; otherwise to the end "
    "as it is now.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Run the same transactions and roll each one back at its end: the outcomes are those of the real "
    "run, as far as they do not depend on an earlier transaction of it; nothing is written.",
)
@click.option(
    "--force", is_flag=True, help="Apply a record although it has been handled, if it is new enough."
)
@click.option("--json", "as_json", is_flag=True, help="The summary as a JSON object.")
def replay(
    *,
    topic: str,
    partition: int | None,
    from_time: datetime | None,
    from_offset: int | None,
    until: int | datetime | None,
    dry_run: bool,
    force: bool,
    as_json: bool,
) -> int:
    """Read a range of a topic again."""
    since = _only(from_time, from_offset)
    if type(until) is type(since) and until <= since:  # type: ignore[operator]  # of one type
        raise click.UsageError("--until must lie behind the beginning.")
    kafka, database = load_kafka_settings(), load_group(DatabaseSettings)
    if topic not in topics(kafka):
        consumed = ", ".join(topics(kafka))
        raise click.BadParameter(
            f"{printable(topic)} is not consumed (these are: {consumed})", param_hint="'--topic'"
        )
    wish = Wish(topic, partition, since, until, force, dry_run)
    settings = ReplaySettings(kafka, database, load_group(BatchSettings), load_group(RetrySettings))
    return run_briefly(_replay(wish, settings, as_json=as_json))


def _only(from_time: datetime | None, from_offset: int | None) -> int | datetime:
    if from_time is not None and from_offset is None:
        return from_time
    if from_offset is not None and from_time is None:
        return from_offset
    raise click.UsageError("Give exactly one of --from-time and --from-offset.")


async def _replay(wish: Wish, settings: ReplaySettings, *, as_json: bool) -> int:
    kafka = settings.kafka
    async with open_kafka(kafka) as admin, open_database(settings.database) as database:
        await require_schema(database)
        reader = KafkaRange(kafka_options(kafka), wish.topic, await admin.cluster_id())
        try:
            stretches = await find_stretches(wish, Standing(kafka, admin, database), reader)
            teller = Teller(stretches, force=wish.force, dry_run=wish.dry_run, as_json=as_json)
            route = _route(wish.topic, settings, SqlSink(database, ENTITIES, kafka.group_id, utc_now))
            return await take(Replay(reader, route, teller, force=wish.force, dry_run=wish.dry_run), teller)
        finally:
            await reader.close()


def _route(topic: str, settings: ReplaySettings, sink: ReplaySink) -> ReplayRoute:
    entity = ENTITIES[topics(settings.kafka)[topic]]
    limits = BatchLimits(settings.batch.max_records, settings.batch.max_bytes)
    return ReplayRoute(entity.name, decoder(entity), sink, retry_policy(settings.retry), limits)


class Takes(Protocol):
    """What of `pipeline.replay.Replay` is needed here."""

    async def run(self, replayed: Replayed) -> None: ...

    def stop(self) -> None: ...


async def take(replay: Takes, teller: Teller) -> int:
    """Take one stretch after the other, until Ctrl-C; tells the summary however it ends.

    Returns the exit code. Raises what `Replay.run` raises, and `Failed` when the log lost what was asked for.
    """
    teller.begins()
    try:
        with _stopped_by_ctrl_c(replay):
            for replayed in teller.all:
                await replay.run(replayed)
    except OffsetOutOfRange as error:
        raise Failed(
            f"{replayed.stretch.partition} has no {replayed.position} any more: its log changed"
        ) from error
    finally:
        teller.ends()
    return DONE if all(replayed.finished for replayed in teller.all) else INTERRUPTED


@contextmanager
def _stopped_by_ctrl_c(replay: Takes) -> Iterator[None]:
    """The first Ctrl-C ends between two transactions, the next one at once."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        replay.stop()
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    loop.add_signal_handler(signal.SIGINT, stop)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
