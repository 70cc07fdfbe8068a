"""The lane of a partition: claims, fences, outages, positions and drains, in memory and in no time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
import pytest_asyncio
from msgspec.structs import replace
from structlog.testing import capture_logs

from service.core.errors import (
    ConnectionLost,
    NotOwner,
    PermanentError,
    TemporaryError,
    Unavailable,
)
from service.core.types import (
    OPERATOR,
    Batch,
    GroupOffset,
    Lease,
    Partition,
    StoredPosition,
    Work,
    Written,
)
from service.pipeline.batching import IN_HAND_RECORDS, BatchLimits, parted
from service.pipeline.claim import StartPolicy
from service.pipeline.partition import (
    CLAIM_AGAIN_SECONDS,
    COMMIT_AGAIN_SECONDS,
    HALT_CHECK_SECONDS,
    ROW_CHECK_SECONDS,
    SETTLE_SECONDS,
)
from service.testing.sink import InMemorySink
from service.testing.source import InMemorySource
from tests.building import CUSTOMERS, message, position, record
from tests.unit.lane_world import World

pytestmark = pytest.mark.looptime

LOST = ConnectionLost("SQL error 2013", part="database")
AWAY = Unavailable("SQL error 1290", part="database")


class Raced(InMemorySink):
    """A database in which another member is faster, so many `times`; `overtaken` is called each time."""

    def __init__(self, times: int = 1) -> None:
        super().__init__()
        self.times = times
        self.overtaken: Callable[[], None] = lambda: None

    async def claim(self, partition: Partition, seen: StoredPosition | None, claimed: StoredPosition) -> bool:
        if self.times:
            self.times -= 1
            rival = f"{self.times:032x}"
            self.tables.positions[partition] = position(1, claim_id=rival, epoch=7, owner="rival")
            self.overtaken()
        return await super().claim(partition, seen, claimed)


class Slow(InMemorySink):
    """A database that takes 30 s to lose the connection under every batch."""

    async def apply(self, work: Work, lease: Lease) -> Written:
        if work.events:
            await asyncio.sleep(30)
            raise LOST
        return await super().apply(work, lease)


class Locked(InMemorySink):
    """A database in which somebody holds the row of record 3: whoever wants it waits 5 s in vain."""

    async def apply(self, work: Work, lease: Lease) -> Written:
        if any(event.record.offset == 3 for event in work.events):
            await asyncio.sleep(5)
            raise TemporaryError("SQL error 1205")
        return await super().apply(work, lease)


@pytest_asyncio.fixture
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """One partition; a parameter is the kind of its database."""
    world = World(sink=getattr(request, "param", InMemorySink)())
    with capture_logs():
        yield world
        await world.close()
    assert world.kafka.too_far == []


async def moments(seconds: float = 0.5) -> None:
    """Let the lane work."""
    await asyncio.sleep(seconds)


class TestClaim:
    @pytest.mark.parametrize(
        ("stored", "group", "start", "kind"),
        [
            pytest.param(position(4), GroupOffset(4, True), 4, "stored", id="stored-and-group-agree"),
            pytest.param(position(4), GroupOffset(2, True), 4, "stored", id="group-behind"),
            pytest.param(position(4), None, 4, "stored", id="group-offset-expired"),
            pytest.param(position(4), GroupOffset(8, True), 4, "restored", id="database-restored"),
            pytest.param(position(4), GroupOffset(8, False), 8, "reset", id="operator-reset-forward"),
            pytest.param(position(4), GroupOffset(1, False), 1, "reset", id="operator-reset-backward"),
            pytest.param(None, GroupOffset(3, False), 3, "reset", id="operator-reset-without-a-position"),
            pytest.param(None, GroupOffset(8, True), 0, "lost", id="database-lost"),
            pytest.param(None, None, 0, "new", id="new-group"),
        ],
    )
    async def test_a_lane_reads_from_where_its_claim_starts(
        self, world: World, stored: StoredPosition | None, group: GroupOffset | None, start: int, kind: str
    ) -> None:
        """Every record from there on is applied, none before; Kafka learns it with our metadata."""
        world.produce_numbered(10)
        if stored:
            world.store(stored)
        if group:
            world.kafka.group_offsets[CUSTOMERS] = group
        await world.start()
        await moments()
        assert world.applied == set(range(start, 10))
        assert world.claims(kind) == 1
        assert world.stored.next_offset == 10
        assert world.committed == GroupOffset(10, ours=True)
        first = world.kafka.commits[0]
        agreed = group == GroupOffset(start, ours=True)
        assert first == (CUSTOMERS, 10 if agreed else start)

    async def test_a_claim_is_written_before_anything_is_read(self, world: World) -> None:
        """Another claim id, one epoch more, our name."""
        world.store(position(0, claim_id="a" * 32, epoch=4, owner="other"))
        await world.start()
        await moments()
        assert (world.stored.epoch, world.stored.owner) == (5, "host:1")
        assert world.stored.claim_id != "a" * 32

    @pytest.mark.parametrize("world", [Raced], indirect=True)
    async def test_a_lost_race_starts_over(self, world: World) -> None:
        """Somebody claimed between the look and the write: look again, then claim on top."""
        world.produce_numbered(3)
        await world.start()
        await moments()
        assert world.stored.epoch == 8
        assert world.applied == {1, 2}

    @pytest.mark.parametrize("world", [partial(Raced, times=5)], indirect=True)
    async def test_lost_races_are_spaced(self, world: World) -> None:
        """Two that claim on top of each other must not do so in every turn of their loops."""
        world.produce_numbered(3)
        await world.start()
        await moments(4.5 * CLAIM_AGAIN_SECONDS)
        assert world.stored.owner == "rival"
        await moments(CLAIM_AGAIN_SECONDS)
        assert world.stored.owner == "host:1"

    @pytest.mark.parametrize("world", [Raced], indirect=True)
    async def test_a_lane_that_drains_leaves_a_lost_race_to_the_winner(self, world: World) -> None:
        """To claim on top would take the partition away from whom it goes to."""
        world.produce_numbered(3)
        lane = world.lane(await world.member())
        assert isinstance(world.sink, Raced)
        world.sink.overtaken = lane.drain
        await world.run(lane)
        assert (world.stored.owner, world.stored.epoch) == ("rival", 7)
        assert world.kafka.commits == []

    async def test_without_the_database_a_claim_waits(self, world: World) -> None:
        """However long; the pause has its name."""
        world.produce_numbered(3)
        world.sink.reachable = False
        lane, _ = await world.start()
        await moments(60)
        assert lane.paused == "database"
        world.sink.reachable = True
        await moments(6)
        assert lane.paused is None
        assert world.applied == {0, 1, 2}

    async def test_without_kafka_a_claim_waits(self, world: World) -> None:
        """The group's offset decides: no guess is made of it."""
        world.produce_numbered(3)
        lane = world.lane(await world.member())
        world.kafka.reachable = False
        world.run(lane)
        await moments(60)
        assert lane.paused == "kafka"
        assert not world.sink.tables.positions
        world.kafka.reachable = True
        await moments(6)
        assert world.applied == {0, 1, 2}

    async def test_nothing_is_read_before_the_start_is_committed(self, world: World) -> None:
        """An operator's reset is obeyed again until Kafka has taken our word for it."""
        world.produce_numbered(6)
        world.store(position(1))
        world.group(4, ours=False)
        source = await world.member()
        world.kafka.fail("commit", *[Unavailable("coordinator", part="kafka")] * 3)
        world.run(world.lane(source))
        await moments(0.01)
        assert world.works == []
        assert world.committed == GroupOffset(4, ours=False)
        await moments(5)
        assert world.applied == {4, 5}

    @pytest.mark.parametrize(
        ("group", "start"),
        [
            pytest.param(2, 7, id="foreign-offset-below-the-log"),
            pytest.param(9, 3, id="foreign-offset-ahead"),
            pytest.param(5, 8, id="foreign-offset-behind"),
        ],
    )
    async def test_an_operators_position_outlasts_a_commit_that_fails(
        self, world: World, group: int, start: int
    ) -> None:
        """It is the last word, whoever set the group's offset before, until Kafka has it too."""
        world.produce_numbered(10)
        world.kafka.trim(CUSTOMERS, 3)
        world.group(group, ours=False)
        world.store(position(start, owner=OPERATOR))
        world.kafka.fail("commit", *[Unavailable("coordinator", part="kafka")] * 3)
        lane, _ = await world.start()
        await moments(10)
        assert lane.paused is None
        assert world.applied == set(range(start, 10))
        assert world.committed == GroupOffset(10, ours=True)

    async def test_whose_start_is_refused_is_not_the_owner(self, world: World) -> None:
        """The lane ends without reading."""
        world.produce_numbered(3)
        source = await world.member()
        world.kafka.fail("commit", NotOwner("rebalanced"))
        task = world.run(world.lane(source))
        await task
        assert world.works == []

    @pytest.mark.parametrize(
        ("stored", "words"),
        [
            pytest.param(position(1), "below", id="below-the-beginning"),
            pytest.param(position(11), "beyond", id="beyond-the-end"),
            pytest.param(position(5, cluster_id="another"), "another", id="another-cluster"),
        ],
    )
    async def test_a_halted_lane_waits_for_its_row_to_change(
        self, world: World, stored: StoredPosition, words: str
    ) -> None:
        """It reads nothing, writes nothing and says why; an operator's new position releases it."""
        world.produce_numbered(10)
        world.kafka.trim(CUSTOMERS, 2)
        world.store(stored)
        lane, _ = await world.start()
        await moments(60)
        assert lane.paused == "halted"
        assert words in lane.detail
        assert (world.works, world.kafka.commits, world.stored) == ([], [], stored)
        world.store(position(7, claim_id="0" * 32, owner=None, cluster_id=None))
        await moments(HALT_CHECK_SECONDS + 1)
        assert lane.paused is None
        assert world.applied == {7, 8, 9}

    async def test_by_setting_a_lane_goes_on_at_the_earliest_record(self, world: World) -> None:
        """With a namespace of its own, and an alarm."""
        world.produce_numbered(10)
        world.kafka.trim(CUSTOMERS, 6)
        world.store(position(2))
        await world.start(policy=StartPolicy(go_on_at_earliest=True))
        await moments()
        assert world.applied == {6, 7, 8, 9}
        assert world.stored.cache_namespace != "5eed"
        assert world.claims("out_of_range") == 1


