"""`SqlSink.replay` on each real database: what a replay may change, and what it never does."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import delete as delete_rows

from service.core.types import DeadLetter, Event, Operation, Outcome, Partition
from service.entities import entity as entities
from tests.building import CUSTOMERS, event, letter, record, work
from tests.contracts.conftest import DATABASES
from tests.contracts.sink_worlds import SqlWorld, claimed, outcomes

APPLIED, STALE, DUPLICATE, DEAD = Outcome.APPLIED, Outcome.STALE, Outcome.DUPLICATE, Outcome.DEAD


@pytest.fixture(params=DATABASES)
def tables_url(request: pytest.FixtureRequest) -> str:
    """Where the tables are."""
    return cast("str", request.getfixturevalue(request.param))


async def handle(world: SqlWorld, *story: Event | DeadLetter) -> list[Outcome]:
    """Let a lane take them, one by one."""
    held = await claimed(world)
    got: list[Outcome] = []
    for part in story:
        one = work(part)
        got += outcomes(await world.sink.apply(one, held))
        held = held.moved_to(one.end)
    return got


async def replay(
    world: SqlWorld, *story: Event | DeadLetter, force: bool = False, dry_run: bool = False
) -> list[Outcome]:
    """Replay them in one transaction."""
    return outcomes(await world.sink.replay(work(*story), force=force, dry_run=dry_run))


async def remove_rows(world: SqlWorld) -> None:
    """Take every row out by hand."""
    async with world.database.transaction() as transaction:
        for table in reversed(entities.metadata.sorted_tables):
            await transaction.execute(delete_rows(table))


async def test_a_replay_needs_no_position_and_makes_none(world: SqlWorld) -> None:
    """There is no fence: whoever owns the partition is not asked."""
    assert await replay(world, event(0), event(1, 2)) == [APPLIED, APPLIED]
    assert await world.sink.position(CUSTOMERS) is None
    assert len((await world.stored()).marks) == 2


async def test_a_replay_leaves_a_position_alone(world: SqlWorld) -> None:
    """Wherever it stands."""
    await handle(world, event(0))
    before = await world.sink.position(CUSTOMERS)
    await replay(world, event(5, 2))
    assert await world.sink.position(CUSTOMERS) == before


async def test_what_is_marked_is_a_duplicate(world: SqlWorld) -> None:
    """Its row, gone or not, is left alone."""
    await handle(world, event(0))
    await remove_rows(world)
    before = await world.stored()
    assert await replay(world, event(0)) == [DUPLICATE]
    assert await world.stored() == before


async def test_force_brings_a_removed_row_back(world: SqlWorld) -> None:
    """The mark stays one, and as it was."""
    await handle(world, event(0, name="Ada"), event(1, 2))
    before = await world.stored()
    await remove_rows(world)
    assert await replay(world, event(0, name="Ada"), event(1, 2), force=True) == [APPLIED, APPLIED]
    assert await world.stored() == before


async def test_force_keeps_copies_out(world: SqlWorld) -> None:
    """The record that left the mark counts, no other one: not of another offset, partition or topic."""
    await handle(world, event(0, event_id=b"a"))
    await remove_rows(world)
    elsewhere = [
        event(1, event_id=b"a"),
        event(0, event_id=b"a", partition=Partition("customers", 1)),
    ]
    for copy in elsewhere:
        assert await replay(world, copy, force=True) == [DUPLICATE]
    assert (await world.stored()).rows == {}


async def test_force_does_not_reuse_an_id(world: SqlWorld) -> None:
    """An id that stands for another record is a dead letter, forced or not."""
    await handle(world, event(0, event_id=b"a"))
    assert await replay(world, event(1, 2, event_id=b"a"), force=True) == [DEAD]


async def test_force_keeps_the_version_rule(world: SqlWorld) -> None:
    """A row is never made older."""
    await handle(world, event(0, version=1, name="old"), event(1, version=2, name="new"))
    before = await world.stored()
    assert await replay(world, event(0, version=1, name="old"), force=True) == [STALE]
    assert await world.stored() == before


async def test_a_forced_event_does_not_win_twice(world: SqlWorld) -> None:
    """Without a version, and of a later time, it would beat the higher version that came after it."""
    story = [event(0, version=1), event(1, seconds=60, name="later"), event(2, version=2, seconds=30)]
    assert await handle(world, *story) == [APPLIED] * 3
    before = await world.stored()
    assert await replay(world, *story, force=True) == [STALE] * 3
    assert await world.stored() == before


async def test_a_dry_run_tells_and_writes_nothing(world: SqlWorld) -> None:
    """Rows, marks and letters are as they were; the outcomes are those of the transaction."""
    await handle(world, event(0, event_id=b"a", version=5))
    before = await world.stored()
    told = await replay(
        world,
        event(1, event_id=b"a", version=5),
        event(2, version=4),
        event(3, version=6),
        event(4, 2, event_id=b"a"),
        letter(record(5)),
        dry_run=True,
    )
    assert told == [DUPLICATE, STALE, APPLIED, DEAD]
    assert await world.stored() == before


async def test_a_letter_that_is_there_is_left_alone(world: SqlWorld) -> None:
    """Whatever an operator made of it."""
    await handle(world, letter(record(0)))
    await world.set_letter_status(0, "discarded")
    before = await world.stored()
    await replay(world, letter(record(0)))
    assert await world.stored() == before


async def test_an_applied_record_closes_its_letter(world: SqlWorld) -> None:
    """It can be applied now."""
    again = event(0)
    await handle(world, letter(again.record))
    assert await replay(world, again) == [APPLIED]
    assert [each.status for each in (await world.stored()).letters] == ["superseded"]


@pytest.mark.parametrize("event_id", [b"customers/0:0", None], ids=["known-id", "unknown-id"])
async def test_a_record_that_left_a_mark_gets_no_letter(world: SqlWorld, event_id: bytes | None) -> None:
    """Where its id is known: a mark and an open letter of one record never stand together (I2)."""
    await handle(world, event(0))
    await replay(world, replace(letter(event(0).record), event_id=event_id))
    assert len((await world.stored()).letters) == (0 if event_id else 1)


async def test_a_copy_of_a_marked_record_keeps_its_letter(world: SqlWorld) -> None:
    """It left no mark itself: it is given up like any other."""
    await handle(world, event(0, event_id=b"a"))
    await replay(world, replace(letter(record(1)), event_id=b"a"))
    assert len((await world.stored()).letters) == 1


# ---------------------------------------------------------------- any history


Story = list[Event | DeadLetter]


@st.composite
def events(draw: st.DrawFn, offset: int) -> Event:
    """A change of one of two customers: so few versions and times that the rule has to decide."""
    columns = draw(st.fixed_dictionaries({}, optional={"name": st.just(str(offset)), "phone": st.just("1")}))
    made = event(
        offset,
        draw(st.sampled_from([1, 1, 1, 2])),
        event_id=draw(st.sampled_from([b"%d" % offset] * 6 + [b"a"])),
        version=draw(st.none() | st.integers(1, 2)),
        seconds=draw(st.integers(0, 2)),
        operation=draw(st.sampled_from([Operation.UPDATE] * 4 + [Operation.DELETE])),
    )
    return replace(made, columns={} if made.operation is Operation.DELETE else columns)


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Events with and without versions, ids met twice, and a letter now and then."""
    return [
        letter(record(offset)) if draw(st.integers(0, 9)) == 0 else draw(events(offset))
        for offset in range(draw(st.integers(4, 10)))
    ]


@settings(
    max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(story=stories(), size=st.integers(1, 10))
@pytest.mark.parametrize("tables_url", ["sqlite_tables"], indirect=True)
async def test_a_forced_replay_of_a_history_changes_nothing(world: SqlWorld, story: Story, size: int) -> None:
    """Neither rows nor marks nor letters; and rows that were removed come back as they were."""
    await world.clear()
    await handle(world, *story)
    before = await world.stored()
    await replay_in_batches(world, story, size)
    assert await world.stored() == before
    await remove_rows(world)
    await replay_in_batches(world, story, size)
    assert await world.stored() == before


async def replay_in_batches(world: SqlWorld, story: Story, size: int) -> None:
    """Replay a history by force, in transactions of `size`."""
    for first in range(0, len(story), size):
        await replay(world, *story[first : first + size], force=True)
