"""The monitor: what is ready, what is stuck and where, lag and letters, beside real lanes in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from service.core.errors import ConnectionLost, NotOwner, PermanentError, TemporaryError, Unavailable
from service.core.health import PartHealth, Status
from service.core.types import Lease, Partition, Work, Written
from service.monitor import (
    PAUSE_SECONDS,
    PROBE_SECONDS,
    ROUND_SECONDS,
    STUCK_SECONDS,
    UNASSIGNED_SECONDS,
    Monitor,
    Probe,
)
from service.pipeline.partition import Lane
from service.pipeline.retry import LONGEST_DELAY_SECONDS
from service.pipeline.run import Consumer
from service.testing.sink import InMemorySink
from tests.building import CUSTOMERS, position
from tests.unit.lane_world import World

pytestmark = pytest.mark.looptime

# Until the next round has begun; and that long for a round in which something does not answer.
NEXT_ROUND = ROUND_SECONDS + 0.5
ROUND = ROUND_SECONDS + PROBE_SECONDS
# The outside is promised that `/health/ready` tells within this time.
PROMISED_SECONDS = 15
AWAY = Unavailable("SQL error 2002", part="database")


async def nothing() -> None:
    """An answer that says that all is well."""


async def hangs() -> None:
    """No answer, ever."""
    await asyncio.Event().wait()


def raises(error: Exception) -> Callable[[], Awaitable[None]]:
    async def ask() -> None:
        raise error

    return ask


class Watched:
    """A monitor over the lanes of a world; what it is told can be changed while it runs."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.answers: dict[str, Callable[[], Awaitable[None]]] = dict.fromkeys(
            ("database", "kafka", "redis"), nothing
        )
        self.lanes: Callable[[], Sequence[Lane]] = lambda: ()
        self.letters: Mapping[str, int] = {}
        self.before_ends: Callable[[], Awaitable[None]] = nothing
        self.ends: dict[Partition, int] | None = None
        self.asked: list[Collection[Partition]] = []
        self.monitor = Monitor(
            {name: self._probe(name) for name in self.answers},
            lanes=self._present,
            ends=self._ends,
            letters=self._letters,
            metrics=world.metrics,
        )

    def _probe(self, name: str) -> Probe:
        async def ask() -> None:
            await self.answers[name]()

        return Probe(ask, Status.DEGRADED if name == "redis" else Status.FAILING)

    def _present(self) -> Sequence[Lane]:
        return self.lanes()

    async def _ends(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        self.asked.append(partitions)
        await self.before_ends()
        if self.ends is not None:
            return self.ends
        return {each: self.world.kafka.log_range(each).end for each in partitions}

    async def _letters(self) -> Mapping[str, int]:
        return self.letters

    # ---------------------------------------------------------------- what a test looks at

    def part(self, name: str) -> PartHealth | None:
        return next((part for part in self.monitor.ready().parts if part.name == name), None)

    @property
    def lane(self) -> PartHealth | None:
        return self.part("lane customers/0")

    @property
    def gauges(self) -> dict[str, int]:
        """What the metrics say of each part."""
        return {name: self.world.count("upsertd_part_ready", part=name) for name in self.answers}

    def stuck(self) -> tuple[str, ...]:
        return self.monitor.live().stuck

    @property
    def lag(self) -> float | None:
        return self._of_lane("upsertd_consumer_lag")

    @property
    def position(self) -> float | None:
        return self._of_lane("upsertd_consumer_position")

    def _of_lane(self, name: str) -> float | None:
        labels = {"topic": "customers", "partition": "0"}
        return self.world.metrics.registry.get_sample_value(name, labels)


@pytest_asyncio.fixture
async def watched(request: pytest.FixtureRequest) -> AsyncIterator[Watched]:
    """A monitor at work, without lanes yet; a parameter is the kind of the database."""
    world = World(sink=getattr(request, "param", InMemorySink)())
    watched = Watched(world)
    with capture_logs():
        watching = asyncio.create_task(watched.monitor.run())
        yield watched
        assert not watching.done()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await world.close()


async def start_lane(watched: Watched) -> Lane:
    lane, _ = await watched.world.start()
    watched.lanes = lambda: (lane,)
    return lane


class TestParts:
    async def test_what_was_not_asked_yet_is_not_well(self) -> None:
        """A service that has just begun must not be sent traffic."""
        readiness = Watched(World()).monitor.ready()
        assert {part.name: part.status for part in readiness.parts} == {
            "database": Status.FAILING,
            "kafka": Status.FAILING,
            "redis": Status.DEGRADED,
        }
        assert {part.reason for part in readiness.parts} == {"not asked yet"}
        assert not readiness.ready

    async def test_parts_that_answer_are_named_and_ready(self, watched: Watched) -> None:
        """Without a reason."""
        await asyncio.sleep(0.1)
        readiness = watched.monitor.ready()
        assert readiness.ready
        assert readiness.parts == tuple(
            PartHealth(name, Status.OK) for name in ("database", "kafka", "redis")
        )

    @pytest.mark.parametrize("name", ["database", "kafka"])
    async def test_a_part_that_is_away_fails_with_its_reason_until_it_is_back(
        self, watched: Watched, name: str
    ) -> None:
        """Both turns are seen in the next round."""
        watched.answers[name] = raises(AWAY)
        await asyncio.sleep(NEXT_ROUND)
        assert watched.part(name) == PartHealth(name, Status.FAILING, "SQL error 2002")
        assert not watched.monitor.ready().ready
        watched.answers[name] = nothing
        await asyncio.sleep(NEXT_ROUND)
        assert watched.monitor.ready().ready

    async def test_a_part_that_only_costs_speed_degrades(self, watched: Watched) -> None:
        """Redis away is no reason to take the service out."""
        watched.answers["redis"] = raises(Unavailable("refused", part="redis"))
        await asyncio.sleep(NEXT_ROUND)
        readiness = watched.monitor.ready()
        assert watched.part("redis") == PartHealth("redis", Status.DEGRADED, "refused")
        assert (readiness.ready, readiness.status) == (True, Status.DEGRADED)

    async def test_the_metrics_say_what_readiness_says(self, watched: Watched) -> None:
        """1 for a part that is well; a degraded one is not, because somebody should look at it."""
        await asyncio.sleep(0.1)
        assert watched.gauges == {"database": 1, "kafka": 1, "redis": 1}
        watched.answers |= {"database": raises(AWAY), "redis": raises(Unavailable("refused", part="redis"))}
        await asyncio.sleep(NEXT_ROUND)
        assert watched.gauges == {"database": 0, "kafka": 1, "redis": 0}

    async def test_an_error_that_nobody_foresaw_fails_its_part_alone(self, watched: Watched) -> None:
        """By its kind only, which holds no values; the others are asked on."""
        watched.answers["database"] = raises(RuntimeError("secret"))
        await asyncio.sleep(NEXT_ROUND)
        assert watched.part("database") == PartHealth("database", Status.FAILING, "RuntimeError")
        assert watched.part("kafka") == PartHealth("kafka", Status.OK)
        watched.answers["kafka"] = raises(AWAY)
        await asyncio.sleep(NEXT_ROUND)
        assert watched.part("kafka") == PartHealth("kafka", Status.FAILING, "SQL error 2002")

    async def test_a_part_that_hangs_fails_within_the_promised_time(self, watched: Watched) -> None:
        """Whenever in a round it begins to."""
        await asyncio.sleep(0.1)
        watched.answers["database"] = hangs
        await asyncio.sleep(PROMISED_SECONDS)
        assert watched.part("database") == PartHealth("database", Status.FAILING, "no answer within 5 s")

    async def test_a_part_that_hangs_does_not_hold_up_the_others(self, watched: Watched) -> None:
        """What they answer counts at once."""
        watched.answers |= {"database": hangs, "kafka": raises(AWAY)}
        await asyncio.sleep(NEXT_ROUND)
        assert watched.part("kafka") == PartHealth("kafka", Status.FAILING, "SQL error 2002")

    async def test_a_part_is_logged_when_it_changes(self, watched: Watched) -> None:
        """Once, however many rounds it stays that way."""
        with capture_logs() as logs:
            await asyncio.sleep(10 * NEXT_ROUND)
            watched.answers["database"] = raises(AWAY)
            await asyncio.sleep(10 * NEXT_ROUND)
        changes = [(each["part"], each["status"]) for each in logs if each["event"] == "part changed"]
        assert changes == [("database", "failing")]


class TestPausedLanes:
    async def test_a_lane_that_works_is_not_listed(self, watched: Watched) -> None:
        """Readiness names what stands still."""
        await start_lane(watched)
        watched.world.produce_numbered(3)
        await asyncio.sleep(10)
        assert watched.lane is None

    async def test_a_short_pause_is_weather(self, watched: Watched) -> None:
        """A deadlock or a hiccup takes no service out; what lasts has the reason as its name."""
        await start_lane(watched)
        await asyncio.sleep(1)
        watched.world.sink.reachable = False
        watched.world.produce_numbered(1)
        await asyncio.sleep(PAUSE_SECONDS - 0.1)
        assert watched.lane is None
        assert watched.monitor.ready().ready
        await asyncio.sleep(1)
        assert watched.lane == PartHealth(
            "lane customers/0", Status.FAILING, "database: the database is away"
        )
        assert not watched.monitor.ready().ready

    async def test_a_lane_that_goes_on_is_ready_at_once(self, watched: Watched) -> None:
        """Its next try is enough, no round has to come."""
        await start_lane(watched)
        watched.world.sink.reachable = False
        await asyncio.sleep(30)
        assert watched.lane is not None
        watched.world.sink.reachable = True
        await asyncio.sleep(LONGEST_DELAY_SECONDS)
        assert watched.lane is None

    async def test_a_halted_lane_says_why(self, watched: Watched) -> None:
        """Operators have to decide; it is no lack of progress."""
        watched.world.store(position(9))
        await start_lane(watched)
        await asyncio.sleep(PAUSE_SECONDS + 1)
        assert watched.lane is not None
        assert watched.lane.status is Status.FAILING
        assert watched.lane.reason.startswith("halted: position 9 lies beyond the log's end 0")
        await asyncio.sleep(3600)
        assert watched.stuck() == ()

    async def test_a_lane_without_its_partition_fails(self, watched: Watched) -> None:
        """Until a rebalance gives it back or takes it."""
        world = watched.world
        source = await world.member()
        consumer = Consumer(source, lambda partition: world.lane(source, partition))
        watched.lanes = lambda: consumer.lanes
        await consumer.on_assigned([CUSTOMERS])
        await asyncio.sleep(1)
        world.kafka.fail("fetch", NotOwner("customers/0 is not assigned to this member"))
        await asyncio.sleep(NEXT_ROUND)
        assert watched.lane is not None
        assert watched.lane.reason == "unassigned: customers/0 is not assigned to this member"
        await consumer.stop(1)
        assert watched.lane is None


class Locked(InMemorySink):
    """A database in which somebody holds the row of record 32: every try costs 5 s."""

    async def apply(self, work: Work, lease: Lease) -> Written:
        if any(event.record.offset == 32 for event in work.events):
            await asyncio.sleep(5)
            raise TemporaryError("SQL error 1205")
        return await super().apply(work, lease)


class Crawling(InMemorySink):
    """A database that takes 15 s for everything and will never take record 5."""

    async def apply(self, work: Work, lease: Lease) -> Written:
        await asyncio.sleep(15)
        if any(event.record.offset == 5 for event in work.events):
            raise PermanentError("SQL error 1406", error_class="DataTooLong")
        return await super().apply(work, lease)


class TestStuckLanes:
    async def test_a_lane_that_stands_still_is_named_with_its_step(self, watched: Watched) -> None:
        """After a minute with records to read and without a reason."""
        await start_lane(watched)
        await asyncio.sleep(10)
        watched.world.hold()
        watched.world.produce_numbered(1)
        await asyncio.sleep(STUCK_SECONDS - ROUND)
        assert watched.stuck() == ()
        await asyncio.sleep(ROUND + ROUND)
        (where,) = watched.stuck()
        assert where.startswith("lane customers/0 at process for 6")
        assert not watched.monitor.live().live

    async def test_a_lane_that_goes_on_is_not_stuck_any_more(self, watched: Watched) -> None:
        """At once."""
        await start_lane(watched)
        gate = watched.world.hold()
        watched.world.produce_numbered(1)
        await asyncio.sleep(2 * STUCK_SECONDS)
        assert watched.stuck() != ()
        gate.open.set()
        await asyncio.sleep(0.1)
        assert watched.stuck() == ()

    @pytest.mark.parametrize("name", ["database", "kafka"])
    async def test_while_a_part_fails_nothing_is_stuck(self, watched: Watched, name: str) -> None:
        """A restart would not bring it back."""
        await start_lane(watched)
        watched.world.hold()
        watched.world.produce_numbered(1)
        watched.answers[name] = raises(AWAY)
        await asyncio.sleep(10 * STUCK_SECONDS)
        assert watched.stuck() == ()
        watched.answers[name] = nothing
        await asyncio.sleep(NEXT_ROUND)
        assert watched.stuck() != ()

    async def test_a_degraded_part_excuses_nobody(self, watched: Watched) -> None:
        """Work goes on without it."""
        await start_lane(watched)
        watched.world.hold()
        watched.world.produce_numbered(1)
        watched.answers["redis"] = raises(Unavailable("refused", part="redis"))
        await asyncio.sleep(2 * STUCK_SECONDS)
        assert watched.stuck() != ()

    async def test_an_idle_lane_is_never_stuck(self, watched: Watched) -> None:
        """Nor does it become so at once when records come after an hour."""
        await start_lane(watched)
        await asyncio.sleep(3600)
        assert watched.stuck() == ()
        watched.world.hold()
        watched.world.produce_numbered(1)
        await asyncio.sleep(STUCK_SECONDS / 2)
        assert watched.stuck() == ()

    @pytest.mark.parametrize("ends", [pytest.param({}, id="left-out"), pytest.param(None, id="no-answer")])
    async def test_without_an_answer_about_the_log_nothing_is_stuck(
        self, watched: Watched, ends: dict[Partition, int] | None
    ) -> None:
        """A partition without a leader is left out: a lane at its end has nothing to do."""
        if ends is None:
            watched.before_ends = hangs
        watched.ends = ends
        watched.world.produce_numbered(3)
        await start_lane(watched)
        await asyncio.sleep(10 * STUCK_SECONDS)
        assert watched.stuck() == ()

    async def test_a_lane_that_was_behind_is_not_stuck_once_its_partition_is_left_out(
        self, watched: Watched
    ) -> None:
        """The last answer counts, not the one before."""
        await start_lane(watched)
        await asyncio.sleep(1)
        watched.ends = {CUSTOMERS: 100}
        await asyncio.sleep(ROUND)
        watched.ends = {}
        await asyncio.sleep(2 * STUCK_SECONDS)
        assert watched.stuck() == ()

    async def test_a_lane_that_waits_for_the_database_is_not_stuck(self, watched: Watched) -> None:
        """Its pause has a name, whatever the probe says of the database."""
        await start_lane(watched)
        await asyncio.sleep(1)
        watched.world.sink.reachable = False
        watched.world.produce_numbered(1)
        await asyncio.sleep(3600)
        assert watched.stuck() == ()

    @pytest.mark.parametrize("watched", [Locked], indirect=True)
    async def test_looking_for_a_locked_row_is_progress(self, watched: Watched) -> None:
        """However long a batch takes that is divided around it; a restart would begin anew."""
        watched.world.produce_numbered(64)
        lane = await start_lane(watched)
        for _ in range(16):  # the whole, a part of it, and the record alone, which is parked then
            await asyncio.sleep(1)
            assert watched.stuck() == ()
        assert watched.world.stored.next_offset == 32
        assert lane.paused == "temporary"
        await asyncio.sleep(10)
        assert watched.world.stored.next_offset == 64
        assert watched.world.statuses == {32: "retrying"}

    @pytest.mark.parametrize("watched", [Crawling], indirect=True)
    async def test_each_part_of_a_batch_is_progress(self, watched: Watched) -> None:
        """A batch that is divided may take minutes in a slow database, and is never paused."""
        watched.world.produce_numbered(8)
        await start_lane(watched)
        for _ in range(200):
            await asyncio.sleep(1)
            assert watched.stuck() == ()
        assert watched.world.stored.next_offset == 8

    async def test_a_partition_that_is_never_given_back_is_stuck(self, watched: Watched) -> None:
        """A rebalance would have ended by then: only a restart joins the group anew."""
        world = watched.world
        await start_lane(watched)
        await asyncio.sleep(1)
        world.kafka.fail("fetch", NotOwner("customers/0 is not assigned to this member"))
        await asyncio.sleep(UNASSIGNED_SECONDS - ROUND)
        assert watched.stuck() == ()
        await asyncio.sleep(2 * ROUND)
        (where,) = watched.stuck()
        assert where.startswith("lane customers/0 at fetch")


class TestMeasures:
    async def test_lag_is_what_lies_between_a_lane_and_the_end_of_its_log(self, watched: Watched) -> None:
        """And 0 when it has caught up."""
        await start_lane(watched)
        await asyncio.sleep(1)
        gate = watched.world.hold()
        watched.world.produce_numbered(7)
        await asyncio.sleep(ROUND)
        assert watched.lag == 7
        gate.open.set()
        await asyncio.sleep(ROUND)
        assert watched.lag == 0

    async def test_the_position_is_where_the_lane_reads_next(self, watched: Watched) -> None:
        """It moves while the lane does, and goes with it."""
        lane = await start_lane(watched)
        watched.world.produce_numbered(7)
        await asyncio.sleep(ROUND)
        assert watched.position == 7
        lane.forget()
        assert watched.position is None

    async def test_a_lane_may_be_ahead_of_an_answer(self, watched: Watched) -> None:
        """Lag is never negative."""
        watched.world.produce_numbered(3)
        watched.ends = {CUSTOMERS: 1}
        await start_lane(watched)
        await asyncio.sleep(ROUND)
        assert watched.lag == 0

    async def test_a_lane_without_a_claim_has_no_lag(self, watched: Watched) -> None:
        """Nobody knows where it will start."""
        watched.world.store(position(9))
        await start_lane(watched)
        await asyncio.sleep(ROUND)
        assert watched.lag is None
        assert {partition for asked in watched.asked for partition in asked} == set()

    async def test_a_lane_that_has_left_has_no_lag(self, watched: Watched) -> None:
        """Not even one that left while its log's end was asked for: the next owner speaks for it."""
        world = watched.world
        source = await world.member()
        consumer = Consumer(source, lambda partition: world.lane(source, partition))
        watched.lanes = lambda: consumer.lanes
        watched.ends = {CUSTOMERS: 100}
        await consumer.on_assigned([CUSTOMERS])
        await asyncio.sleep(ROUND)
        assert watched.lag == 100
        asking = asyncio.Event()

        async def slowly() -> None:
            asking.set()
            await asyncio.sleep(2)

        watched.before_ends = slowly
        await asking.wait()
        await consumer.on_revoked([CUSTOMERS])
        await asyncio.sleep(ROUND)
        assert watched.lag is None

    async def test_letters_are_counted_by_status(self, watched: Watched) -> None:
        """A status that nothing has any more is 0."""
        watched.letters = {"dead": 2, "retrying": 1}
        await asyncio.sleep(NEXT_ROUND)
        assert letters(watched) == {"dead": 2, "retrying": 1}
        watched.letters = {"discarded": 2}
        await asyncio.sleep(NEXT_ROUND)
        assert letters(watched) == {"discarded": 2}

    @pytest.mark.parametrize(
        "trouble",
        [
            pytest.param(raises(AWAY), id="away"),
            pytest.param(raises(RuntimeError("a bug")), id="bug"),
            pytest.param(hangs, id="hanging"),
        ],
    )
    async def test_a_measure_that_fails_holds_up_nothing(
        self, watched: Watched, trouble: Callable[[], Awaitable[None]]
    ) -> None:
        """It is repeated; probes and the other measures go on meanwhile."""
        watched.world.produce_numbered(3)
        await start_lane(watched)
        watched.before_ends = trouble
        await asyncio.sleep(2 * ROUND)
        watched.letters = {"dead": 1}
        watched.answers["kafka"] = raises(AWAY)
        await asyncio.sleep(ROUND)
        assert letters(watched) == {"dead": 1}
        assert watched.part("kafka") == PartHealth("kafka", Status.FAILING, "SQL error 2002")
        assert watched.lag is None
        watched.before_ends = nothing
        await asyncio.sleep(ROUND + NEXT_ROUND)
        assert watched.lag == 0


def letters(watched: Watched) -> dict[str, int]:
    """The gauge's statuses that stand above 0."""
    statuses = ("retrying", "dead", "replayed", "discarded", "superseded")
    counted = {status: watched.world.count("upsertd_dead_letters", status=status) for status in statuses}
    return {status: number for status, number in counted.items() if number}


@pytest.mark.parametrize("trouble", [hangs, raises(Unavailable("no leader", part="kafka"))])
async def test_an_idle_lane_is_not_stuck_while_lag_is_unknown(
    watched: Watched, trouble: Callable[[], Awaitable[None]]
) -> None:
    """It was behind at the last answer, has read everything since, and nobody says how long the log is."""
    watched.world.produce_numbered(3)
    gate = watched.world.hold()
    await start_lane(watched)
    await asyncio.sleep(ROUND)
    watched.before_ends = trouble
    gate.open.set()
    await asyncio.sleep(2 * STUCK_SECONDS)
    assert watched.world.applied == {0, 1, 2}
    assert watched.stuck() == ()


class SlowlyLost(InMemorySink):
    """Loses the connection over one record, each time after half a minute."""

    async def apply(self, work: Work, lease: Lease) -> Written:
        if any(event.record.offset == 32 for event in work.events):
            await asyncio.sleep(30)
            raise ConnectionLost("no answer in time", part="database")
        return await super().apply(work, lease)


@pytest.mark.parametrize("watched", [SlowlyLost], indirect=True)
async def test_looking_for_a_culprit_that_takes_its_time_is_no_standstill(watched: Watched) -> None:
    """Each division costs the transaction's deadline."""
    watched.world.produce_numbered(64)
    await start_lane(watched)
    for _ in range(400):
        await asyncio.sleep(1)
        assert watched.stuck() == ()