class TestFailedFence:
    async def test_another_claim_and_kafka_says_ours(self, world: World) -> None:
        """Claimed again on top of it; what was dropped is read again."""
        world.produce_numbered(3)
        await world.start()
        await moments()
        world.store(replace(world.stored, claim_id="b" * 32, epoch=9, owner="zombie"))
        world.produce_numbered(3)
        await moments()
        assert world.applied == set(range(6))
        assert (world.stored.epoch, world.stored.owner) == (10, "host:1")
        assert world.count("upsertd_fenced_total") == 1

    async def test_another_claim_and_kafka_says_theirs(self, world: World) -> None:
        """The lane ends; neither their row nor the group's offset is touched."""
        world.produce_numbered(3)
        lane = world.lane(source := await world.member())
        task = world.run(lane)
        await moments()
        world.kafka.expel(source)
        theirs = replace(world.stored, claim_id="b" * 32, epoch=9, owner="successor")
        world.store(theirs)
        commits = list(world.kafka.commits)
        world.produce_numbered(3)
        await task
        assert world.stored == theirs
        assert world.applied == {0, 1, 2}
        assert world.kafka.commits == commits

    async def test_no_row_and_kafka_says_ours(self, world: World) -> None:
        """The database lost it: from the earliest record, where marks know what was done."""
        world.produce_numbered(3)
        await world.start()
        await moments()
        del world.sink.tables.positions[CUSTOMERS]
        world.produce_numbered(3)
        world.kafka.too_far.clear()
        await moments(2)
        assert world.applied == set(range(6))
        assert world.claims("lost") == 1
        assert world.outcome("duplicate") == 3
        world.kafka.too_far.clear()  # asking Kafka without a row commits what SQL had confirmed before

    async def test_our_claim_and_the_position_above(self, world: World) -> None:
        """An own commit whose answer was lost: gone on there, nothing runs twice."""
        world.produce_numbered(3)
        await world.start()
        await moments()
        lose_answers(world, 1)
        world.produce_numbered(3)
        await moments(2)
        assert world.applied == set(range(6))
        assert world.outcome("duplicate") == 0
        assert (world.stored.epoch, world.stored.next_offset) == (1, 6)
        assert world.committed == GroupOffset(6, ours=True)

    async def test_our_claim_and_the_position_below(self, world: World) -> None:
        """The database went back under us: claimed again, and what it forgot is applied again."""
        world.produce_numbered(3)
        await world.start()
        await moments()
        backup = world.sink.backup()
        world.produce_numbered(3)
        await moments()
        world.sink.restore(backup)
        world.produce_numbered(1)
        await moments()
        assert world.applied == set(range(7))
        assert world.stored.epoch == 2
        assert world.claims("restored") == 1
        assert set(world.sink.tables.marks) == {b"event-%d" % number for number in range(7)}

    async def test_a_cache_of_the_future_does_not_hide_what_a_restored_database_lacks(
        self, world: World
    ) -> None:
        """Entries above the handled offset are no hits, without anybody flushing them."""
        world.produce_numbered(3)
        await world.start()
        await moments()
        backup = world.sink.backup()
        world.produce_numbered(3)
        await moments()
        assert b"event-5" in world.cache.values
        world.sink.restore(backup)
        world.produce("copy-5", "event-5")
        await moments()
        assert b"event-5" in world.sink.tables.marks

    async def test_a_restored_database_is_noticed_while_idle(self, world: World) -> None:
        """Within a few seconds, without a new record."""
        world.produce_numbered(3)
        await world.start()
        await moments()
        backup = world.sink.backup()
        world.produce_numbered(3)
        await moments()
        world.sink.restore(backup)
        await moments(ROW_CHECK_SECONDS + 2)
        assert world.applied == set(range(6))
        assert world.claims("restored") == 1

    async def test_another_claim_is_noticed_while_idle(self, world: World) -> None:
        """The owner claims again, a former owner ends."""
        lane = world.lane(source := await world.member())
        task = world.run(lane)
        await moments()
        world.kafka.expel(source)
        world.store(replace(world.stored, claim_id="b" * 32, owner="successor"))
        await moments(ROW_CHECK_SECONDS + 2)
        assert task.done()
        assert world.stored.owner == "successor"

    async def test_a_zombie_changes_nothing_and_its_successor_goes_on(self, world: World) -> None:
        """Two lanes that both believe that they own the partition."""
        world.produce_numbered(3)
        zombie = world.lane(source := await world.member())
        gate = world.hold()
        old = world.run(zombie)
        await gate.reached.wait()
        world.kafka.expel(source)
        successor = world.lane(await world.member())
        world.run(successor)
        await moments()
        gate.open.set()
        world.produce_numbered(3)
        await moments()
        assert old.done()
        assert world.applied == set(range(6))
        assert world.outcome("applied") == 6
        assert world.stored.epoch == 2


