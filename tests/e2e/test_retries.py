"""Records that fail for now, and what operators do with them, beside the running service and its load."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice

from tests.e2e.messages import ENTITIES, Change, Hopeless, Message, Produced
from tests.e2e.producing import produce
from tests.e2e.stage import Stage
from tests.e2e.workload import PLAIN, Shape, Workload
from tests.e2e.world import World, connect
from tests.operations.commands import settings_of, upsertd

_PER_SECOND = 300
_OFTEN = {"RETRY_ATTEMPTS_CREATE": "100", "RETRY_ATTEMPTS_UPDATE": "100"}
_UNWANTED = "unwanted"
_ONCE = {"RETRY_ATTEMPTS_CREATE": "1", "RETRY_ATTEMPTS_UPDATE": "1"}


async def test_a_locked_row_parks_its_own_record_alone(stage: Stage, seed: int) -> None:
    """Others go on; tried again by whoever is left after a `kill -9`, it is applied once, or superseded."""
    settings = {"RETRY_DELAYS_SECONDS": "6,1", **_OFTEN}
    first, second = stage.start(**settings), stage.start(**settings)
    (kept, kept_story), (lost, lost_story) = islice(other_customers(seed), 2)
    await stage.produce([kept_story[0], lost_story[0]])
    await stage.settle()
    async with stage.load(Workload(seed + 1, PLAIN), per_second=_PER_SECOND):
        with locked_row(stage.world, kept):
            with locked_row(stage.world, lost):
                waiting, overtaken = await fail(stage, [kept_story[1], lost_story[1]])
                await wait_for_letters(stage, [overtaken], "retrying")
            [newer] = await produce(stage.world, [lost_story[2]])
            await wait_for_letters(stage, [waiting], "retrying")
            await stage.wait_for_progress(of_each=stage.logs(*ENTITIES))
            await first.wait_for_status("/health/live", 200)
            await first.kill9()
            await wait_for_letters(stage, [waiting], "retrying", attempts=2)
            await second.wait_for_status("/health/live", 200)
        await wait_for_letters(stage, [waiting], "replayed")
        await wait_for_letters(stage, [overtaken], "superseded", "replayed")
    take_as_seen(stage, overtaken, newer)
    assert stage.model.retry(waiting) == "applied"
    await stage.settle()
    await stage.judge()


async def test_a_locked_table_is_waited_for(stage: Stage, seed: int) -> None:
    """Nothing is parked or given up, readiness says why, other tables are written; then it goes on."""
    replica = stage.start(RETRY_DELAYS_SECONDS="1", **_ONCE)
    await replica.wait_ready()
    products, others = stage.logs("product"), stage.logs("customer")
    async with stage.load(Workload(seed, PLAIN), per_second=_PER_SECOND):
        await stage.wait_for_progress(of_each=stage.logs(*ENTITIES))
        with locked_table(stage.world, "products"):
            await replica.wait_for_status(
                "/health/ready", 503, saying="database: tables of products are locked"
            )
            before = stage.positions()
            await replica.wait_for_status("/health/live", 200)
            await stage.wait_for_progress(of_each=others)
            after = stage.positions()
        assert [after[log] for log in products] == [before[log] for log in products]
        await stage.wait_for_progress(of_each=products)
    await stage.settle()
    await stage.judge()


async def test_dead_letters_are_replayed_and_discarded(stage: Stage, seed: int) -> None:
    """Beside the service, under load; reading their records again reopens none of them."""
    replica = stage.start(RETRY_DELAYS_SECONDS="1", **_ONCE)
    [(customer, story)] = islice(other_customers(seed), 1)
    await stage.produce([story[0], unwanted(story[0])])
    await stage.settle()
    async with stage.load(Workload(seed + 1, Shape(hostile=0.02)), per_second=_PER_SECOND / 2):
        with locked_row(stage.world, customer):
            [failed] = await fail(stage, [story[1]])
            await wait_for_letters(stage, [failed], "dead")
        [garbage] = (record for record in stage.sent if record.message.kind == _UNWANTED)
        await command(stage, "discard", str(stage.letters()[garbage.place]["id"]), "--reason", "test data")
        await command(stage, "replay", "--all")
    assert stage.model.retry(failed) == "applied"
    stage.model.close(garbage, "discarded")
    await stage.settle()
    await stage.judge()

    assert await replica.sigterm() == 0
    await stage.reset_group(dict.fromkeys(stage.positions(), 0))
    stage.model.take_all(sorted([*stage.sent, failed], key=lambda record: record.place))
    replica.start()
    await stage.settle()
    await stage.judge(resets=True)


def unwanted(like: Message) -> Message:
    """A record that can never be applied, in the place of another one."""
    return replace(like, kind=_UNWANTED, value=b"unwanted", meaning=Hopeless())


def other_customers(seed: int) -> Iterator[tuple[int, list[Message]]]:
    """Customers that no workload speaks of, each in another partition, with ten changes or so."""
    usual = Shape().subjects
    stories: dict[int, list[Message]] = defaultdict(list)
    shape = replace(PLAIN, entities=("customer",), subjects=usual + 20)
    for message in Workload(seed, shape).take(10 * shape.subjects):
        assert isinstance(message.meaning, Change)
        stories[message.meaning.entity_id].append(message)
    partitions: set[int] = set()
    for entity_id, story in stories.items():
        if entity_id > usual and story[0].partition not in partitions:
            partitions.add(story[0].partition)
            yield entity_id, story


@contextmanager
def locked_row(world: World, customer: int) -> Iterator[None]:
    """Another session keeps a customer locked."""
    with connect(world) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        assert cursor.execute("SELECT id FROM customers WHERE id = %s FOR UPDATE", (customer,)) == 1
        yield


@contextmanager
def locked_table(world: World, table: str) -> Iterator[None]:
    """Another session keeps a whole table, as a migration may."""
    with connect(world) as connection, connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLES {table} WRITE")
        yield


async def fail(stage: Stage, messages: Sequence[Message]) -> list[Produced]:
    """Send messages that will fail for now; the model knows them as parked."""
    records = await produce(stage.world, messages)
    for record in records:
        stage.model.park(record, "LockTimeout")
    return records


def take_as_seen(stage: Stage, overtaken: Produced, newer: Produced) -> None:
    """Let the model retry `overtaken` after `newer`, or before it where a slow machine had it so."""
    if stage.letters()[overtaken.place]["status"] == "replayed":
        assert stage.model.retry(overtaken) == "applied"
        stage.take([newer])
    else:
        stage.take([newer])
        assert stage.model.retry(overtaken) == "stale"


async def wait_for_letters(
    stage: Stage, records: Sequence[Produced], *statuses: str, attempts: int = 1
) -> None:
    """Wait until these records have letters in one of these statuses, after so many attempts at least."""

    def there() -> bool:
        found = stage.letters()
        rows = [found.get(record.place, {"status": None, "attempts": 0}) for record in records]
        return all(row["status"] in statuses and int(str(row["attempts"])) >= attempts for row in rows)

    places = [record.place for record in records]
    await stage.wait_until(
        there, timeout_seconds=90, why=f"not {' or '.join(statuses)} after {attempts} attempts: {places}"
    )


async def command(stage: Stage, *arguments: str) -> str:
    """What `upsertd dead-letters` says."""
    return await asyncio.to_thread(upsertd, settings_of(stage.world), "dead-letters", *arguments)
