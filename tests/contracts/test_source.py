"""What every source promises: one suite over the source in memory and the one of a real Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from service.core.errors import NotOwner, OffsetOutOfRange
from service.core.types import GroupOffset, LogRange, Partition, Record
from tests.contracts.source_worlds import (
    PARTITIONS,
    KafkaWorld,
    Lanes,
    MemoryWorld,
    MonitoredSource,
    World,
    position_at,
    read,
)

Member = tuple[MonitoredSource, Lanes]
Join = Callable[[], Awaitable[Member]]


@pytest.fixture(params=["memory", "kafka"])
def world(request: pytest.FixtureRequest) -> World:
    """A topic, a group, and hands to write with."""
    if request.param == "memory":
        return MemoryWorld()
    return KafkaWorld(request.getfixturevalue("kafka"))


@pytest.fixture
async def join(world: World) -> AsyncIterator[Join]:
    """Makes another member of the group, and stops it in the end."""
    sources: list[MonitoredSource] = []

    async def new_member() -> Member:
        source, lanes = world.source(), Lanes()
        lanes.source = source
        sources.append(source)
        await source.start(lanes)
        return source, lanes

    yield new_member
    for source in sources:
        await source.stop()


@pytest.fixture
async def member(join: Join) -> Member:
    """A member that owns all partitions and has sought none."""
    source, lanes = await join()
    await lanes.own(PARTITIONS)
    return source, lanes


async def test_records_come_in_order_from_the_offset_that_was_sought(world: World, member: Member) -> None:
    """Reading begins at the offset of `seek`, and `end` is where the next fetch begins."""
    source, (partition, *_) = member[0], member[1].owned
    await world.produce(0, b"a", b"b", b"c", b"d")
    source.seek(partition, 1)
    assert await read(source, partition, 2) == [b"b", b"c"]
    batch = await source.fetch(partition, 10, 5)
    assert [(record.offset, record.value) for record in batch.records] == [(3, b"d")]
    assert batch.end == 4


async def test_a_partition_is_silent_until_it_is_sought(world: World, member: Member) -> None:
    """An assignment alone gives no records: the claim comes first."""
    source, (partition, *_) = member[0], member[1].owned
    await world.produce(0, b"a")
    with pytest.raises(NotOwner):
        await source.fetch(partition, 10, 0)
    source.seek(partition, 0)
    assert await read(source, partition, 1) == [b"a"]


async def test_without_records_a_batch_is_empty(member: Member) -> None:
    """Nothing to read within the time is no error."""
    source, (partition, *_) = member[0], member[1].owned
    source.seek(partition, 0)
    batch = await source.fetch(partition, 10, 0.1)
    assert (batch.records, batch.end) == ((), 0)


async def test_a_waiting_fetch_gets_what_is_written_meanwhile(world: World, member: Member) -> None:
    """A fetch at the end of the log wakes up for the next record."""
    source, (partition, *_) = member[0], member[1].owned
    source.seek(partition, 0)
    fetching = asyncio.create_task(source.fetch(partition, 10, 10))
    await asyncio.sleep(0)
    await world.produce(0, b"a")
    assert [record.value for record in (await fetching).records] == [b"a"]


async def test_bytes_headers_and_timestamps_are_handed_over_as_they_are(world: World, member: Member) -> None:
    """Null and empty stay apart; headers keep their order and their repeats."""
    source, (partition, *_) = member[0], member[1].owned
    headers = (("b", b"1"), ("a", None), ("b", b""), ("b", b"1"))
    await world.produce(0, None, b"", key=b"", headers=headers, timestamp_ms=1_700_000_000_123)
    await world.produce(0, b"\xff\x00", key=None)
    source.seek(partition, 0)
    records: list[Record] = []
    while len(records) < 3:
        records += (await source.fetch(partition, 10, 5)).records
    assert [(record.key, record.value) for record in records] == [
        (b"", None),
        (b"", b""),
        (None, b"\xff\x00"),
    ]
    assert records[0].headers == headers
    assert records[2].headers == ()
    assert records[0].timestamp_ms == 1_700_000_000_123
    assert {record.cluster_id for record in records} == {await source.cluster_id()} != {""}


async def test_seek_goes_back_and_drops_what_was_prefetched(world: World, member: Member) -> None:
    """After a failed fence the same records come again, and no other ones first."""
    source, (partition, *_) = member[0], member[1].owned
    await world.produce(0, b"a", b"b", b"c")
    source.seek(partition, 0)
    assert await read(source, partition, 1) == [b"a"]
    source.seek(partition, 0)
    assert await read(source, partition, 3) == [b"a", b"b", b"c"]


async def test_the_position_moves_over_markers_and_aborted_records(world: World, member: Member) -> None:
    """Behind a transactional producer the lag reaches 0, also where nothing is left to hand over."""
    source, (partition, *_) = member[0], member[1].owned
    await world.produce(0, b"a")
    await world.abort_transaction(0, b"never seen")
    await world.commit_transaction(0, b"b")
    await world.abort_transaction(0, b"never seen")
    source.seek(partition, 0)
    assert await read(source, partition, 2) == [b"a", b"b"]
    await position_at(source, partition, 7)
    assert await source.log_range(partition) == LogRange(0, 7)


async def test_an_offset_that_retention_took_is_out_of_range(world: World, member: Member) -> None:
    """Trimmed records are never skipped in silence; seeking to what is left heals it."""
    source, (partition, *_) = member[0], member[1].owned
    await world.produce(0, b"a", b"b", b"c")
    await world.trim(0, 2)
    source.seek(partition, 1)
    for _ in range(2):  # and again: the first error moves nothing
        with pytest.raises(OffsetOutOfRange):
            await source.fetch(partition, 10, 5)
    assert await source.log_range(partition) == LogRange(2, 3)
    source.seek(partition, 2)
    assert await read(source, partition, 1) == [b"c"]


async def test_an_offset_beyond_the_end_is_out_of_range(world: World, member: Member) -> None:
    """A log that was made anew is shorter than the position: that is an alarm, not a wait."""
    source, (partition, *_) = member[0], member[1].owned
    await world.produce(0, b"a")
    source.seek(partition, 9)
    with pytest.raises(OffsetOutOfRange):
        await source.fetch(partition, 10, 5)


async def test_a_commit_is_seen_as_ours(member: Member) -> None:
    """A commit carries our metadata, forwards and backwards; a partition without one has no offset."""
    source, (first, second, _) = member[0], member[1].owned
    assert await source.group_offset(first) is None
    await source.commit(first, 5)
    assert await source.group_offset(first) == GroupOffset(5, ours=True)
    await source.commit(first, 3)
    assert await source.group_offset(first) == GroupOffset(3, ours=True)
    assert await source.group_offset(second) is None


async def test_a_commit_of_somebody_else_is_not_ours(world: World, join: Join) -> None:
    """An operator's reset is told from our own offset."""
    await world.reset(1, 7)
    source, lanes = await join()
    partition = (await lanes.own(PARTITIONS))[1]
    assert await source.group_offset(partition) == GroupOffset(7, ours=False)
    await source.commit(partition, 7)
    assert await source.group_offset(partition) == GroupOffset(7, ours=True)


