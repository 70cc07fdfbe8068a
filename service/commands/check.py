"""`upsertd check`: tries every configured part and says which fail, and why, in words to act on.

Every part is asked on its own and has a deadline; one that is away does not hide the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

import click
from sqlalchemy.engine import make_url

from service.app import topics
from service.commands.asking_kafka import ANSWER_SECONDS, open_kafka
from service.commands.ending import DONE, FAILED
from service.commands.opening import open_database, run_briefly
from service.commands.words import kafka_explained, reason
from service.core.errors import Unavailable, UpsertdError
from service.database import Database
from service.entities.registry import ENTITIES
from service.schema import SchemaStatus, schema_state
from service.settings import DatabaseSettings, RedisSettings, Settings, SettingsError, load_settings
from service.sources.kafka_admin import KafkaAdmin
from service.stores.redis_client import CommandRefused, close_pool, connection_pool, round_trip
from service.telemetry.failures import summary

# A little more than the parts' own deadlines, whose messages say more.
PART_SECONDS = ANSWER_SECONDS + 0.5


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking one part; `detail` is for people and holds no secret."""

    part: str
    ok: bool
    detail: str


class PartFails(Exception):
    """A part answers, but not as it should; the message says what is wrong."""


@click.command(
    epilog="""\b
Examples:
  upsertd check
  upsertd check && upsertd run

Prints a line for each part (`ok` or `FAIL` and why) and ends with 1 when one fails."""
)
def check() -> int:
    """Try the database, its schema, Redis, Kafka and the topics."""
    settings = load_settings()
    settings.check_entities(ENTITIES)
    answers = run_briefly(ask_all(settings))
    width = max(len(answer.part) for answer in answers)
    for answer in answers:
        click.echo(f"{'ok' if answer.ok else 'FAIL':<4}  {answer.part:<{width}}  {answer.detail}")
    return DONE if all(answer.ok for answer in answers) else FAILED


async def ask_all(settings: Settings) -> list[Answer]:
    """Ask every part, side by side."""
    async with open_database(settings.database) as database, open_kafka(settings.kafka) as kafka:
        return await asyncio.gather(
            _answer("database", _ask_database(settings.database, database)),
            _answer("schema", _ask_schema(database)),
            _answer("redis", _ask_redis(settings.redis)),
            _answer("kafka", _ask_kafka(kafka, settings.kafka.group_id)),
            *(_answer(f"topic {topic}", _ask_topic(kafka, topic)) for topic in topics(settings.kafka)),
        )


async def _answer(part: str, question: Awaitable[str]) -> Answer:
    """Ask one part; the question returns what to say when all is well, and raises otherwise."""
    try:
        async with asyncio.timeout(PART_SECONDS):
            with kafka_explained():
                return Answer(part, True, await question)
    except TimeoutError:
        return Answer(part, False, f"no answer within {PART_SECONDS:g} s")
    except PartFails as failure:
        return Answer(part, False, str(failure))
    except Unavailable as error:
        return Answer(part, False, reason(error))
    except UpsertdError as error:
        return Answer(part, False, summary(error))


async def _ask_database(settings: DatabaseSettings, database: Database) -> str:
    await database.ping()
    url = make_url(settings.connection_url)
    if url.host is None:
        return str(url.database)
    return f"{url.database} on {url.host}" + (f":{url.port}" if url.port else "")


async def _ask_schema(database: Database) -> str:
    state = await schema_state(database)
    if state.status is SchemaStatus.MISSING:
        raise PartFails(f"missing, wants {state.wanted}: run `upsertd migrate`")
    if state.status is SchemaStatus.BEHIND:
        raise PartFails(f"behind: at {state.found}, wants {state.wanted}: run `upsertd migrate`")
    if state.status is SchemaStatus.AHEAD:
        return f"ahead: at {state.found}, this version knows {state.wanted}"
    return f"at {state.found}"


async def _ask_redis(settings: RedisSettings) -> str:
    if settings.connection_url is None:
        return "not configured: every event is a miss"
    try:
        pool = connection_pool(settings.connection_url.get_secret_value(), max_connections=1)
    except ValueError as error:
        raise SettingsError(f"REDIS_URL is {error}") from None
    try:
        await round_trip(pool, (b"PING",), ANSWER_SECONDS)
    except CommandRefused as refusal:
        raise Unavailable(str(refusal), part="redis") from refusal
    finally:
        await close_pool(pool, ANSWER_SECONDS)
    return "answers"


async def _ask_kafka(kafka: KafkaAdmin, group_id: str) -> str:
    cluster_id = await kafka.cluster_id()
    members = await kafka.member_count()
    return f"cluster {cluster_id}, group {group_id} with {members} member{'' if members == 1 else 's'}"


async def _ask_topic(kafka: KafkaAdmin, topic: str) -> str:
    partitions = await kafka.topic_partitions(topic)
    if not partitions:
        raise PartFails("Kafka has no such topic")
    readable = await kafka.log_ranges(partitions)
    if without := [str(each.number) for each in partitions if each not in readable]:
        raise PartFails(f"no leader for partition {', '.join(without)}")
    return f"{len(partitions)} partition{'' if len(partitions) == 1 else 's'}"
