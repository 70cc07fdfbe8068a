"""The reader of a replay on a real broker: whatever a member of the group sees, and no trace in the group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from service.core.errors import OffsetOutOfRange, Unavailable
from service.core.types import Batch, Partition, Record
from service.sources import kafka_range
from service.sources.kafka_admin import KafkaAdmin
from service.sources.kafka_options import KafkaOptions
from service.sources.kafka_range import KafkaRange
from service.sources.kafka_tolerant import Taken
from tests.contracts.source_worlds import KafkaWorld, Lanes
from tests.integration.test_kafka_source import fetch_some, produce_odd_names
from tests.servers.kafka import Kafka
from tests.servers.ports import free_port

WAIT_SECONDS = 1.0


@pytest.fixture
def world(kafka: Kafka) -> KafkaWorld:
    """A topic with two partitions, and a group."""
    return KafkaWorld(kafka, partitions=2)


@pytest.fixture
async def reader(world: KafkaWorld) -> AsyncIterator[KafkaRange]:
    """A reader of the topic; no task may be left when it is closed."""
    reader = KafkaRange(world.options(), world.topic, "cluster", deadline_seconds=5)
    yield reader
    await reader.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def read(reader: KafkaRange, partition: Partition, first: int, end: int) -> list[Record]:
    """The records from `first` to `end`, which the position must come to."""
    records: list[Record] = []
    async with asyncio.timeout(20):
        while first < end:
            batch = await reader.fetch(partition, first, 100, WAIT_SECONDS)
            records += batch.records
            first = batch.end
    assert first == end
    return records


def values(records: list[Record]) -> list[bytes | None]:
    return [record.value for record in records]


async def test_it_reads_from_any_offset_of_any_partition(world: KafkaWorld, reader: KafkaRange) -> None:
    """Forth and back, and from one partition to the other."""
    first, second = Partition(world.topic, 0), Partition(world.topic, 1)
    await world.produce(0, b"a", b"b", b"c")
    await world.produce(1, b"x", b"y")
    assert values(await read(reader, first, 1, 3)) == [b"b", b"c"]
    assert values(await read(reader, second, 0, 2)) == [b"x", b"y"]
    assert values(await read(reader, first, 0, 3)) == [b"a", b"b", b"c"]


async def test_a_batch_has_no_more_records_than_asked_for(world: KafkaWorld, reader: KafkaRange) -> None:
    """And the next one goes on behind it."""
    await world.produce(0, b"a", b"b", b"c")
    batch = await reader.fetch(Partition(world.topic, 0), 0, 2, WAIT_SECONDS)
    assert ([record.value for record in batch.records], batch.end) == ([b"a", b"b"], 2)


async def test_records_are_those_that_a_member_of_the_group_sees(
    world: KafkaWorld, reader: KafkaRange
) -> None:
    """Derived event ids and dead letters depend on every part of them."""
    await world.produce(
        0, b"v", key=b"k", headers=(("h", b"\xff"), ("h", None)), timestamp_ms=1_700_000_000_000
    )
    await world.produce(0, None, key=b"k")
    source, lanes = world.source(), Lanes()
    await source.start(lanes)
    await lanes.own(2)
    partition = Partition(world.topic, 0)
    source.seek(partition, 0)
    seen = list((await fetch_some(source, partition)).records)
    same_cluster = KafkaRange(world.options(), world.topic, await source.cluster_id())
    await source.stop()
    assert (await read(same_cluster, partition, 0, 2))[: len(seen)] == seen
    await same_cluster.close()


async def test_it_leaves_no_trace_in_the_group(world: KafkaWorld, reader: KafkaRange) -> None:
    """No member, no offset."""
    partition = Partition(world.topic, 0)
    await world.produce(0, b"a")
    await read(reader, partition, 0, 1)
    admin = KafkaAdmin(world.options())
    assert (await admin.member_count(), await admin.group_offset(partition)) == (0, None)
    await admin.close()


async def test_only_what_was_committed_is_read(world: KafkaWorld, reader: KafkaRange) -> None:
    """Aborted records and markers are walked over, at the end of the log too."""
    await world.abort_transaction(0, b"never")
    await world.commit_transaction(0, b"a")
    await world.abort_transaction(0, b"never")
    assert values(await read(reader, Partition(world.topic, 0), 0, 6)) == [b"a"]


async def test_odd_header_names_do_not_stop_it(world: KafkaWorld, reader: KafkaRange) -> None:
    """Their bytes come through escaped, as in a lane."""
    await produce_odd_names(world)
    records = await read(reader, Partition(world.topic, 0), 0, 3)
    assert records[1].headers == (("x\\xff", b"\xfe"), ("y", None))


async def test_a_record_larger_than_a_fetch_comes_whole(
    world: KafkaWorld, reader: KafkaRange, kafka: Kafka
) -> None:
    """The bound on a fetch is for memory."""
    name = f"{world.topic}-large"
    kafka.create_topic(name, 1, max_message_bytes=4_000_000)
    async with AIOKafkaProducer(bootstrap_servers=world.bootstrap, max_request_size=4_000_000) as producer:
        await producer.send_and_wait(name, bytes(3_000_000))
    large = KafkaRange(world.options(), name, "cluster")
    (record,) = await read(large, Partition(name, 0), 0, 1)
    assert record.value == bytes(3_000_000)
    await large.close()


async def test_a_time_becomes_an_offset(world: KafkaWorld, reader: KafkaRange) -> None:
    """Of the first record that is no older; a partition without one is left out."""
    first, second = Partition(world.topic, 0), Partition(world.topic, 1)
    for timestamp_ms in (1_000, 3_000, 2_000, 5_000):
        await world.produce(0, b"v", timestamp_ms=timestamp_ms)
    await world.produce(1, b"v", timestamp_ms=1_500)
    both = (first, second)
    assert await reader.offsets_at(both, 1_000) == {first: 0, second: 0}
    assert await reader.offsets_at(both, 1_501) == {first: 1}
    assert await reader.offsets_at(both, 3_001) == {first: 3}
    assert await reader.offsets_at(both, 5_001) == {}
    assert await reader.offsets_at(both, -5) == {first: 0, second: 0}


async def test_records_that_are_gone_are_not_skipped(world: KafkaWorld, reader: KafkaRange) -> None:
    """A trimmed log is an error, at once."""
    await world.produce(0, b"a", b"b", b"c")
    await world.trim(0, 2)
    with pytest.raises(OffsetOutOfRange):
        await reader.fetch(Partition(world.topic, 0), 1, 100, WAIT_SECONDS)
    assert values(await read(reader, Partition(world.topic, 0), 2, 3)) == [b"c"]


async def test_the_end_of_the_log_is_an_empty_batch(world: KafkaWorld, reader: KafkaRange) -> None:
    """Nothing was written there yet."""
    await world.produce(0, b"a")
    assert await reader.fetch(Partition(world.topic, 0), 1, 100, 0.1) == Batch((), 1)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(lambda offset: Taken([], offset), 2, id="nothing-up-to-the-end"),
        pytest.param(lambda offset: Taken([], offset + 1), 1, id="aborted-records-as-far-as-it-goes"),
        pytest.param(lambda offset: Taken([object()], offset + 1), 0, id="records-that-are-late"),
    ],
)
async def test_a_compacted_end_is_walked_over(
    world: KafkaWorld,
    reader: KafkaRange,
    monkeypatch: pytest.MonkeyPatch,
    answer: object,
    expected: int,
) -> None:
    """Where the leader has nothing more the log's end is next; where aiokafka is slow, nothing is skipped."""

    async def take_nothing(*_: object) -> Batch:
        return Batch((), 0)

    async def look(_consumer: AIOKafkaConsumer, _tp: TopicPartition, offset: int, *_: object) -> Taken:
        return answer(offset)  # type: ignore[operator, no-any-return]  # one of the above

    await world.produce(0, b"a", b"b")
    monkeypatch.setattr(kafka_range, "take", take_nothing)
    monkeypatch.setattr(kafka_range, "take_tolerantly", look)
    assert await reader.fetch(Partition(world.topic, 0), 0, 100, 0.1) == Batch((), expected)