def lose_answers(world: World, times: int) -> None:
    """Let so many commits succeed without anybody hearing of it."""
    left = times

    def lose(_: Work) -> None:
        nonlocal left
        if left:
            left -= 1
            raise LOST

    world.sink.after_commit = lose


class TestOutages:
    @pytest.mark.parametrize("times", [1, 2, 3, 7])
    async def test_an_unknown_outcome_is_applied_once(self, world: World, times: int) -> None:
        """Commits without an answer, one after the other: the fence tells; the cache never hears of them."""
        lose_answers(world, times)
        for _ in range(times):
            world.produce_numbered(2)
            await moments(1)
        await world.start()
        await moments(20)
        assert world.applied == set(range(2 * times))
        assert world.stored.next_offset == 2 * times
        assert world.outcome("duplicate") == 0
        lost = {each.record.offset for each in world.works[0].events}
        assert not {b"event-%d" % offset for offset in lost} & set(world.cache.values)

    async def test_a_commit_that_never_arrived_is_run_again(self, world: World) -> None:
        """The same error as if it had."""
        world.produce_numbered(2)
        fail(world, LOST, times=2)
        await world.start()
        await moments(2)
        assert world.applied == {0, 1}
        assert world.outcome("applied") == 2

    async def test_a_minute_without_the_database_loses_nothing(self, world: World) -> None:
        """The lane pauses by name, commits nothing, and goes on within seconds."""
        world.produce_numbered(3)
        lane, _ = await world.start()
        await moments()
        world.sink.reachable = False
        world.produce_numbered(3)
        await moments(60)
        assert lane.paused == "database"
        assert paused(world, "database") == 1
        assert world.committed == GroupOffset(3, ours=True)
        assert world.dead == set()
        world.sink.reachable = True
        await moments(6)
        assert lane.paused is None
        assert paused(world, "database") == 0
        assert world.applied == set(range(6))
        assert world.outcome("applied") == 6

    async def test_hits_of_a_batch_that_waits_are_counted_once(self, world: World) -> None:
        """However often the batch is tried."""
        world.produce("a-0", "a-1")
        await world.start()
        await moments()
        fail(world, AWAY, times=5)
        world.produce("a-0", "b-2")
        await moments(10)
        assert (world.outcome("duplicate"), world.outcome("applied")) == (1, 3)

    async def test_an_error_that_nobody_foresaw_pauses(self, world: World) -> None:
        """It neither skips a record nor buries it."""
        world.produce_numbered(3)
        fail(world, RuntimeError("a bug"))
        lane, task = await world.start()
        await moments(60)
        assert (lane.paused, lane.detail) == ("error", "RuntimeError")
        assert (world.dead, world.applied, world.stored.next_offset) == (set(), set(), 0)
        assert not task.done()
        world.fault = lambda _: None
        await moments(6)
        assert world.applied == {0, 1, 2}

    async def test_every_run_again_is_counted(self, world: World) -> None:
        """Also those that a batch gets through with, in the end."""
        world.produce_numbered(3)
        fail(world, TemporaryError("SQL error 1213"), times=2)
        lane, _ = await world.start()
        await moments(2)
        assert world.applied == {0, 1, 2}
        assert world.count("upsertd_retries_total") == 2
        assert lane.paused is None

    @pytest.mark.parametrize("world", [Slow], indirect=True)
    async def test_a_database_that_is_slow_to_fail_is_named_from_the_first_time(self, world: World) -> None:
        """Three tries of half a minute each would pass for a lane that is stuck."""
        world.produce_numbered(3)
        lane, _ = await world.start()
        await moments(31)
        assert (lane.paused, lane.detail) == ("database", "SQL error 2013")
        assert paused(world, "database") == 1

    @pytest.mark.parametrize("world", [Locked], indirect=True)
    async def test_a_part_that_is_committed_is_progress(self, world: World) -> None:
        """The lane is not paused while it gets ahead, and says since when."""
        world.produce_numbered(4)
        begun = asyncio.get_running_loop().time()
        lane, _ = await world.start()
        await moments(5.5)  # the whole has waited for its lock
        assert world.stored.next_offset == 3
        assert lane.paused is None
        assert 5 <= lane.moved_at - begun <= 5.2
        await moments(11)  # so has the record alone, twice
        assert world.applied == {0, 1, 2}
        assert world.dead == {3}

    async def test_a_letter_that_cannot_be_written_buries_nobody(self, world: World) -> None:
        """The records behind it wait with it; the ones before it are applied."""
        world.produce_numbered(1)
        world.kafka.append(CUSTOMERS, b"not an object")
        world.produce_numbered(1)
        world.fault = refuse_letters
        lane, _ = await world.start()
        await moments(30)
        assert lane.paused == "error"
        assert (world.applied, world.dead, world.stored.next_offset) == ({0}, set(), 1)
        world.fault = lambda _: None
        await moments(6)
        assert (world.applied, world.dead) == ({0, 2}, {1})

    async def test_a_record_that_fails_for_now_is_parked(self, world: World) -> None:
        """Its neighbours, and what comes after, are applied; it counts as nothing yet."""
        world.produce_numbered(4)
        fail(world, TemporaryError("SQL error 1205"), offset=2)
        lane, _ = await world.start()
        await moments(30)
        assert lane.paused is None
        assert (world.applied, world.statuses) == ({0, 1, 3}, {2: "retrying"})
        assert (world.outcome("applied"), world.outcome("dead")) == (3, 0)
        assert world.committed == GroupOffset(4, ours=True)

    async def test_a_locked_table_is_waited_for(self, world: World) -> None:
        """Nothing is parked, nothing moves; then everything is applied."""
        world.produce_numbered(4)
        world.sink.locked.add("customers")
        fail(world, TemporaryError("SQL error 1205"), offset=2)
        lane, _ = await world.start()
        await moments(3600)
        said = set()
        for _ in range(100):  # while it tries, it says what the trial has come to so far
            await moments(1)
            said.add((lane.paused, lane.detail))
        assert ("database", "tables of customers are locked") in said
        assert (world.stored.next_offset, world.statuses) == (0, {})
        world.sink.locked.clear()
        world.fault = lambda _: None
        await moments(6)
        assert world.applied == {0, 1, 2, 3}

    async def test_a_record_that_can_never_be_applied_is_buried_alone(self, world: World) -> None:
        """Its neighbours, and what comes after, are applied."""
        world.produce_numbered(4)
        world.kafka.append(CUSTOMERS, b"not an object")
        world.produce_numbered(1)
        fail(world, PermanentError("SQL error 1406", error_class="DataTooLong"), offset=1)
        await world.start()
        await moments(2)
        assert world.dead == {1, 4}
        assert world.applied == {0, 2, 3, 5}
        assert world.outcome("dead") == 2
        assert world.committed == GroupOffset(6, ours=True)

    async def test_a_cache_that_is_away_costs_nothing_but_speed(self, world: World) -> None:
        """SQL knows what the cache does not."""
        world.cache.failing = True
        world.produce("a-0", "b-1", "a-0")
        await world.start()
        await moments()
        assert (world.outcome("applied"), world.outcome("duplicate")) == (2, 1)

    async def test_a_kafka_that_is_away_while_reading_is_waited_for(self, world: World) -> None:
        """Nothing is lost, and offsets are committed later."""
        world.produce_numbered(2)
        lane, _ = await world.start()
        await moments()
        world.kafka.reachable = False
        world.produce_numbered(2)
        await moments(30)
        world.kafka.reachable = True
        await moments(6)
        assert lane.paused is None
        assert world.applied == {0, 1, 2, 3}
        assert world.committed == GroupOffset(4, ours=True)

    async def test_a_fetch_that_fails_is_tried_again(self, world: World) -> None:
        """The lane names Kafka meanwhile."""
        world.produce_numbered(2)
        source = await world.member()
        lane = world.lane(source)
        world.kafka.fail("fetch", *[Unavailable("the broker hangs", part="kafka")] * 8)
        world.run(lane)
        await moments(1)
        assert lane.paused == "kafka"
        await moments(30)
        assert world.applied == {0, 1}

    async def test_a_fetch_may_take_longer_than_it_was_asked_to(self, world: World) -> None:
        """A source that reads again after an error still gets its records to the lane."""
        world.produce_numbered(3)
        source = Sluggish(world.kafka)
        await source.start(NOBODY)
        lane = world.lane(source)
        world.run(lane)
        await moments(2 * Sluggish.seconds)
        assert lane.paused is None
        assert world.applied == {0, 1, 2}

    async def test_a_drain_does_not_wait_for_a_fetch_that_takes_long(
        self, world: World, looptime: float
    ) -> None:
        """There is nothing in flight."""
        source = Sluggish(world.kafka)
        await source.start(NOBODY)
        lane = world.lane(source)
        task = world.run(lane)
        await moments(1)
        lane.drain()
        await task
        assert looptime < 1.1

    async def test_commits_that_take_their_deadline_leave_the_lane_time_to_work(self, world: World) -> None:
        """It works at least as long as it waits for a coordinator that is away."""
        source = Uncommitting(world.kafka)
        await source.start(NOBODY)
        world.run(world.lane(source))
        await moments(1)
        source.away = True
        for _ in range(60):
            world.produce_numbered(1)
            await moments(1)
        assert 4 <= source.tried <= 60 / (Uncommitting.deadline_seconds + COMMIT_AGAIN_SECONDS) + 1
        source.away = False
        await moments(COMMIT_AGAIN_SECONDS + Uncommitting.deadline_seconds)
        assert world.applied == set(range(60))
        assert world.committed == GroupOffset(60, ours=True)

    async def test_no_record_waits_for_a_commit(self, world: World) -> None:
        """One commit at a time is under way, and the last one says where SQL stands."""
        source = Leisurely(world.kafka)
        await source.start(NOBODY)
        world.run(world.lane(source))
        await moments(1)
        source.seconds = 0.25
        for number in range(20):
            world.produce_numbered(1)
            await moments(0.05)
            assert world.applied == set(range(number + 1))
        await moments(2 * source.seconds)
        commits = [offset for _, offset in world.kafka.commits]
        assert (commits[-1], len(commits)) == (20, 6)

    async def test_a_drain_waits_for_the_last_commit(self, world: World, looptime: float) -> None:
        """And for the one before it, which is under way."""
        source = Leisurely(world.kafka)
        await source.start(NOBODY)
        lane = world.lane(source)
        task = world.run(lane)
        await moments(1)
        source.seconds = 0.25
        for _ in range(2):
            world.produce_numbered(1)
            await moments(0.1)
        begun = float(looptime)
        lane.drain()
        await task
        assert world.committed == GroupOffset(2, ours=True)
        assert float(looptime) - begun < 0.5
        assert lane.unfinished is None

    async def test_no_commit_comes_after_that_of_the_next_claim(self, world: World) -> None:
        """The database goes back while a commit is under way: the group's offset goes back too."""
        source = Leisurely(world.kafka)
        await source.start(NOBODY)
        world.produce_numbered(3)
        world.run(world.lane(source))
        await moments(1)
        before = world.sink.backup()
        source.seconds = 1
        world.produce_numbered(1)
        await moments(0.1)
        world.sink.restore(before)
        world.produce_numbered(1)
        await moments(5)
        assert [offset for _, offset in world.kafka.commits][-3:] == [4, 3, 5]
        assert world.applied == set(range(5))
        world.kafka.too_far.clear()  # what was under way when the database went back came ahead of it

    async def test_a_commit_beside_work_finds_out_that_the_partition_is_lost(self, world: World) -> None:
        """The lane ends with the next batch at the latest."""
        lane, task = await world.start()
        await moments()
        world.kafka.fail("commit", NotOwner("rebalanced"))
        for _ in range(2):
            world.produce_numbered(1)
            await moments(0.1)
        await moments(2)
        assert task.done()
        assert lane.paused == "unassigned"

    async def test_a_commit_that_fails_is_repeated(self, world: World) -> None:
        """The lane reads on meanwhile: SQL has the position."""
        await world.start()
        await moments()
        world.kafka.fail("commit", *[Unavailable("coordinator", part="kafka")] * 3)
        world.produce_numbered(2)
        await moments(0.2)
        assert world.applied == {0, 1}
        assert world.committed == GroupOffset(0, ours=True)
        await moments(4 * COMMIT_AGAIN_SECONDS)
        assert world.committed == GroupOffset(2, ours=True)

    async def test_a_commit_that_fails_in_an_unforeseen_way_is_repeated_too(self, world: World) -> None:
        """A partition whose lane has crashed would stand still until the next rebalance."""
        _, task = await world.start()
        await moments()
        world.kafka.fail("commit", RuntimeError("a bug"))
        world.produce_numbered(2)
        await moments(8)
        assert not task.done()
        assert world.committed == GroupOffset(2, ours=True)

    async def test_records_that_left_the_log_halt_the_lane(self, world: World) -> None:
        """Retention was faster: an operator has to know that records are gone."""
        lane, _ = await world.start()
        await moments()
        world.sink.reachable = False
        world.produce_numbered(1)
        await moments()
        world.produce_numbered(9)
        world.kafka.trim(CUSTOMERS, 5)
        world.sink.reachable = True
        await moments(10)
        assert lane.paused == "halted"
        assert "records are gone" in lane.detail
        assert world.applied == {0}


