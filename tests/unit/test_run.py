"""A member of the group: lanes that start with an assignment and drain with a revocation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from service.core.errors import Unavailable
from service.core.types import GroupOffset, Partition
from service.pipeline.run import LEAVE_SECONDS, REVOKE_SECONDS, Consumer
from service.testing.source import InMemorySource
from tests.building import CUSTOMERS
from tests.unit.lane_world import World

pytestmark = pytest.mark.looptime

OTHER = Partition("customers", 1)

Join = Callable[[], Consumer]


@pytest.fixture
def world() -> World:
    return World(partitions=2)


@pytest_asyncio.fixture
async def join(world: World) -> AsyncIterator[Join]:
    """Makes another member; all of them are stopped in the end."""
    made: list[Consumer] = []

    def new_consumer() -> Consumer:
        source = InMemorySource(world.kafka)
        made.append(Consumer(source, lambda partition: world.lane(source, partition)))
        return made[-1]

    with capture_logs():
        yield new_consumer
        for consumer in made:
            await consumer.stop(1)
    assert world.kafka.too_far == []


def partitions(consumer: Consumer) -> list[Partition]:
    return [lane.partition for lane in consumer.lanes]


async def test_every_assigned_partition_has_a_lane(world: World, join: Join) -> None:
    """Side by side, each from its own claim."""
    world.produce_numbered(3, CUSTOMERS)
    world.produce_numbered(2, OTHER)
    consumer = join()
    await consumer.start()
    await asyncio.sleep(1)
    assert partitions(consumer) == [CUSTOMERS, OTHER]
    assert world.outcome("applied") == 5
    assert {p: stored.next_offset for p, stored in world.sink.tables.positions.items()} == {
        CUSTOMERS: 3,
        OTHER: 2,
    }


async def test_a_second_member_takes_over_where_the_first_one_stood(world: World, join: Join) -> None:
    """A revoked lane writes and commits its position before it goes: nothing runs twice."""
    first, second = join(), join()
    await first.start()
    world.produce_numbered(3, CUSTOMERS)
    world.produce_numbered(3, OTHER)
    await asyncio.sleep(1)
    await second.start()
    world.produce_numbered(3, CUSTOMERS)
    world.produce_numbered(3, OTHER)
    await asyncio.sleep(1)
    assert sorted(partitions(first) + partitions(second)) == [CUSTOMERS, OTHER]
    assert (len(first.lanes), len(second.lanes)) == (1, 1)
    assert world.outcome("applied") == 12
    assert world.outcome("duplicate") == 0
    assert world.kafka.group_offsets == {each: GroupOffset(6, ours=True) for each in (CUSTOMERS, OTHER)}


async def test_a_revocation_waits_for_the_batch_in_flight(world: World, join: Join) -> None:
    """It is finished and committed while commits are still accepted."""
    world.produce_numbered(3)
    gate = world.hold()
    consumer = join()
    await consumer.start()
    await gate.reached.wait()
    asyncio.get_running_loop().call_later(REVOKE_SECONDS - 1, gate.open.set)
    await consumer.on_revoked([CUSTOMERS])
    assert partitions(consumer) == [OTHER]
    assert world.committed == GroupOffset(3, ours=True)


async def test_a_revocation_does_not_wait_for_ever(world: World, join: Join, looptime: float) -> None:
    """A lane that cannot finish in time is cut off; its batch is the next owner's, applied once."""
    world.produce_numbered(3)
    gate = world.hold()
    first, second = join(), join()
    await first.start()
    await gate.reached.wait()
    await first.on_revoked([CUSTOMERS, OTHER])
    assert REVOKE_SECONDS <= looptime <= REVOKE_SECONDS + 0.5
    assert first.lanes == ()
    assert world.applied == set()
    gate.open.set()
    await first.stop(1)
    await second.start()
    await asyncio.sleep(1)
    assert world.outcome("applied") == 3


async def test_a_stop_drains_commits_and_leaves(world: World, join: Join) -> None:
    """Nothing is left to say; the group is empty."""
    world.produce_numbered(3)
    consumer = join()
    await consumer.start()
    await asyncio.sleep(1)
    assert await consumer.stop(5) == ()
    assert (consumer.lanes, world.kafka.members) == ((), [])
    assert world.committed == GroupOffset(3, ours=True)


async def test_a_stop_names_what_could_not_finish(world: World, join: Join, looptime: float) -> None:
    """And where it stood; the deadline holds."""
    world.produce_numbered(3)
    gate = world.hold()
    consumer = join()
    await consumer.start()
    await gate.reached.wait()
    assert await consumer.stop(7) == ("customers/0 at process",)
    assert looptime < 8
    assert world.kafka.members == []


