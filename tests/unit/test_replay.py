"""A stretch of the log that is taken once more: how far, with what outcomes, and when it gives up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from service.core.errors import OffsetOutOfRange, PermanentError, TemporaryError, Unavailable
from service.core.types import Batch, LetterStatus, Outcome, Partition, Work, Written
from service.pipeline.batching import BatchLimits
from service.pipeline.replay import FETCH_WAIT_SECONDS, Replay, Replayed, ReplayRoute, begin
from service.pipeline.stretch import Stretch
from service.testing.sink import InMemorySink
from tests.building import CUSTOMERS, decode_message, lease, message, position, record

pytestmark = pytest.mark.looptime

PATIENCE_SECONDS = 20.0
AWAY = Unavailable("SQL error 1290", part="database")


class Log:
    """A partition's records by offset; `end` is the log's. `fault` runs before each fetch."""

    def __init__(self, *values: bytes | None, gap: int = 0) -> None:
        self.records = [record(offset, value) for offset, value in enumerate(values)]
        self.end = len(values) + gap
        self.asked: list[int] = []
        self.fault: Callable[[], None] = lambda: None
        self.silent = False

    async def fetch(self, partition: Partition, offset: int, max_records: int, wait_seconds: float) -> Batch:
        assert partition == CUSTOMERS
        self.asked.append(offset)
        self.fault()
        if self.silent:
            await asyncio.sleep(wait_seconds)
            return Batch((), offset)
        records = tuple(each for each in self.records if each.offset >= offset)[:max_records]
        return Batch(records, records[-1].offset + 1 if len(records) == max_records else self.end)


class Tables(InMemorySink):
    """A database that is replayed into; `works` are the transactions that were tried, with their options."""

    def __init__(self) -> None:
        super().__init__()
        self.works: list[tuple[list[int], bool, bool]] = []

    async def replay(self, work: Work, *, force: bool = False, dry_run: bool = False) -> Written:
        records = [event.record for event in work.events] + [letter.record for letter in work.letters]
        offsets = [each.offset for each in records]
        self.works.append((sorted(offsets), force, dry_run))
        self.tables.positions[CUSTOMERS] = position(work.end)
        return await self.apply(work, lease(work.end))

    @property
    def offsets(self) -> list[list[int]]:
        return [offsets for offsets, _, _ in self.works]


class Heard:
    """Notes what is told."""

    def __init__(self) -> None:
        self.positions: list[int] = []
        self.errors: list[str] = []

    def moved(self, replayed: Replayed) -> None:
        self.positions.append(replayed.position)

    def waiting(self, replayed: Replayed, error: TemporaryError | Unavailable) -> None:
        self.errors.append(str(error))


class World:
    """A log, a database and a replay of one into the other."""

    def __init__(
        self,
        *values: bytes | None,
        gap: int = 0,
        limits: BatchLimits | None = None,
        force: bool = False,
        dry_run: bool = False,
    ) -> None:
        self.log = Log(*values, gap=gap)
        self.sink = Tables()
        self.heard = Heard()
        route = ReplayRoute("customers", decode_message, self.sink, limits=limits or BatchLimits())
        self.replay = Replay(
            self.log,
            route,
            self.heard,
            force=force,
            dry_run=dry_run,
            patience_seconds=PATIENCE_SECONDS,
        )

    async def run(self, first: int = 0, end: int | None = None) -> Replayed:
        """Replay from `first` to `end`, the log's by default; what is raised is kept for `failed`."""
        self.replayed = begin(Stretch(CUSTOMERS, first, self.log.end if end is None else end))
        await self.replay.run(self.replayed)
        return self.replayed

    async def failed(self, kind: type[Exception]) -> Replayed:
        """Replay all of it, expecting it to fail."""
        with pytest.raises(kind):
            await self.run()
        return self.replayed


def messages(count: int) -> list[bytes]:
    """Events of records of their own."""
    return [message(f"event-{number}", number + 1) for number in range(count)]


async def test_outcomes_are_counted() -> None:
    """Each record once, under what became of it."""
    same = message("event-1", 1, version=5)
    world = World(same, same, message("event-2", 1, version=4), b"?")
    replayed = await world.run()
    expected = dict.fromkeys(Outcome, 1)
    assert (dict(replayed.outcomes), replayed.records, replayed.parked) == (expected, 4, 0)
    assert (replayed.position, replayed.finished) == (4, True)


async def test_only_the_stretch_is_taken() -> None:
    """What lies below it is not asked for, what lies behind it is not applied."""
    world = World(*messages(6))
    replayed = await world.run(1, 4)
    assert world.sink.offsets == [[1, 2, 3]]
    assert (world.log.asked, replayed.records, replayed.position) == ([1], 3, 4)


async def test_an_empty_stretch_asks_for_nothing() -> None:
    """It is finished before it begins."""
    world = World(*messages(2))
    assert (await world.run(2)).finished
    assert world.log.asked == []


async def test_markers_and_gaps_are_walked_over() -> None:
    """A stretch that ends behind them comes to its end, without a transaction for nothing."""
    world = World(gap=7)
    assert (await world.run()).position == 7
    assert world.sink.works == []


async def test_batches_are_bounded() -> None:
    """By records and by bytes, as those of a lane are."""
    assert await sizes(BatchLimits(max_records=2)) == [2, 2, 1]
    one = record(0, messages(1)[0]).size_bytes
    assert await sizes(BatchLimits(max_bytes=2 * one)) == [2, 2, 1]