def fail(world: World, error: Exception, *, times: int = -1, offset: int | None = None) -> None:
    """Let transactions fail before they commit: all, or so many, or those that hold `offset`."""
    left = times

    def raise_it(work: Work) -> None:
        nonlocal left
        if left and (offset is None or offset in {each.record.offset for each in work.events}):
            left -= 1
            raise error

    world.fault = raise_it


def refuse_letters(work: Work) -> None:
    """A database that takes no dead letter of a record that could not be decoded."""
    if any(letter.stage == "decode" for letter in work.letters):
        raise PermanentError("SQL error 1366 (record_headers)", error_class="IncorrectValue")


def paused(world: World, reason: str) -> int:
    return world.count("upsertd_lane_paused", topic="customers", partition="0", reason=reason)


class TestPositions:
    async def test_hits_move_in_memory_and_are_written_once_a_second(self, world: World) -> None:
        """No transaction for them; Kafka's offset follows what SQL confirmed."""
        world.produce("a-0")
        lane, _ = await world.start()
        await moments()
        before = world.sink.transactions
        for _ in range(50):
            world.produce("a-0")
            await moments(0.1)
            assert lane.position == world.kafka.log_range(CUSTOMERS).end
        assert 4 <= world.sink.transactions - before <= 6
        assert all(work.events == () for work in world.works[1:])
        await moments(SETTLE_SECONDS + 1)
        assert world.stored.next_offset == 51
        assert world.committed == GroupOffset(51, ours=True)
        assert world.outcome("duplicate") == 50

    async def test_a_transaction_writes_the_position_of_hits_along(self, world: World) -> None:
        """The next one that is needed anyway."""
        world.produce("a-0")
        await world.start()
        await moments()
        world.produce("a-0")
        await moments(0.1)
        assert world.stored.next_offset == 1
        world.produce("b-1")
        await moments(0.1)
        assert world.stored.next_offset == 3
        assert [len(work.events) for work in world.works] == [1, 1]

    async def test_kafka_never_learns_of_a_position_in_memory(self, world: World) -> None:
        """A commit that is repeated while hits are ahead says what SQL has confirmed, and no more."""
        world.produce("a-0")
        await world.start()
        await moments()
        world.kafka.fail("commit", Unavailable("coordinator", part="kafka"))
        world.produce("b-1")
        await moments(COMMIT_AGAIN_SECONDS - 0.4)
        world.produce("c-2")
        await moments(0.3)
        world.produce("a-0")
        await moments(0.15)
        world.produce("a-0")
        await moments(0.05)
        assert world.stored.next_offset == 3
        assert world.committed == GroupOffset(3, ours=True)

    async def test_hits_are_written_on_drain(self, world: World) -> None:
        """And committed: the next owner starts behind them."""
        world.produce("a-0")
        lane, task = await world.start()
        await moments()
        world.produce("a-0")
        await moments(0.1)
        lane.drain()
        await task
        assert world.stored.next_offset == 2
        assert world.committed == GroupOffset(2, ours=True)

    async def test_hits_whose_position_is_not_written_are_read_again(self, world: World) -> None:
        """A fence that fails meanwhile takes the position in memory back."""
        world.produce("a-0")
        lane, _ = await world.start()
        await moments()
        world.produce("a-0")
        await moments(0.1)
        assert (lane.position, world.stored.next_offset) == (2, 1)
        world.store(replace(world.stored, claim_id="b" * 32))
        await moments(3)
        assert (lane.position, world.stored.next_offset) == (2, 2)
        assert world.stored.epoch == 2

    async def test_offsets_without_a_record_count(self, world: World) -> None:
        """Markers and aborted records, or lag would never reach 0."""
        world.kafka.append_gap(CUSTOMERS, 2)
        world.produce_numbered(1)
        world.kafka.append_gap(CUSTOMERS, 1)
        await world.start()
        await moments(SETTLE_SECONDS + 2)
        assert (world.stored.next_offset, world.committed) == (4, GroupOffset(4, ours=True))

    async def test_an_idle_lane_writes_and_commits_nothing(self, world: World) -> None:
        """It only looks at its row."""
        world.produce_numbered(2)
        await world.start()
        await moments(2)
        transactions, commits = world.sink.transactions, len(world.kafka.commits)
        await moments(60)
        assert (world.sink.transactions, len(world.kafka.commits)) == (transactions, commits)

    async def test_a_reset_backwards_still_hits_the_cache(self, world: World) -> None:
        """A replay costs no transactions for what is known."""
        world.produce_numbered(5)
        lane, task = await world.start()
        await moments()
        lane.drain()
        await task
        world.kafka.reset_group_offset(CUSTOMERS, 0)
        world.works.clear()
        await world.restart()
        await moments(3)
        assert world.outcome("duplicate") == 5
        assert all(work.events == () for work in world.works)
        assert world.count("upsertd_records_redelivered_total") == 5
        assert (world.stored.next_offset, world.stored.handled_offset) == (5, 5)


