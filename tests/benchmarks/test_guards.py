"""What a batch costs in counts: statements, round trips, connections. Never times.

A number below is what the code takes today. One that falls is written down here too, with the change that
saved it; one that rises is a regression, or a decision that its commit explains.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from msgspec.structs import replace

from service.core.types import DeadLetter, Event, Lease, Work
from service.sinks.look_ups import FIRST_STRETCH
from service.stores.processed_cache import RedisProcessedCache
from tests.benchmarks.round_trips import CountingProxy
from tests.building import CUSTOMERS, ORDERS, event, lease, letter, line, record, work
from tests.contracts.sink_worlds import FirstRunLooks, SqlWorld, claimed, create_tables
from tests.servers import MariaDb, Redis, database_of

_BATCH = 500


@dataclass(frozen=True)
class Cost:
    """Of one batch, in the database: statements as the service counts them, COMMIT among them, and trips."""

    statements: int
    round_trips: int


# What the database is asked for a batch, however large.
COSTS = {
    "new": Cost(statements=6, round_trips=3),
    "new-for-long": Cost(statements=5, round_trips=3),  # nobody looks for rows any more
    "there": Cost(statements=6, round_trips=3),
    "orders": Cost(statements=7, round_trips=3),
    "duplicates": Cost(statements=5, round_trips=2),  # behind a batch that has met some already
    "letters": Cost(statements=3, round_trips=3),
}
# What Redis is asked for a batch: which of its events it knows, and to remember them.
CACHE_TRIPS = {"seen": 1, "remember": 1}


class Counted:
    """A sink whose connections go through a proxy, and where its lane stands."""

    def __init__(self, world: SqlWorld, proxy: CountingProxy, held: Lease) -> None:
        self.world = world
        self.proxy = proxy
        self._held = held

    @property
    def first(self) -> int:
        """The offset of the next record."""
        return self._held.expected

    async def apply(self, whole: Work) -> None:
        """Write a batch, and move on."""
        await self.world.sink.apply(whole, self._held)
        self._held = self._held.moved_to(whole.end)


@pytest.fixture(scope="module")
def tables_url(mariadb: MariaDb) -> Iterator[str]:
    """A database with the tables."""
    url = mariadb.create_database()
    create_tables(url)
    yield url
    mariadb.drop_database(database_of(url))


@pytest_asyncio.fixture
async def counted(request: pytest.FixtureRequest, tables_url: str) -> AsyncIterator[Counted]:
    """A warm sink with one connection; the parameter is the kind of batch and the lane's partition."""
    async with CountingProxy.before(_port(tables_url)) as proxy:
        kind, partition = request.param
        world = SqlWorld(
            tables_url.replace(f":{_port(tables_url)}/", f":{proxy.port}/"),
            1,
            # However often it is tried: four times 500 new ones would end the looking.
            look_ups=FirstRunLooks(rows=True) if kind in ("new", "orders") else None,
        )
        await world.clear()
        counted = Counted(world, proxy, await claimed(world, partition))
        await counted.apply(work(end=0))
        yield counted
        await world.database.close()


def _port(url: str) -> int:
    return urlsplit(url).port or 0


@pytest.mark.parametrize(
    ("kind", "counted"),
    [pytest.param(kind, (kind, ORDERS if kind == "orders" else CUSTOMERS), id=kind) for kind in COSTS],
    indirect=["counted"],
)
async def test_a_batch_costs_what_it_cost(counted: Counted, kind: str) -> None:
    """Statements and round trips to the database for 500 records, on one connection."""
    await counted.apply(_batch("there" if kind == "duplicates" else kind, counted.first, rows=0))
    while kind == "new-for-long" and counted.first < FIRST_STRETCH:
        await counted.apply(_batch(kind, counted.first, rows=counted.first))
    if kind == "duplicates":
        await counted.apply(_batch(kind, counted.first, rows=0))
    statements: set[int] = set()

    async def apply() -> None:
        sent = counted.world.statements
        await counted.apply(_batch(kind, counted.first, rows=counted.first))
        statements.add(counted.world.statements - sent)

    trips = await counted.proxy.fewest(COSTS[kind].round_trips, apply)
    assert Cost(statements.pop(), trips) == COSTS[kind]
    assert not statements
    assert counted.proxy.connections == 1


async def test_the_cache_costs_one_round_trip_each_way(redis_server: Redis, redis_url: str) -> None:
    """One question and one order for a batch of 500."""
    events, held = _batch("new", 0, rows=0).events, lease()
    async with CountingProxy.before(_port(redis_url)) as proxy:
        url = redis_url.replace(f":{_port(redis_url)}", f":{proxy.port}")
        cache = RedisProcessedCache(url, deadline_seconds=10)
        await cache.seen(events, held)
        trips = {
            "seen": await proxy.fewest(1, lambda: cache.seen(events, held)),
            "remember": await proxy.fewest(1, lambda: cache.remember(events, held)),
        }
        await cache.close()
    assert trips == CACHE_TRIPS
    assert proxy.connections == 1


async def test_the_proxy_counts_waits_and_not_packets() -> None:
    """Two requests that are sent together wait once; one after the other's answer waits again."""
    async with _echo() as port, CountingProxy.before(port) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)

        async def pipelined() -> None:
            writer.write(b"a")
            await asyncio.sleep(0.001)  # so that they go in two packets
            writer.write(b"b")
            await reader.readexactly(2)

        async def in_turns() -> None:
            for request in (b"a", b"b"):
                writer.write(request)
                await reader.readexactly(1)

        assert await proxy.fewest(1, pipelined) == 1
        assert await proxy.fewest(2, in_turns) == 2
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def _echo() -> AsyncIterator[int]:
    """A server that answers with what it is sent; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


def _batch(kind: str, first: int, *, rows: int) -> Work:
    """500 records from offset `first` on, of 500 rows that begin at `rows` where they are new."""
    match kind:
        case "letters":
            parts: Sequence[Event | DeadLetter] = [letter(record(first + n)) for n in range(_BATCH)]
        case "orders":
            parts = [_order(first + n, rows + n + 1) for n in range(_BATCH)]
        case "new" | "new-for-long":
            parts = [event(first + n, rows + n + 1, name="n", email="e@x") for n in range(_BATCH)]
        case "there":
            parts = [event(first + n, n + 1, name="n", phone="1") for n in range(_BATCH)]
        case _:  # the first batch's ids and rows
            parts = [
                replace(event(first + n, n + 1), event_id=event(n).event_id, columns={"name": "n"})
                for n in range(_BATCH)
            ]
    return work(*parts)


def _order(offset: int, order: int) -> Event:
    return event(offset, order, partition=ORDERS, lines=[line(1, 10), line(2, 20)])
