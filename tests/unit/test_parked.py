"""Parked records that come due: what becomes of them, and when they are given up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from structlog.testing import capture_logs

from service.core.errors import ConnectionLost, PermanentError, TemporaryError, Unavailable
from service.core.types import Action, DeadLetter, Event, OpenLetter, Operation, Outcome, Record, Work
from service.pipeline.observe import Observer
from service.pipeline.parked import Retrier, Return
from service.pipeline.retry import RetryPolicy
from service.telemetry.metrics import Metrics
from service.testing.sink import InMemorySink
from tests.building import CUSTOMERS, at, decode_message, lease, letter, message, position, record, work

pytestmark = pytest.mark.looptime

LOCKED = TemporaryError("SQL error 1205", error_class="LockTimeout")
POLICY = RetryPolicy((60.0, 120.0, 240.0))


class World:
    """A database with one parked record, and who tries it again."""

    def __init__(self) -> None:
        self.sink = InMemorySink()
        self.sink.clock = asyncio.get_running_loop().time
        self.sink.tables.positions[CUSTOMERS] = position()
        self.metrics = Metrics("test", ["customers"])
        observe = Observer(self.metrics, "customers", lambda: at(0))
        self.retrier = Retrier(self.sink, {"customers": Return(decode_message, observe)}, POLICY)
        self.tries: list[float] = []
        self.sink.before_commit = self._try
        self.error: Exception | None = None

    def _try(self, tried: Work) -> None:
        if tried.events:
            self.tries.append(asyncio.get_running_loop().time())
            if self.error is not None:
                raise self.error

    async def park(self, value: bytes | None = None) -> None:
        body = message("event-0", name="Ann") if value is None else value
        parked = replace(letter(record(0, body), "LockTimeout"), retry_in_seconds=60)
        await self.sink.apply(work(parked), lease())

    @property
    def kept(self) -> tuple[DeadLetter, str]:
        ((kept, status),) = self.sink.tables.letters.values()
        return kept, str(status)

    def count(self, outcome: str) -> int:
        labels = {"entity": "customers", "outcome": outcome}
        return int(self.metrics.registry.get_sample_value("upsertd_events_total", labels) or 0)


@pytest.fixture
async def world() -> World:
    return World()


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


async def during(world: World, seconds: float) -> None:
    """Let the retrier work."""
    running = asyncio.create_task(world.retrier.run())
    await asyncio.sleep(seconds)
    running.cancel()
    await asyncio.wait({running})


async def test_a_parked_record_is_applied_when_it_is_due(world: World) -> None:
    """Not sooner, and once."""
    await world.park()
    await during(world, 59)
    assert world.tries == []
    await during(world, 600)
    assert len(world.tries) == 1
    assert world.kept[1] == "replayed"
    assert world.sink.tables.rows["customers", 1].columns == {"name": "Ann"}
    assert (world.count("applied"), world.count("dead")) == (1, 0)


async def test_it_waits_longer_each_time_and_is_given_up(world: World) -> None:
    """An update: three retries after 1, 2 and 4 minutes; each a few attempts close together."""
    await world.park()
    world.error = LOCKED
    await during(world, 600)
    kept, status = world.kept
    assert (status, kept.attempts, kept.error_class) == ("dead", 4, "LockTimeout")
    rounds = [moment for moment in world.tries if not any(0 < moment - other < 10 for other in world.tries)]
    waits = [later - earlier for earlier, later in zip([0.0, *rounds], rounds, strict=False)]
    assert len(waits) == 3
    assert all(delay <= wait <= 1.1 * delay + 5 for delay, wait in zip((60, 120, 240), waits, strict=True))
    assert world.count("dead") == 1


async def test_a_retry_that_fails_for_good_is_dead_at_once(world: World) -> None:
    """Waiting does not help against a value that does not fit."""
    await world.park()
    world.error = PermanentError("SQL error 1406 (name)", error_class="DataTooLong")
    await during(world, 100)
    assert world.kept[1] == "dead"
    assert world.kept[0].error_class == "DataTooLong"
    assert len(world.tries) == 1


async def test_what_cannot_be_decoded_any_more_is_dead(world: World) -> None:
    """A newer version may read its records otherwise."""
    await world.park(b"not an object")
    await during(world, 100)
    assert (world.kept[0].stage, world.kept[1]) == ("decode", "dead")


async def test_an_unforeseen_error_of_the_decoder_is_dead(world: World) -> None:
    """As in a lane: no record may hold the others back."""

    def stumble(_record: Record) -> object:
        raise ZeroDivisionError

    observe = Observer(world.metrics, "customers", lambda: at(0))
    broken = Return(stumble, observe)  # type: ignore[arg-type]  # that is the point
    world.retrier = Retrier(world.sink, {"customers": broken}, POLICY)
    await world.park()
    await during(world, 100)
    assert (world.kept[0].error_class, world.kept[1]) == ("ZeroDivisionError", "dead")


async def test_an_outage_counts_for_nothing(world: World) -> None:
    """However long the database is away: it is tried when it is back, with all its attempts."""
    await world.park()
    world.sink.reachable = False
    await during(world, 600)
    assert (world.kept[0].attempts, world.kept[1]) == (1, "retrying")
    world.sink.reachable = True
    await during(world, 10)
    assert world.kept[1] == "replayed"


async def test_a_locked_table_counts_for_nothing(world: World) -> None:
    """It is not the record's fault."""
    await world.park()
    world.error = LOCKED

    async def locked(*_arguments: object) -> None:
        raise ConnectionLost("tables of customers are locked", part="database")

    world.sink.retry = locked  # type: ignore[assignment, method-assign]  # as the SQL one does
    await during(world, 600)
    assert (world.kept[0].attempts, world.kept[1]) == (1, "retrying")