class TestDrain:
    async def test_an_idle_lane_ends_at_once(self, world: World, looptime: float) -> None:
        """It does not sit out its wait for records."""
        lane, task = await world.start()
        await moments(0.3)
        lane.drain()
        await task
        assert looptime < 0.4

    @pytest.mark.parametrize("part", ["database", "kafka", "halted"])
    async def test_a_lane_that_waits_ends_at_once(self, world: World, part: str, looptime: float) -> None:
        """In a backoff that may be five seconds long, or halted: the next owner takes it from there."""
        world.produce_numbered(2)
        if part == "halted":
            world.store(position(9))
        lane = world.lane(await world.member())
        world.sink.reachable = part != "database"
        world.kafka.reachable = part != "kafka"
        task = world.run(lane)
        await moments(30.3)
        assert lane.paused == part
        lane.drain()
        await task
        assert looptime < 30.5
        assert world.works == []

    async def test_a_backoff_in_the_middle_of_a_batch_ends(self, world: World, looptime: float) -> None:
        """The batch is left to the next owner, uncommitted."""
        world.produce_numbered(2)
        lane, task = await world.start()
        await moments()
        world.sink.reachable = False
        world.produce_numbered(2)
        await moments(29.5)
        lane.drain()
        await task
        assert looptime < 30.5
        assert (world.applied, world.stored.next_offset) == ({0, 1}, 2)
        assert world.committed == GroupOffset(2, ours=True)

    async def test_a_batch_in_flight_is_finished_and_committed(self, world: World) -> None:
        """Nothing runs twice after a clean stop (I8)."""
        world.produce_numbered(3)
        gate = world.hold()
        lane, task = await world.start()
        await gate.reached.wait()
        lane.drain()
        await moments(1)
        assert not task.done()
        gate.open.set()
        await task
        assert world.stored.next_offset == 3
        assert world.committed == GroupOffset(3, ours=True)
        successor, _ = await world.restart()
        await moments()
        assert successor.position == 3
        assert world.outcome("applied") == 3
        assert world.outcome("duplicate") == 0

    async def test_a_drain_at_the_very_end_of_a_wait_is_a_drain(self, world: World) -> None:
        """The wait is over in the same turn of the loop: asking for less of it must not fail."""
        world.store(position(9))
        lane, task = await world.start()
        await asyncio.sleep(0)
        over = asyncio.get_running_loop().time() + HALT_CHECK_SECONDS
        errors: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        asyncio.get_running_loop().call_at(over, lane.drain)
        await moments(HALT_CHECK_SECONDS + 1)
        assert errors == []
        assert task.done()

    async def test_a_drain_before_the_claim_reads_nothing(self, world: World) -> None:
        """A partition that comes and goes."""
        world.produce_numbered(2)
        lane = world.lane(await world.member())
        lane.drain()
        await world.run(lane)
        assert world.works == []

    async def test_a_drain_ends_what_was_paused(self, world: World) -> None:
        """The gauge of a lane that is gone does not stay up."""
        world.sink.reachable = False
        lane, task = await world.start()
        await moments(1)
        assert paused(world, "database") == 1
        lane.drain()
        await task
        lane.forget()
        assert paused(world, "database") == 0

    async def test_a_partition_that_is_gone_ends_the_lane(self, world: World) -> None:
        """Kafka says so at the next fetch; until the listener hears of it, that is what it waits for."""
        lane = world.lane(source := await world.member())
        task = world.run(lane)
        await moments()
        await source.revoke()
        await task
        assert lane.paused == "unassigned"


