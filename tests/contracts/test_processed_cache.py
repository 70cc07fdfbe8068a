"""What every `ProcessedCache` keeps to: one suite over the one in memory and the one in a real Redis."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

import pytest
import pytest_asyncio
import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from service.core.ports import ProcessedCache
from service.core.types import Event, Lease, Operation, Partition, Record
from service.stores.processed_cache import NoCache, RedisProcessedCache
from service.testing.cache import InMemoryProcessedCache

PARTITION = Partition("customers", 0)
LEASE = Lease(PARTITION, claim_id="claim", expected=10, handled_offset=10, cache_namespace="5eed")


def event(
    event_id: bytes = b"id", entity_id: int = 7, offset: int = 3, *, entity: str = "customers"
) -> Event:
    return Event(
        event_id=event_id,
        entity=entity,
        entity_id=entity_id,
        operation=Operation.UPDATE,
        version=1,
        occurred_at=datetime(2026, 11, 21),
        record=Record(PARTITION, offset, timestamp_ms=0, key=None, value=None),
    )


class Subject(ABC):
    """A cache with what a test does to it from outside. `found` adds up hits, misses and errors."""

    cache: ProcessedCache

    @abstractmethod
    async def plant(self, event_id: bytes, value: bytes) -> None: ...

    @abstractmethod
    async def plant_kind(self, event_id: bytes, kind: str) -> None: ...

    @abstractmethod
    async def value(self, event_id: bytes) -> bytes | None: ...

    @abstractmethod
    async def flush(self) -> None: ...

    @property
    @abstractmethod
    def found(self) -> tuple[int, int, int]: ...


class InMemory(Subject):
    def __init__(self) -> None:
        self.cache: InMemoryProcessedCache = InMemoryProcessedCache()

    async def plant(self, event_id: bytes, value: bytes) -> None:
        self.cache.plant(event_id, value)

    async def plant_kind(self, event_id: bytes, kind: str) -> None:
        self.cache.plant(event_id, [kind])

    async def value(self, event_id: bytes) -> bytes | None:
        return cast("bytes | None", self.cache.values.get(event_id))

    async def flush(self) -> None:
        self.cache.flush()

    @property
    def found(self) -> tuple[int, int, int]:
        return self.cache.hits, self.cache.misses, self.cache.errors


class InRedis(Subject):
    def __init__(self, url: str, client: redis.asyncio.Redis) -> None:
        self._lookups: list[tuple[int, int, int]] = []
        # A deadline that no busy machine misses: what slowness does is tested elsewhere.
        self.cache: RedisProcessedCache = RedisProcessedCache(
            url,
            default_ttl_seconds=300,
            ttl_seconds={"orders": 60},
            deadline_seconds=20,
            on_lookup=lambda *found: self._lookups.append(found),
        )
        self.client = client

    async def plant(self, event_id: bytes, value: bytes) -> None:
        await self.client.set(key(event_id), value)

    async def plant_kind(self, event_id: bytes, kind: str) -> None:
        commands: dict[str, tuple[bytes | str, ...]] = {
            "list": ("RPUSH", key(event_id), b"5eed:3:7"),
            "set": ("SADD", key(event_id), b"5eed:3:7"),
            "hash": ("HSET", key(event_id), b"5eed", b"5eed:3:7"),
            "sorted set": ("ZADD", key(event_id), "1", b"5eed:3:7"),
            "stream": ("XADD", key(event_id), "*", b"5eed", b"5eed:3:7"),
        }
        await self.client.execute_command(*commands[kind])  # type: ignore[no-untyped-call]  # redis-py

    async def value(self, event_id: bytes) -> bytes | None:
        return cast("bytes | None", await self.client.get(key(event_id)))

    async def flush(self) -> None:
        await self.client.flushdb()

    @property
    def found(self) -> tuple[int, int, int]:
        hits, misses, errors = (sum(numbers) for numbers in zip(*self._lookups, strict=True))
        return hits, misses, errors


def key(event_id: bytes) -> bytes:
    return b"processed:event:" + event_id


@pytest_asyncio.fixture
async def in_redis(redis_url: str) -> AsyncIterator[InRedis]:
    client = redis.asyncio.Redis.from_url(redis_url)
    subject = InRedis(redis_url, client)
    await subject.flush()
    yield subject
    await subject.cache.close()
    await client.aclose()


@pytest.fixture(params=["memory", "redis"])
def subject(request: pytest.FixtureRequest) -> Subject:
    return InMemory() if request.param == "memory" else cast("Subject", request.getfixturevalue("in_redis"))


class TestHits:
    async def test_what_was_remembered_is_seen(self, subject: Subject) -> None:
        """A remembered event is a hit, one beside it is not."""
        await subject.cache.remember([event(b"a")], LEASE)
        assert await subject.cache.seen([event(b"a"), event(b"b")], LEASE) == {b"a"}

    async def test_the_value_names_lane_offset_and_entity(self, subject: Subject) -> None:
        """Operators and other versions rely on the form of the value."""
        await subject.cache.remember([event(b"a", entity_id=7, offset=3)], LEASE)
        assert await subject.value(b"a") == b"5eed:3:7"

    async def test_a_copy_at_another_offset_is_seen(self, subject: Subject) -> None:
        """What counts is the offset of the remembered record, not that of the copy."""
        await subject.cache.remember([event(offset=3)], LEASE)
        assert await subject.cache.seen([event(offset=9)], LEASE) == {b"id"}

    @pytest.mark.parametrize(
        "lease",
        [
            pytest.param(replace(LEASE, cache_namespace="0ther"), id="namespace-of-another-lane"),
            pytest.param(replace(LEASE, cache_namespace="5eed:3"), id="namespace-that-goes-on"),
            pytest.param(replace(LEASE, cache_namespace="5ee"), id="namespace-that-ends-sooner"),
            pytest.param(replace(LEASE, cache_namespace=""), id="no-namespace"),
            pytest.param(replace(LEASE, handled_offset=3), id="offset-at-the-handled-offset"),
            pytest.param(replace(LEASE, handled_offset=2), id="offset-above-the-handled-offset"),
            pytest.param(replace(LEASE, handled_offset=0), id="nothing-handled"),
            pytest.param(replace(LEASE, handled_from=4), id="passed-over-by-a-jump"),
        ],
    )
    async def test_another_lease_misses(self, subject: Subject, lease: Lease) -> None:
        """An entry of a restored, cloned or new database, or of another lane, is worthless."""
        await subject.cache.remember([event(offset=3)], LEASE)
        assert await subject.cache.seen([event()], lease) == frozenset()

    async def test_the_lease_moves_on(self, subject: Subject) -> None:
        """An entry counts as soon as the lane has confirmed its offset, and as long as it has."""
        await subject.cache.remember([event(offset=10)], LEASE)
        assert await subject.cache.seen([event()], LEASE) == frozenset()
        assert await subject.cache.seen([event()], LEASE.moved_to(11)) == {b"id"}

    @pytest.mark.parametrize("entity_id", [8, 77, 17, 0, 2**63 - 1])
    async def test_another_entity_misses(self, subject: Subject, entity_id: int) -> None:
        """An id that was used for another entity is for SQL to judge."""
        await subject.cache.remember([event(entity_id=7)], LEASE)
        assert await subject.cache.seen([event(entity_id=entity_id)], LEASE) == frozenset()

    async def test_an_id_for_two_entities_in_one_batch_misses(self, subject: Subject) -> None:
        """One hit must not cover the other event of the same id."""
        await subject.cache.remember([event(entity_id=7)], LEASE)
        assert await subject.cache.seen([event(entity_id=7), event(entity_id=8)], LEASE) == frozenset()

    async def test_the_largest_numbers_fit(self, subject: Subject) -> None:
        """Offsets and ids up to 64 bits are hits like any other."""
        lease = replace(LEASE, handled_offset=2**63 - 1)
        large = event(entity_id=2**63 - 1, offset=2**63 - 2)
        await subject.cache.remember([large], lease)
        assert await subject.cache.seen([large], lease) == {b"id"}

    async def test_the_higher_offset_of_an_id_is_kept(self, subject: Subject) -> None:
        """Of one id twice in a batch the entry counts only once both records are handled."""
        await subject.cache.remember([event(offset=3), event(offset=6), event(offset=4)], LEASE)
        assert await subject.value(b"id") == b"5eed:6:7"

    async def test_a_record_of_another_partition_is_not_remembered(self, subject: Subject) -> None:
        """Its offset would be compared with a position of another log."""
        stranger = replace(event(), record=replace(event().record, partition=Partition("customers", 1)))
        await subject.cache.remember([stranger], LEASE)
        assert await subject.value(b"id") is None

    async def test_a_flush_forgets(self, subject: Subject) -> None:
        """FLUSHDB makes misses of all, and new entries count at once."""
        await subject.cache.remember([event()], LEASE)
        await subject.flush()
        assert await subject.cache.seen([event()], LEASE) == frozenset()
        await subject.cache.remember([event()], LEASE)
        assert await subject.cache.seen([event()], LEASE) == {b"id"}


class TestForeignValues:
    @pytest.mark.parametrize(
        "value",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"1", id="a-flag"),
            pytest.param(b"\x00\xff\xfe\x80", id="binary"),
            pytest.param(b"5eed:+3:7", id="plus"),
            pytest.param(b"5eed:-3:7", id="minus"),
            pytest.param(b"5eed: 3:7", id="space"),
            pytest.param(b"5eed:3\n:7", id="newline"),
            pytest.param(b"5eed:3:7\n", id="newline-at-the-end"),
            pytest.param(b"5eed:03:7", id="leading-zero"),
            pytest.param(b"5eed:0x3:7", id="hexadecimal"),
            pytest.param(b"5eed:0_3:7", id="underscore"),
            pytest.param(b"5eed:3.0:7", id="fraction"),
            pytest.param("5eed:٣:7".encode(), id="arabic-digit"),
            pytest.param(b"5eed:\xb2:7", id="latin-1-digit"),
            pytest.param(b"5eed::7", id="no-offset"),
            pytest.param(b"5eed:7", id="two-parts"),
            pytest.param(b"5eed:3", id="no-entity"),
            pytest.param(b"5eed:3:", id="empty-entity"),
            pytest.param(b"5eed:3:07", id="entity-with-leading-zero"),
            pytest.param(b"5eed:3:+7", id="entity-with-plus"),
            pytest.param(b"5eed:3:7:7", id="four-parts"),
            pytest.param(b"5EED:3:7", id="namespace-in-capitals"),
            pytest.param(b" 5eed:3:7", id="space-in-front"),
            pytest.param(b"5eed:10:7", id="at-the-handled-offset"),
            pytest.param(b"5eed:11:7", id="above-the-handled-offset"),
            pytest.param(b"0ther:3:7", id="another-namespace"),
            pytest.param(b"5eed:3:8", id="another-entity"),
            pytest.param(b"5eed:" + b"9" * 100_000 + b":7", id="huge-number"),
            pytest.param(b"5eed:" + b"0" * 100_000 + b":7", id="many-zeros"),
            pytest.param(b"x" * 1_000_000, id="a-megabyte"),
        ],
    )
    async def test_a_value_that_is_not_ours_misses(self, subject: Subject, value: bytes) -> None:
        """Only the very bytes that this lane would have written are a hit."""
        await subject.plant(b"id", value)
        assert await subject.cache.seen([event(entity_id=7)], LEASE) == frozenset()

    async def test_our_own_value_is_a_hit_whoever_wrote_it(self, subject: Subject) -> None:
        """The counterpart of the misses above: nothing else about them is wrong."""
        await subject.plant(b"id", b"5eed:3:7")
        assert await subject.cache.seen([event(entity_id=7)], LEASE) == {b"id"}

    @pytest.mark.parametrize("kind", ["list", "set", "hash", "sorted set", "stream"])
    async def test_a_key_of_another_type_misses_and_is_overwritten(self, subject: Subject, kind: str) -> None:
        """A foreign key costs its own event one transaction, and its neighbours nothing."""
        await subject.plant_kind(b"id", kind)
        await subject.cache.remember([event(b"a")], LEASE)
        assert await subject.cache.seen([event(), event(b"a")], LEASE) == {b"a"}
        await subject.cache.remember([event()], LEASE)
        assert await subject.cache.seen([event()], LEASE) == {b"id"}


class TestIds:
    @pytest.mark.parametrize(
        "event_id",
        [
            pytest.param(b"a\nb\r\n", id="newline"),
            pytest.param(b"*", id="star"),
            pytest.param(b"$1\r\na\r\n", id="protocol"),
            pytest.param(b"\xff\xfe\x80", id="not-utf-8"),
            pytest.param(b"a b'\"\\{x}", id="spaces-and-quotes"),
            pytest.param(b"x" * 255, id="255-bytes"),
            pytest.param("é".encode(), id="utf-8"),
        ],
    )
    async def test_any_bytes_are_an_id(self, subject: Subject, event_id: bytes) -> None:
        """Ids are opaque and go into the key as they are."""
        await subject.cache.remember([event(event_id)], LEASE)
        assert await subject.value(event_id) == b"5eed:3:7"
        assert await subject.cache.seen([event(event_id), event(b"other")], LEASE) == {event_id}

    @pytest.mark.parametrize("other", [b"A", b"a ", b" a", b"a\n"])
    async def test_ids_are_compared_byte_for_byte(self, subject: Subject, other: bytes) -> None:
        """What a collation would take for the same is another event."""
        await subject.cache.remember([event(b"a")], LEASE)
        assert await subject.cache.seen([event(other)], LEASE) == frozenset()

    async def test_a_large_batch_keeps_its_ids_apart(self, subject: Subject) -> None:
        """Each of 2,000 answers belongs to its own id."""
        batch = [event(b"%d" % number, entity_id=number + 1) for number in range(2000)]
        await subject.cache.remember(batch[::2], LEASE)
        assert await subject.cache.seen(batch, LEASE) == {known.event_id for known in batch[::2]}


class TestCounting:
    async def test_hits_and_misses_are_counted(self, subject: Subject) -> None:
        """Only a value that fits counts as a hit."""
        await subject.cache.remember([event(b"a")], LEASE)
        await subject.plant(b"b", b"garbage")
        await subject.cache.seen([event(b"a"), event(b"b"), event(b"c")], LEASE)
        assert subject.found == (1, 2, 0)

    async def test_nothing_asked_is_nothing_found(self, subject: Subject) -> None:
        """Empty batches are answered without a word."""
        await subject.cache.remember([], LEASE)
        assert await subject.cache.seen([], LEASE) == frozenset()
        await subject.cache.seen([event()], LEASE)
        assert subject.found == (0, 1, 0)


class TestRedisAlone:
    async def test_one_answer_each_way(self, in_redis: InRedis) -> None:
        """A batch costs one command to ask and one round trip to tell, however many events it has."""
        batch = [event(b"%d" % number) for number in range(100)]
        await in_redis.cache.ping()
        await in_redis.client.config_resetstat()
        await in_redis.cache.seen(batch, LEASE)
        await in_redis.cache.remember(batch, LEASE)
        calls = {name: stats["calls"] for name, stats in (await in_redis.client.info("commandstats")).items()}
        calls.pop("cmdstat_config|resetstat", None)
        # Of a hundred SETs one is answered.
        told = {"cmdstat_client|reply": 2, "cmdstat_set": 100, "cmdstat_echo": 1}
        assert calls == {"cmdstat_mget": 1} | told

    async def test_the_time_to_live_is_that_of_the_entity(self, in_redis: InRedis) -> None:
        """An entity without one of its own takes the default."""
        await in_redis.cache.remember([event(b"a", entity="orders"), event(b"b")], LEASE)
        assert 55 < await in_redis.client.ttl(key(b"a")) <= 60
        assert 295 < await in_redis.client.ttl(key(b"b")) <= 300

    async def test_remembering_again_renews_the_time_to_live(self, in_redis: InRedis) -> None:
        """A key that was planted without an end gets one."""
        await in_redis.plant(b"id", b"5eed:3:7")
        await in_redis.cache.remember([event()], LEASE)
        assert await in_redis.client.ttl(key(b"id")) > 0

    async def test_operators_can_scan_and_delete(self, in_redis: InRedis) -> None:
        """The keys have the names that operators know."""
        await in_redis.cache.remember([event(b"a")], LEASE)
        assert [found async for found in in_redis.client.scan_iter("processed:event:*")] == [key(b"a")]
        await in_redis.client.delete("processed:event:a")
        assert await in_redis.cache.seen([event(b"a")], LEASE) == frozenset()


class TestAway:
    async def test_a_failing_cache_knows_nothing_and_counts_errors(self) -> None:
        """The one in memory fails as a Redis that is away does (test_redis_outages)."""
        cache = InMemoryProcessedCache()
        await cache.remember([event()], LEASE)
        cache.failing = True
        assert await cache.seen([event()], LEASE) == frozenset()
        await cache.remember([event(b"b")], LEASE)
        cache.failing = False
        assert await cache.seen([event(), event(b"b")], LEASE) == {b"id"}
        assert (cache.hits, cache.misses, cache.errors) == (1, 1, 1)

    async def test_no_cache_misses_everything(self) -> None:
        """Without Redis every event goes to SQL."""
        found: list[tuple[int, int, int]] = []
        cache: ProcessedCache = NoCache(on_lookup=lambda *numbers: found.append(numbers))
        await cache.remember([event()], LEASE)
        assert await cache.seen([event()], LEASE) == frozenset()
        assert found == [(0, 1, 0)]


@dataclass(frozen=True)
class Remember:
    events: Sequence[Event]
    lease: Lease


@dataclass(frozen=True)
class Ask:
    events: Sequence[Event]
    lease: Lease


@dataclass(frozen=True)
class Flush:
    pass


events = st.builds(
    event,
    event_id=st.sampled_from([b"a", b"b", b"c"]),
    entity_id=st.sampled_from([1, 2]),
    offset=st.integers(0, 6),
)
# An offset stands for one record: two events never share one.
batches = st.lists(events, max_size=4, unique_by=lambda each: each.record.offset)
leases = st.builds(
    Lease,
    partition=st.just(PARTITION),
    claim_id=st.just("claim"),
    expected=st.just(0),
    handled_offset=st.integers(0, 7),
    cache_namespace=st.sampled_from(["5eed", "0ther"]),
    handled_from=st.integers(0, 3),
)
steps = st.lists(
    st.builds(Remember, batches, leases) | st.builds(Ask, batches, leases) | st.builds(Flush), max_size=25
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(steps=steps)
async def test_seen_is_what_was_remembered(subject: Subject, steps: list[Remember | Ask | Flush]) -> None:
    """Whatever is remembered, flushed and moved in between: a hit is the last entry, and it fits."""
    await subject.flush()
    last: dict[bytes, tuple[str, int, int]] = {}
    for step in steps:
        match step:
            case Flush():
                await subject.flush()
                last.clear()
            case Remember(remembered, lease):
                await subject.cache.remember(remembered, lease)
                for each in sorted(remembered, key=lambda each: each.record.offset):
                    last[each.event_id] = (lease.cache_namespace, each.record.offset, each.entity_id)
            case Ask(asked, lease):
                missed = {each.event_id for each in asked if not counts(last.get(each.event_id), each, lease)}
                expected = {each.event_id for each in asked} - missed
                assert await subject.cache.seen(asked, lease) == expected


def counts(entry: tuple[str, int, int] | None, asked: Event, lease: Lease) -> bool:
    """What the port says of a hit, on what the test knows was remembered."""
    if entry is None:
        return False
    namespace, offset, entity_id = entry
    return (
        namespace == lease.cache_namespace
        and lease.handled_from <= offset < lease.handled_offset
        and entity_id == asked.entity_id
    )
