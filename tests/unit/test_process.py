"""The story of a batch: decoded, looked up, written in one transaction, remembered after it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from service.core.errors import ConnectionLost, FenceLost, PermanentError, Unavailable
from service.core.types import Batch, Event, Lease, Record, Work
from service.pipeline.observe import Observer
from service.pipeline.process import Route, decode_all, process
from service.telemetry.metrics import Metrics
from service.testing.cache import InMemoryProcessedCache
from service.testing.sink import InMemorySink
from tests.building import CUSTOMERS, Unheard, at, decode_message, event, lease, message, position, record

pytestmark = pytest.mark.looptime


class World:
    """A path whose parts write down in which order they were called."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.metrics = Metrics("test", ["customers"])
        self.sink = InMemorySink()
        self.sink.tables.positions[CUSTOMERS] = position()
        self.sink.after_commit = lambda work: self.calls.append(f"committed {work.end}")
        self.cache = Noting(self.calls)
        observe = Observer(self.metrics, "customers", lambda: at(60))
        self.path = Route("customers", decode_message, self.cache, self.sink, observe)

    async def process(
        self, *values: bytes | None, end: int | None = None, held: Lease | None = None
    ) -> Lease:
        held = held or lease()
        first = held.expected
        records = tuple(record(first + number, value) for number, value in enumerate(values))
        batch = Batch(records, first + len(values) if end is None else end)
        return await process(batch, held, self.path, Unheard())

    def outcome(self, name: str) -> int:
        labels = {"entity": "customers", "outcome": name}
        return int(self.metrics.registry.get_sample_value("upsertd_events_total", labels) or 0)


class Noting(InMemoryProcessedCache):
    def __init__(self, calls: list[str]) -> None:
        super().__init__()
        self.calls = calls

    async def seen(self, events: Sequence[Event], lease: Lease) -> frozenset[bytes]:
        self.calls.append(f"asked for {len(events)}")
        return await super().seen(events, lease)

    async def remember(self, events: Sequence[Event], lease: Lease) -> None:
        self.calls.append(f"remembered {len(events)}")
        await super().remember(events, lease)


@pytest.fixture
def world() -> World:
    return World()


async def test_a_batch_is_asked_for_once_written_once_and_then_remembered(world: World) -> None:
    """One round trip, one transaction, and the cache strictly after the commit."""
    after = await world.process(message("a", 1), message("b", 2), end=5)
    assert world.calls == ["asked for 2", "committed 5", "remembered 2"]
    assert after == lease().moved_to(5)


async def test_hits_need_no_transaction(world: World) -> None:
    """The lease stays what it was: the caller moves on in memory."""
    held = await world.process(message("a", 1))
    world.calls.clear()
    assert await world.process(message("a", 1), message("a", 1), held=held) == held
    assert world.calls == ["asked for 2"]
    assert world.outcome("duplicate") == 2


async def test_only_misses_are_written(world: World) -> None:
    """The transaction's end is the batch's, hits included."""
    held = await world.process(message("a", 1))
    works: list[Work] = []
    world.sink.before_commit = works.append
    after = await world.process(message("b", 2), message("a", 1), held=held)
    assert [(len(work.events), work.end) for work in works] == [(1, 3)]
    assert after.expected == 3


@pytest.mark.parametrize(
    "error", [ConnectionLost("2013", part="database"), FenceLost("not ours")], ids=["lost-answer", "fence"]
)
async def test_without_a_confirmed_commit_nothing_is_remembered(world: World, error: Exception) -> None:
    """A cache that knew more than SQL would lose the event."""

    def fail(_: Work) -> None:
        raise error

    world.sink.after_commit = fail
    with pytest.raises(FenceLost):
        await world.process(message("a", 1), message("b", 2))
    assert world.cache.values == {}
    assert world.outcome("applied") == 0


async def test_every_part_is_remembered_after_its_own_commit(world: World) -> None:
    """Under the lease that the part has reached, so that its offsets count."""

    def fail(work: Work) -> None:
        if any(each.entity_id == 2 for each in work.events):
            raise PermanentError("SQL error 1406", error_class="DataTooLong")

    world.sink.before_commit = fail
    held = await world.process(message("a", 1), message("b", 2), message("c", 3))
    assert world.calls == [
        "asked for 3",
        "committed 1",
        "remembered 1",
        "committed 2",
        "remembered 0",
        "committed 3",
        "remembered 1",
    ]
    assert await world.cache.seen([event(0, 1, event_id=b"a"), event(2, 3, event_id=b"c")], held) == {
        b"a",
        b"c",
    }


async def test_dead_events_are_not_remembered(world: World) -> None:
    """An id that was used for another record: the mark is the first one's."""
    await world.process(message("a", 1), message("a", 2))
    assert world.cache.values == {b"a": b"5eed:0:1"}
    assert world.outcome("dead") == 1


async def test_stale_and_found_marked_ids_are_remembered(world: World) -> None:
    """SQL has a mark of each."""
    held = await world.process(message("a", 1, version=2), message("b", 1, version=1))
    world.cache.flush()
    await world.process(message("a", 1), message("b", 1), held=held)
    assert set(world.cache.values) == {b"a", b"b"}
    assert (world.outcome("stale"), world.outcome("duplicate")) == (1, 2)


async def test_a_failed_batch_counts_no_outcome(world: World) -> None:
    """It comes again, and would be counted twice."""
    held = await world.process(message("a", 1))
    world.sink.reachable = False
    for _ in range(3):
        with pytest.raises(Unavailable):
            await world.process(message("a", 1), message("b", 2), held=held)
    assert world.outcome("duplicate") == 0
    world.sink.reachable = True
    await world.process(message("a", 1), message("b", 2), held=held)
    assert (world.outcome("duplicate"), world.outcome("applied")) == (1, 2)


async def test_letters_need_a_transaction_but_no_cache(world: World) -> None:
    """A batch of nothing but undecodable records."""
    after = await world.process(b"garbage", None)
    assert after.expected == 2
    assert len(world.sink.tables.letters) == 2
    assert world.outcome("dead") == 2


class TestDecoding:
    def path(self, error: Exception | None) -> Route:
        world = World()

        def decode(given: Record) -> Event:
            if given.offset == 1 and error is not None:
                raise error
            return event(given.offset)

        return Route("customers", decode, world.cache, world.sink, world.path.observe)

    def test_a_failure_is_a_letter_between_its_neighbours(self) -> None:
        """With the reason in the decoder's words."""
        error = PermanentError("name is too long", error_class="SchemaViolation", stage="decode")
        events, (letter,) = decode_all([record(0), record(1, b"bad"), record(2)], self.path(error))
        assert [each.record.offset for each in events] == [0, 2]
        assert letter.record == record(1, b"bad")
        assert (letter.stage, letter.error_class, letter.error_message) == (
            "decode",
            "SchemaViolation",
            "name is too long",
        )
        assert (letter.event_id, letter.entity, letter.entity_id) == (None, "customers", None)

    @pytest.mark.parametrize("error", [RecursionError("secret"), KeyError("secret"), MemoryError("secret")])
    def test_what_no_list_foresees_is_a_letter_too(self, error: Exception) -> None:
        """Named by its class; its text may quote the record and is left out (I9)."""
        _, (letter,) = decode_all([record(0), record(1)], self.path(error))
        assert letter.error_class == type(error).__name__
        assert letter.stage == "decode"
        assert "secret" not in letter.error_message