async def test_partitions_are_read_side_by_side(world: World, member: Member) -> None:
    """A lane that waits does not keep the others from their records, and gets none of theirs."""
    source, partitions = member[0], member[1].owned
    for partition in partitions:
        source.seek(partition, 0)
    fetching = [asyncio.create_task(read(source, partition, 2)) for partition in partitions]
    for number in reversed(range(PARTITIONS)):
        await world.produce(number, b"%d" % number, b"%d" % number)
    assert await asyncio.gather(*fetching) == [[b"%d" % number] * 2 for number in range(PARTITIONS)]


async def test_cancelling_a_fetch_loses_nothing(world: World, member: Member) -> None:
    """Records that arrive while a fetch is cancelled come with the next one."""
    source, (partition, *_) = member[0], member[1].owned
    source.seek(partition, 0)
    values: list[bytes | None] = []
    for number in range(20):
        fetching = asyncio.create_task(source.fetch(partition, 10, 5))
        await world.produce(0, b"%d" % number)
        for _ in range(number):
            await asyncio.sleep(0)
        if not fetching.cancel():
            values += [record.value for record in fetching.result().records]
        await asyncio.wait({fetching})
    values += await read(source, partition, 20 - len(values))
    assert values == [b"%d" % number for number in range(20)]


async def test_a_second_member_takes_its_share(world: World, member: Member, join: Join) -> None:
    """A rebalance revokes everything first; what is committed then still counts, later commits do not."""
    source, lanes = member
    lanes.last_commits = dict.fromkeys(lanes.owned, 4)
    other, other_lanes = await join()
    await asyncio.gather(lanes.lose(), other_lanes.own(1, 2))
    assert lanes.revocations == [tuple(Partition(world.topic, number) for number in range(PARTITIONS))]
    moved, *_ = other_lanes.owned
    assert await other.group_offset(moved) == GroupOffset(4, ours=True)
    with pytest.raises(NotOwner):
        await source.commit(moved, 5)
    with pytest.raises(NotOwner):
        await source.fetch(moved, 10, 0)
    await other.commit(moved, 6)
    assert await source.group_offset(moved) == GroupOffset(6, ours=True)