class TestBatches:
    async def test_what_is_there_is_one_batch(self, world: World) -> None:
        """Up to the bound."""
        world.produce_numbered(12)
        await world.start(limits=BatchLimits(max_records=5))
        await moments()
        assert [len(work.events) for work in world.works] == [5, 5, 2]

    async def test_many_lanes_take_small_batches(self, world: World) -> None:
        """How many there are counts when a batch is fetched, not when the lane began."""
        world.produce_numbered(1000)
        world.lanes = 1000
        await world.start(limits=BatchLimits(max_records=600))
        await moments()
        world.lanes = 1
        await moments(2)  # until the fetch that is under way has ended
        world.produce_numbered(600)
        await moments()
        assert [len(work.events) for work in world.works] == [250, 250, 250, 250, 600]

    async def test_without_a_linger_nothing_waits(self, world: World, looptime: float) -> None:
        """Each record is a batch of its own when they come one by one."""
        await world.start()
        await moments(0.1)
        for number in range(3):
            world.produce_numbered(1)
            await moments(0.01)
            assert len(world.works) == number + 1

    async def test_a_linger_gathers(self, world: World) -> None:
        """What comes until it is over is one transaction."""
        await world.start(limits=BatchLimits(linger_seconds=1))
        await moments(0.1)
        for _ in range(4):
            world.produce_numbered(1)
            await moments(0.2)
        assert world.works == []
        await moments(0.3)
        assert [len(work.events) for work in world.works] == [4]
        assert world.stored.next_offset == 4

    async def test_a_full_batch_does_not_linger(self, world: World) -> None:
        """By records or by bytes."""
        await world.start(limits=BatchLimits(max_records=3, linger_seconds=10))
        await moments(0.1)
        world.produce_numbered(2)
        await moments(0.1)
        world.produce_numbered(2)
        await moments(0.1)
        assert [len(work.events) for work in world.works] == [3]
        await moments(10)
        assert [len(work.events) for work in world.works] == [3, 1]

    async def test_a_drain_ends_a_linger_with_what_it_has(self, world: World, looptime: float) -> None:
        """The gathered records are applied."""
        lane, task = await world.start(limits=BatchLimits(linger_seconds=10))
        await moments(0.1)
        world.produce_numbered(2)
        await moments(0.1)
        lane.drain()
        await task
        assert looptime < 0.4
        assert world.applied == {0, 1}
        assert world.committed == GroupOffset(2, ours=True)

    async def test_large_records_are_split_by_bytes(self, world: World) -> None:
        """No transaction beyond the bound, but for a record that is larger alone; none is lost."""
        sizes = [100, 300, 300, 300, 2000, 100, 900, 90]
        for number, size in enumerate(sizes):
            filler = "x" * (size - len(message(f"e-{number}", number + 1, filler="")))
            world.kafka.append(CUSTOMERS, message(f"e-{number}", number + 1, filler=filler))
        await world.start(limits=BatchLimits(max_bytes=1000))
        await moments(1)
        taken = [[each.record.size_bytes for each in work.events] for work in world.works]
        assert [size for batch in taken for size in batch] == sizes
        assert all(sum(batch) <= 1000 or len(batch) == 1 for batch in taken)
        assert world.stored.next_offset == len(sizes)

    async def test_what_is_left_of_a_split_fetch_comes_again_after_a_failed_fence(self, world: World) -> None:
        """The parts behind the one that failed are dropped and sought back to."""
        for number in range(6):
            world.kafka.append(CUSTOMERS, message(f"e-{number}", number + 1, filler="x" * 600))
        lose_answers(world, 1)
        await world.start(limits=BatchLimits(max_bytes=1000))
        await moments(5)
        assert world.applied == set(range(6))
        assert world.outcome("duplicate") == 0

    async def test_records_of_a_size_are_asked_for_by_their_number(self, world: World) -> None:
        """After large records a fetch asks for fewer."""
        source = Asked(world.kafka)
        await source.start(NOBODY)
        for number in range(20):
            world.kafka.append(CUSTOMERS, message(f"e-{number}", number + 1, filler="x" * 400))
        world.run(world.lane(source, limits=BatchLimits(max_records=10, max_bytes=1000)))
        await moments(1)
        assert source.asked[0] == 10
        assert set(source.asked[1:-2]) == {2}
        assert world.applied == set(range(20))


