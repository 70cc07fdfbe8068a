"""When purges run: rounds, rests, turns, and what becomes of errors. The clock is looptime's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from service.core.errors import TemporaryError, Unavailable
from service.core.retention import BATCH_SECONDS, FIRST_ROWS, MOST_ROWS
from service.stores.purging import Purge, Step
from service.stores.retention import (
    BEHIND,
    FIRST_ROUND_SECONDS,
    REST_RATIO,
    REST_RATIO_BEHIND,
    ROUND_SECONDS,
    SHORTEST_REST_SECONDS,
    Retention,
)

pytestmark = pytest.mark.looptime

SOON = FIRST_ROUND_SECONDS[1] + 0.1
QUICK = BATCH_SECONDS / 5
AWAY = Unavailable("SQL error 2002", part="database")


class Table:
    """A purge that is told what its batches find, rows or an error; then there is nothing left."""

    def __init__(self, *batches: int | Exception, table: str = "marks", seconds: float = QUICK) -> None:
        self.table = table
        self.batches = list(batches)
        self.seconds = seconds
        self.asked: list[int] = []
        self.times: list[tuple[float, float]] = []
        self.rounds = 0
        self.overdue = timedelta(0)

    def begin(self) -> None:
        self.rounds += 1

    async def step(self, rows: int) -> Step:
        self.asked.append(rows)
        began = now()
        await asyncio.sleep(self.seconds)
        self.times.append((began, now()))
        found = self.batches.pop(0) if self.batches else 0
        if isinstance(found, Exception):
            raise found
        return Step(found, left=bool(self.batches), overdue=self.overdue)


def now() -> float:
    return asyncio.get_running_loop().time()


class Purged:
    """What `on_purged` was told."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}

    def __call__(self, table: str, rows: int) -> None:
        self.rows[table] = self.rows.get(table, 0) + rows


@asynccontextmanager
async def purging(
    *tables: Purge, turn: asyncio.Lock | None = None, purged: Purged | None = None
) -> AsyncIterator[Retention]:
    """Rounds over these tables while the context is open."""
    retention = Retention(tables, turn or asyncio.Lock(), purged or Purged())
    running = asyncio.create_task(retention.run())
    yield retention
    assert not running.done() or running.exception() is None
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@contextmanager
def told() -> Iterator[list[EventDict]]:
    with capture_logs() as lines:
        yield lines


def words(lines: Iterable[EventDict]) -> list[tuple[str, str | None]]:
    return [(line["event"], line.get("reason")) for line in lines]


async def test_a_round_soon_after_the_start_and_then_one_a_minute() -> None:
    """What is over does not wait for long, and a restart every hour keeps nothing for ever."""
    table = Table()
    async with purging(table):
        await asyncio.sleep(SOON)
        assert table.rounds == 1
        await asyncio.sleep(10 * ROUND_SECONDS)
    assert table.rounds in (10, 11)


async def test_a_round_goes_on_until_nothing_is_left() -> None:
    """And says how much it has purged of each table."""
    purged = Purged()
    async with purging(Table(5, 5, 2, table="marks"), Table(3, table="letters"), purged=purged):
        await asyncio.sleep(SOON + 4 * SHORTEST_REST_SECONDS)
    assert purged.rows == {"marks": 12, "letters": 3}


@pytest.mark.parametrize("seconds", [0.0, QUICK, 20 * BATCH_SECONDS])
async def test_the_lanes_have_the_database_for_longer_than_a_batch(seconds: float) -> None:
    """After each batch, and the longer the slower the database is."""
    table = Table(*[1] * 6, seconds=seconds)
    async with purging(table):
        await asyncio.sleep(SOON + 60)
    rests = [later[0] - earlier[1] for earlier, later in zip(table.times, table.times[1:], strict=False)]
    assert min(rests[:5]) >= max(SHORTEST_REST_SECONDS, REST_RATIO * seconds) - 0.001


async def test_quick_batches_grow_up_to_a_limit() -> None:
    """A large table is not purged in tiny steps, nor in one."""
    table = Table(*[1] * 8)
    async with purging(table):
        await asyncio.sleep(SOON)
    assert (table.asked[0], table.asked[-1]) == (FIRST_ROWS, MOST_ROWS)


@pytest.mark.parametrize("error", [AWAY, TemporaryError("SQL error 1205"), RuntimeError("a bug")])
async def test_what_fails_waits_for_the_next_round(error: Exception) -> None:
    """With fewer rows; the other table is purged, and the service lives."""
    purged = Purged()
    failing, other = Table(error, 7, table="marks"), Table(3, table="letters")
    with told():
        async with purging(failing, other, purged=purged):
            await asyncio.sleep(SOON)
            assert purged.rows == {"letters": 3}
            await asyncio.sleep(ROUND_SECONDS + 1)
    assert purged.rows == {"letters": 3, "marks": 7}
    assert failing.asked[:2] == [FIRST_ROWS, FIRST_ROWS // 2]


async def test_trouble_is_told_once_and_so_is_its_end() -> None:
    """An outage of hours is one line, not one a minute."""
    with told() as lines:
        async with purging(Table(AWAY, AWAY, AWAY)):
            await asyncio.sleep(SOON + 5 * ROUND_SECONDS)
    assert words(lines) == [
        ("not purged, waiting for the next round", "SQL error 2002"),
        ("purging again", None),
    ]


async def test_a_stranger_error_is_told_by_its_class_alone() -> None:
    """Its text may hold what it likes."""
    with told() as lines:
        async with purging(Table(KeyError("a@example.org"))):
            await asyncio.sleep(SOON)
    assert ("not purged, waiting for the next round", "KeyError") in words(lines)


async def test_a_stop_lets_the_batch_finish_and_begins_no_other() -> None:
    """A transaction is not torn, and a drain does not wait for a table of millions."""
    table = Table(*[1] * 100, seconds=2.0)
    purged = Purged()
    retention = Retention((table,), asyncio.Lock(), purged)
    running = asyncio.create_task(retention.run())
    await asyncio.sleep(SOON)
    retention.stop()
    began = now()
    await running
    assert now() - began <= table.seconds
    assert purged.rows["marks"] == len(table.times) == len(table.asked)


async def test_a_stop_ends_a_rest() -> None:
    """Nobody waits for the next round."""
    retention = Retention((Table(),), asyncio.Lock(), Purged())
    running = asyncio.create_task(retention.run())
    await asyncio.sleep(SOON + 1)
    retention.stop()
    began = now()
    await running
    assert now() == began


async def test_a_batch_waits_for_its_turn() -> None:
    """Who looks after the database takes one connection, not two."""
    turn, table = asyncio.Lock(), Table(1)
    async with purging(table, turn=turn):
        async with turn:
            await asyncio.sleep(SOON + ROUND_SECONDS)
            assert not table.asked
        await asyncio.sleep(1)
        assert table.asked
        assert not turn.locked()


async def test_who_has_fallen_behind_rests_less() -> None:
    """More marks come than go otherwise, and the table grows for ever."""
    table = Table(5, 5, seconds=BATCH_SECONDS)
    table.overdue = BEHIND
    async with purging(table):
        await asyncio.sleep(SOON + 10 * BATCH_SECONDS)
    (_, first_end), (second_begin, _) = table.times[:2]
    assert second_begin - first_end == pytest.approx(REST_RATIO_BEHIND * BATCH_SECONDS, rel=0.01)