async def test_a_partition_that_stays_has_to_be_sought_again(
    world: World, member: Member, join: Join
) -> None:
    """A fetch that began before a rebalance ends with it, and takes nothing from what comes after."""
    source, lanes = member
    for partition in lanes.owned:
        source.seek(partition, 0)
    waiting = {partition: asyncio.create_task(source.fetch(partition, 10, 15)) for partition in lanes.owned}
    await asyncio.sleep(0)
    await join()
    await lanes.lose()
    kept, *_ = await lanes.own(1, 2)
    with pytest.raises(NotOwner):
        await source.fetch(kept, 10, 0)
    source.seek(kept, 0)
    await world.produce(kept.number, b"a", b"b")
    with pytest.raises(NotOwner):
        await waiting.pop(kept)
    assert await read(source, kept, 2) == [b"a", b"b"]
    for task in waiting.values():
        task.cancel()
    await asyncio.gather(*waiting.values(), return_exceptions=True)


async def test_a_member_without_partitions_takes_over(world: World, join: Join) -> None:
    """A spare member waits as long as it must and takes what a member that stops leaves behind."""
    members = [await join() for _ in range(PARTITIONS)]
    await asyncio.gather(*(lanes.own(1) for _, lanes in members))
    _spare, spare_lanes = await join()
    await asyncio.sleep(0)
    await asyncio.gather(*(lanes.own(1) for _, lanes in members[1:]))
    for source, _ in members:
        await source.stop()
    assert len(await spare_lanes.own(PARTITIONS)) == PARTITIONS


async def test_after_stop_nothing_is_owned(member: Member) -> None:
    """A stopped source refuses, and stopping twice is harmless."""
    source, (partition, *_) = member[0], member[1].owned
    source.seek(partition, 0)
    await source.stop()
    await source.stop()
    source.seek(partition, 0)
    with pytest.raises(NotOwner):
        await source.commit(partition, 1)
    with pytest.raises(NotOwner):
        await source.fetch(partition, 1, 0)


async def test_a_stopped_source_can_start_again(world: World, member: Member) -> None:
    """The same object joins once more."""
    source, _ = member
    await source.stop()
    lanes = Lanes()
    await source.start(lanes)
    (partition, *_) = await lanes.own(PARTITIONS)
    await world.produce(0, b"a")
    source.seek(partition, 0)
    assert await read(source, partition, 1) == [b"a"]


async def test_the_monitor_sees_ends_and_partitions(world: World, member: Member) -> None:
    """All ends come in one answer; a topic that does not exist has no partitions."""
    source, partitions = member[0], member[1].owned
    await world.produce(1, b"a", b"b")
    await source.ping()
    assert await source.lag_ends(partitions) == dict(zip(partitions, (0, 2, 0), strict=True))
    assert await source.topic_partitions(world.topic) == partitions
    assert await source.topic_partitions("no-such-topic") == ()