class Nobody:
    async def on_assigned(self, partitions: object) -> None: ...

    async def on_revoked(self, partitions: object) -> None: ...


NOBODY = Nobody()


class Asked(InMemorySource):
    """A member that notes how many records it was asked for."""

    asked: list[int]

    async def fetch(self, partition: Partition, max_records: int, wait_seconds: float) -> Batch:
        self.asked = [*getattr(self, "asked", []), max_records]
        return await super().fetch(partition, max_records, wait_seconds)


class Sluggish(InMemorySource):
    """A member whose fetch takes longer than the lane asked for."""

    seconds = 3.0

    async def fetch(self, partition: Partition, max_records: int, wait_seconds: float) -> Batch:
        await asyncio.sleep(self.seconds)
        return await super().fetch(partition, max_records, wait_seconds)


class Uncommitting(InMemorySource):
    """A member that reads, but while the coordinator is `away` every commit takes its deadline."""

    deadline_seconds = 5.0
    away = False
    tried = 0

    async def commit(self, partition: Partition, offset: int) -> None:
        if self.away:
            self.tried += 1
            await asyncio.sleep(self.deadline_seconds)
            raise Unavailable("no answer within 5 s", part="kafka")
        await super().commit(partition, offset)


class Leisurely(InMemorySource):
    """A member whose commits take `seconds`."""

    seconds = 0.0

    async def commit(self, partition: Partition, offset: int) -> None:
        await asyncio.sleep(self.seconds)
        await super().commit(partition, offset)