async def test_a_broker_that_is_not_there_is_unavailable(world: KafkaWorld) -> None:
    """Every question says so in time, and leaves nothing behind."""
    before = asyncio.all_tasks()
    nowhere = KafkaOptions(f"127.0.0.1:{free_port()}", world.group, (world.topic,))
    reader = KafkaRange(nowhere, world.topic, "cluster", deadline_seconds=0.5)
    partition = Partition(world.topic, 0)
    for question in (reader.fetch(partition, 0, 1, 0.1), reader.offsets_at([partition], 0)):
        with pytest.raises(Unavailable):
            await question
    await reader.close()
    assert asyncio.all_tasks() == before


@pytest.fixture
def own_kafka(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kafka]:
    """A broker that a test may stop."""
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    with Kafka() as kafka:
        yield kafka


async def test_a_broker_that_falls_silent_is_unavailable(own_kafka: Kafka) -> None:
    """No empty batch: nobody could tell it from an end. It reads on when the broker is back."""
    world = KafkaWorld(own_kafka, partitions=1)
    await world.produce(0, b"a", b"b")
    reader = KafkaRange(world.options(), world.topic, "cluster", deadline_seconds=2)
    partition = Partition(world.topic, 0)
    assert (await reader.fetch(partition, 0, 1, WAIT_SECONDS)).end == 1
    await reader.fetch(partition, 1, 1, WAIT_SECONDS)
    own_kafka.suspend()
    with pytest.raises(Unavailable):
        await reader.fetch(partition, 2, 1, 0.2)
    own_kafka.resume()
    await world.produce(0, b"c")
    assert values(await read(reader, partition, 2, 3)) == [b"c"]
    await reader.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