async def sizes(limits: BatchLimits) -> list[int]:
    """How many records the transactions of a replay have."""
    world = World(*messages(5), limits=limits)
    await world.run()
    return [len(offsets) for offsets in world.sink.offsets]


@pytest.mark.parametrize(("force", "dry_run"), [(False, False), (True, False), (False, True), (True, True)])
async def test_the_sink_hears_what_is_wanted(force: bool, dry_run: bool) -> None:
    """With every transaction."""
    world = World(*messages(3), limits=BatchLimits(max_records=2), force=force, dry_run=dry_run)
    await world.run()
    assert world.sink.works == [([0, 1], force, dry_run), ([2], force, dry_run)]


async def test_a_culprit_becomes_a_dead_letter() -> None:
    """And its neighbours are applied."""
    world = World(*messages(4))
    world.sink.before_commit = failing_at(2, PermanentError("too long", error_class="DataTooLong"))
    replayed = await world.run()
    assert replayed.outcomes == {Outcome.APPLIED: 3, Outcome.DEAD: 1}
    assert [letter.record.offset for letter, _ in world.sink.tables.letters.values()] == [2]


async def test_a_record_that_fails_for_now_is_parked() -> None:
    """The service tries it again: it is no dead letter."""
    world = World(*messages(3))
    world.sink.before_commit = failing_at(1, TemporaryError("SQL error 1213"))
    replayed = await world.run()
    assert (replayed.outcomes[Outcome.APPLIED], replayed.parked, replayed.records) == (2, 1, 3)
    assert [status for _, status in world.sink.tables.letters.values()] == [LetterStatus.RETRYING]


async def test_an_outage_of_the_database_is_waited_for() -> None:
    """And told: nothing is lost by it."""
    world = World(*messages(2))
    world.sink.before_commit = failing_times(3, AWAY)
    assert (await world.run()).outcomes == {Outcome.APPLIED: 2}
    assert world.heard.errors == [str(AWAY)] * 3


async def test_patience_has_an_end(looptime: float) -> None:
    """A database that stays away ends it, and how far it came is known."""
    world = World(*messages(4), limits=BatchLimits(max_records=2))
    world.sink.before_commit = failing_at(2, AWAY)
    replayed = await world.failed(Unavailable)
    assert (replayed.position, replayed.records, replayed.finished) == (2, 2, False)
    assert PATIENCE_SECONDS <= looptime <= PATIENCE_SECONDS + 6


async def test_patience_begins_anew_with_each_step(looptime: float) -> None:
    """What gets ahead, however slowly, goes on."""
    world = World(*messages(5), limits=BatchLimits(max_records=1))
    out_until = PATIENCE_SECONDS * 0.7
    loop = asyncio.get_running_loop()
    began = loop.time()

    def out_for_a_while(_: Work) -> None:
        nonlocal began
        if loop.time() - began < out_until:
            raise AWAY
        began = loop.time()

    world.sink.before_commit = out_for_a_while
    assert (await world.run()).finished
    assert looptime > 2 * PATIENCE_SECONDS


async def test_kafka_that_stays_silent_ends_it(looptime: float) -> None:
    """Records that are known to be there and do not come are an outage too."""
    world = World(*messages(2))
    world.log.silent = True
    assert (await world.failed(Unavailable)).position == 0
    assert looptime >= PATIENCE_SECONDS


async def test_records_that_vanish_end_it_at_once() -> None:
    """Nothing is skipped in silence."""
    world = World(*messages(2))
    world.log.fault = raising(OffsetOutOfRange("fetch customers/0"))
    assert (await world.failed(OffsetOutOfRange)).position == 0
    assert world.log.asked == [0]


async def test_it_stops_between_two_transactions() -> None:
    """What is under way is finished and counted; the rest is left."""
    world = World(*messages(6), limits=BatchLimits(max_records=2))
    world.sink.before_commit = lambda _: world.replay.stop()
    replayed = await world.run()
    assert (replayed.position, replayed.records, replayed.finished) == (2, 2, False)


async def test_it_stops_between_the_parts_of_a_batch() -> None:
    """Looking for a culprit is no reason to go on."""
    world = World(*messages(8))
    world.sink.before_commit = failing_at(6, PermanentError("too long", error_class="DataTooLong"))
    world.sink.after_commit = lambda _: world.replay.stop()
    replayed = await world.run()
    assert (replayed.position, replayed.records) == (4, 4)


@pytest.mark.parametrize("waits_for", ["kafka", "database"])
async def test_a_wait_is_cut_short(waits_for: str, looptime: float) -> None:
    """Somebody who presses Ctrl-C does not wait for an outage to end."""
    world = World(*messages(2))
    world.log.silent = waits_for == "kafka"
    world.sink.reachable = waits_for != "database"
    at = 10 * FETCH_WAIT_SECONDS + 0.5
    asyncio.get_running_loop().call_later(at, world.replay.stop)
    assert (await world.run()).position == 0
    assert looptime == pytest.approx(at, abs=0.1)


async def test_each_transaction_is_told() -> None:
    """With how far it came."""
    world = World(*messages(5), limits=BatchLimits(max_records=2))
    await world.run()
    assert world.heard.positions == [2, 4, 5]


def failing_at(offset: int, error: Exception) -> Callable[[Work], None]:
    """Fail every transaction that holds this event."""

    def fail(work: Work) -> None:
        if any(event.record.offset == offset for event in work.events):
            raise error

    return fail


def failing_times(times: int, error: Exception) -> Callable[[Work], None]:
    """Fail the first transactions."""
    left = times

    def fail(_: Work) -> None:
        nonlocal left
        if left:
            left -= 1
            raise error

    return fail


def raising(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail
