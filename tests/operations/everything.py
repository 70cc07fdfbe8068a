"""Every statement that the service's user ever sends, whatever the database. Called by the tests of users.

What one of them is refused surfaces as `Unavailable`, as it would in a lane or a command.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from service.app import utc_now
from service.core.errors import FenceLost, TemporaryError
from service.core.types import Action, Operation, Outcome, Partition
from service.database import Database
from service.entities.registry import ENTITIES
from service.schema import require_schema
from service.sinks.letters import SqlLetters
from service.sinks.sql import SqlSink
from service.stores.dead_letters import LetterFilter, count_by_status, find_letters, read_letter
from service.stores.letter_actions import discard
from service.stores.positions import Target, hand_back, read_positions, reset_position
from service.stores.purging import LetterPurge, MarkPurge
from tests.building import ORDERS, delete, event, lease, letter, line, position, record, work

GROUP = "upsertd"
EACH_LANE = {"customers": Partition("customers", 0), "products": Partition("products", 0), "orders": ORDERS}


async def everything(url: str) -> None:
    """Every statement that `run`, `check`, `positions`, `positions reset` and `dead-letters` send."""
    database = Database(url, 2)
    try:
        await require_schema(database)
        sink = SqlSink(database, ENTITIES, GROUP, utc_now)
        for name, partition in EACH_LANE.items():
            assert await sink.claim(partition, None, position())
            await write_entity(sink, name, partition)
        await bury_and_supersede(sink)
        await park_and_retry(sink, database)
        await purge_marks(database)
        await reset(database)
        await read_letters(database)
        await act_on_letters(database)
        await purge_letters(database)
    finally:
        await database.close()


async def write_entity(sink: SqlSink, entity: str, partition: Partition) -> None:
    """Create, update, an older one, a copy, a delete; for orders with lines that change."""
    lines = ([line(1), line(2)], [line(1)]) if ENTITIES[entity].lines else (None, None)
    create = event(0, partition=partition, operation=Operation.CREATE, lines=lines[0], status="a")
    update = event(1, partition=partition, lines=lines[1], status="b")
    stale = event(2, partition=partition, seconds=-5)
    outcomes = []
    for number, each in enumerate((create, update, stale, create, delete(4, partition=partition))):
        written = await sink.apply(work(each, end=number + 1), lease(number, partition=partition))
        outcomes += [outcome for _, outcome in written.outcomes]
    wanted = (Outcome.APPLIED, Outcome.APPLIED, Outcome.STALE, Outcome.DUPLICATE, Outcome.APPLIED)
    assert tuple(outcomes) == wanted
    assert await sink.position(partition)


async def park_and_retry(sink: SqlSink, database: Database) -> None:
    """A record that fails for now, tried again in vain, and then applied."""
    partition = EACH_LANE["customers"]
    await sink.check_writable("orders")
    late = event(7, 70)
    parked = replace(letter(late.record, "LockTimeout"), retry_in_seconds=0)
    await sink.apply(work(parked), lease(7, partition=partition, claim_id="d" * 32))
    letters = SqlLetters(database, sink, utc_now)
    (due,) = await letters.due([partition.topic], 10)
    await letters.failed(due, TemporaryError("SQL error 1205"), 0)
    (due,) = await letters.due([partition.topic], 10)
    await letters.retry(due, late, Action("replay", "somebody"))


async def bury_and_supersede(sink: SqlSink) -> None:
    """A dead letter, the same one redelivered, and its record applied after all."""
    partition = EACH_LANE["customers"]
    late = event(5)
    await sink.apply(work(letter(late.record), letter(record(6))), lease(5, partition=partition))
    stored = await sink.position(partition)
    again = position(5, claim_id="d" * 32, epoch=2)
    assert await sink.claim(partition, stored, again)
    await sink.apply(work(late, letter(record(6))), lease(5, partition=partition, claim_id="d" * 32))
    with pytest.raises(FenceLost):
        await sink.apply(work(late), lease(5, partition=partition))


async def reset(database: Database) -> None:
    """What `upsertd positions` reads and `reset` writes."""
    customers = EACH_LANE["customers"]
    known = await read_positions(database, GROUP)
    assert set(known) == set(EACH_LANE.values())
    done = await reset_position(database, GROUP, Target(customers, 0, "cluster"), utc_now)
    await hand_back(database, GROUP, done, customers)


async def read_letters(database: Database) -> None:
    """What the monitor counts and `upsertd dead-letters` shows."""
    assert await count_by_status(database) == {"dead": 1, "replayed": 1, "superseded": 1}
    found = [each async for each in find_letters(database, LetterFilter(), None)]
    assert await read_letter(database, found[0].id)


async def act_on_letters(database: Database) -> None:
    """What `upsertd dead-letters discard` writes."""
    found = [each.id async for each in find_letters(database, LetterFilter(), None)]
    assert len(await discard(database, found, Action("discard", "a test"), utc_now)) == 1


async def purge_marks(database: Database) -> None:
    """What retention deletes, here without waiting for weeks."""
    purge = MarkPurge(database, timedelta(0), 0, utc_now)
    purge.begin()
    assert (await purge.step(100)).removed > 0


async def purge_letters(database: Database) -> None:
    """As above, with what was done to them."""
    purge = LetterPurge(database, timedelta(0), utc_now)
    purge.begin()
    assert (await purge.step(100)).removed == 3