class TestSizes:
    def test_parts_are_consecutive_and_end_where_the_next_begins(self) -> None:
        """The last one ends where the batch ended, markers and all."""
        batch = Batch(tuple(record(offset, b"x" * 9) for offset in (3, 5, 6, 9)), 12)
        parts = parted(batch, 20).parts
        assert [[each.offset for each in part.records] for part in parts] == [[3, 5], [6, 9]]
        assert [part.end for part in parts] == [6, 12]

    @pytest.mark.parametrize("max_bytes", [1, 10])
    def test_a_record_is_never_cut(self, max_bytes: int) -> None:
        """Each stands alone when two do not fit."""
        batch = Batch(tuple(record(offset, b"x" * 9) for offset in range(3)), 3)
        assert [part.end for part in parted(batch, max_bytes).parts] == [1, 2, 3]

    def test_a_batch_without_records_is_one_part(self) -> None:
        """Its end counts."""
        assert parted(Batch((), 7), 10).parts == [Batch((), 7)]

    @pytest.mark.parametrize(
        ("value_bytes", "expected"),
        [
            pytest.param(98, 10, id="as-many-as-fit"),
            pytest.param(5000, 1, id="at-least-one"),
        ],
    )
    def test_the_next_fetch_asks_for_what_fits(self, value_bytes: int, expected: int) -> None:
        """By the mean size of the last batch."""
        batch = Batch((record(0, b"x" * value_bytes, key=None),), 1)
        assert parted(batch, 1000).fitting_records == expected

    @pytest.mark.parametrize("lanes", [0, 1, 3, 4, 9, 30, 200])
    def test_lanes_share_what_a_process_has_in_hand(self, lanes: int) -> None:
        """Small batches for many of them, down to a bound; an operator's own holds."""
        share = BatchLimits(max_records=2500).shared_by(lanes).max_records
        assert share == 250 or share * lanes <= IN_HAND_RECORDS
        assert share == 2500 or lanes > 4
        assert BatchLimits(max_records=7).shared_by(lanes).max_records == 7