async def test_a_stop_without_the_database_ends_at_once(world: World, join: Join, looptime: float) -> None:
    """A lane with a batch in hand leaves it to the next owner, and says why; the other has nothing."""
    consumer = join()
    await consumer.start()
    await asyncio.sleep(0.5)
    world.sink.reachable = False
    world.produce_numbered(3)
    await asyncio.sleep(10)
    assert await consumer.stop(30) == ("customers/0 at process: the database is away",)
    assert looptime < 11


async def test_a_stop_without_kafka_names_what_was_not_committed(world: World, join: Join) -> None:
    """What SQL has is safe, but lag tools show the group's offset."""
    consumer = join()
    await consumer.start()
    await asyncio.sleep(0.5)
    gate = world.hold()
    world.produce_numbered(3)
    await gate.reached.wait()
    world.kafka.fail("commit", Unavailable("no answer", part="kafka"))
    gate.open.set()
    assert await consumer.stop(30) == ("customers/0 at commit: no answer",)
    assert world.stored.next_offset == 3


async def test_leaving_the_group_is_part_of_the_time(world: World, join: Join, looptime: float) -> None:
    """Whoever ends a process after the time it was given must not cut off its leaving."""
    world.produce_numbered(3)
    gate = world.hold()
    consumer = join()
    await consumer.start()
    await gate.reached.wait()
    await consumer.stop(30)
    assert looptime < 30 - LEAVE_SECONDS + 1


async def test_an_assignment_during_a_stop_starts_nothing(world: World, join: Join) -> None:
    """The group is rebalanced just then: nobody would drain a new lane, nor wait for its batch."""
    world.produce_numbered(3)
    gate = world.hold()
    consumer = join()
    await consumer.start()
    await gate.reached.wait()
    stopping = asyncio.create_task(consumer.stop(30))
    await asyncio.sleep(0.1)
    await world.kafka.rebalance()
    assert consumer.lanes == ()
    world.produce_numbered(2, OTHER)
    await asyncio.sleep(1)
    gate.open.set()
    assert await stopping == ()
    assert world.applied == {0, 1, 2}
    assert lanes_at_work() == set()


def lanes_at_work() -> set[str]:
    """The lanes whose tasks are still there, whoever knows of them."""
    return {task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("lane ")}


async def test_a_start_waits_for_kafka(world: World, join: Join) -> None:
    """However long it is away."""
    world.kafka.fail("start", *[Unavailable("refused", part="kafka")] * 20)
    consumer = join()
    world.produce_numbered(1)
    await consumer.start()
    await asyncio.sleep(1)
    assert world.applied == {0}


async def test_a_partition_that_is_assigned_again_gets_a_new_lane(world: World, join: Join) -> None:
    """Also when nobody said that it had left."""
    consumer = join()
    await consumer.start()
    await asyncio.sleep(1)
    before = consumer.lanes
    await consumer.on_assigned([CUSTOMERS])
    world.produce_numbered(3)
    await asyncio.sleep(2)
    after = consumer.lanes
    assert after[0] is not before[0]
    assert after[1] is before[1]
    assert world.applied == {0, 1, 2}
    assert world.stored.epoch == 2


async def test_lanes_that_leave_together_drain_together(world: World, join: Join, looptime: float) -> None:
    """One that has to be cut off does not cost the others their time, nor their commit."""
    consumer = join()
    await consumer.start()
    await asyncio.sleep(0.5)
    gate = world.hold()
    world.produce_numbered(1, CUSTOMERS)
    await gate.reached.wait()
    world.produce_numbered(2, OTHER)
    await asyncio.sleep(0.1)
    await consumer.on_revoked([CUSTOMERS, OTHER])
    assert looptime < REVOKE_SECONDS + 1
    assert world.kafka.group_offsets[OTHER] == GroupOffset(2, ours=True)


async def test_a_lane_that_has_left_takes_its_gauges_with_it(world: World, join: Join) -> None:
    """The next owner speaks for the partition."""
    world.sink.reachable = False
    consumer = join()
    await consumer.start()
    await asyncio.sleep(1)
    pauses = {"topic": "customers", "partition": "0", "reason": "database"}
    assert world.count("upsertd_lane_paused", **pauses) == 1
    await consumer.stop(1)
    assert world.count("upsertd_lane_paused", **pauses) == 0


async def test_a_stop_waits_for_the_lanes_that_a_rebalance_drains(world: World, join: Join) -> None:
    """They are on their way out already, but what they use must not be closed under them."""
    world.produce_numbered(3)
    gate = world.hold()
    consumer = join()
    await consumer.start()
    await gate.reached.wait()
    revoking = asyncio.create_task(consumer.on_revoked([CUSTOMERS]))
    await asyncio.sleep(0.1)
    await consumer.stop(30)
    assert lanes_at_work() == set()
    gate.open.set()
    await revoking