async def test_who_has_waited_for_a_lock_does_not_wait_thrice(world: World) -> None:
    """Others are due as well: one attempt of five seconds is enough for now."""
    await world.park()
    tries: list[float] = []

    async def wait_in_vain(*_arguments: object) -> None:
        tries.append(asyncio.get_running_loop().time())
        await asyncio.sleep(5)
        raise LOCKED

    world.sink.retry = wait_in_vain  # type: ignore[assignment, method-assign]  # as the SQL one does
    await during(world, 100)
    assert len(tries) == 1
    assert world.kept[0].attempts == 2


@pytest.mark.parametrize("refused", [1, 5])
async def test_those_that_cannot_be_tried_hold_up_no_other(world: World, refused: int) -> None:
    """An answer that nobody knows is waited for, however often; the letters behind it are tried meanwhile."""
    for offset in range(refused + 1):
        body = message(f"event-{offset}", offset + 1)
        parked = replace(letter(record(offset, body), "LockTimeout"), retry_in_seconds=60 + offset)
        await world.sink.apply(work(parked), lease(offset))
    retry = world.sink.retry

    async def refuse(tried: OpenLetter, event: Event, action: Action | None = None) -> Outcome:
        if tried.record.offset < refused:
            raise Unavailable("SQL error 1644", part="database")
        return await retry(tried, event, action)

    world.sink.retry = refuse  # type: ignore[assignment, method-assign]  # a trigger that minds one record
    await during(world, 120)
    statuses = [str(status) for _, status in world.sink.tables.letters.values()]
    assert statuses == ["retrying"] * refused + ["replayed"]


async def test_a_lost_answer_is_found_out(world: World) -> None:
    """The transaction was committed: the letter is closed, and nothing is applied twice."""
    await world.park()

    def lose(_work: Work) -> None:
        raise ConnectionLost("SQL error 2013", part="database")

    world.sink.after_commit = lose
    await during(world, 600)
    assert len(world.tries) == 1
    assert world.kept[1] == "replayed"


class TestPolicy:
    @given(
        delays=st.lists(st.floats(1, 1000), min_size=1, max_size=5),
        retries=st.integers(0, 10),
        failures=st.integers(1, 12),
    )
    def test_waits(self, delays: list[float], retries: int, failures: int) -> None:
        """As configured, the last one again and again, a little longer; none when the retries are used up."""
        policy = RetryPolicy(tuple(delays), dict.fromkeys(Operation, retries))
        wait = policy.wait_seconds(Operation.UPDATE, failures)
        if failures > retries:
            assert wait is None
        else:
            delay = delays[min(failures, len(delays)) - 1]
            assert wait is not None
            assert delay <= wait <= 1.1 * delay

    def test_each_operation_has_its_own_number(self) -> None:
        """A delete is given up sooner."""
        policy = RetryPolicy()
        tries = {each: [policy.wait_seconds(each, n) is not None for n in (1, 2, 3, 4)] for each in Operation}
        assert tries[Operation.CREATE] == tries[Operation.UPDATE] == [True, True, True, False]
        assert tries[Operation.DELETE] == [True, True, False, False]
