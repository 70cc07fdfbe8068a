"""What only a real broker shows: compression, odd bytes, outages, expulsion, members that hang."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import GroupAuthorizationFailedError, RecordTooLargeError
from aiokafka.protocol.group import LeaveGroupRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from service.core.errors import NotOwner, Unavailable
from service.core.types import Batch, GroupOffset, LogRange, Partition
from service.sources.kafka import KafkaOptions, KafkaSource
from service.sources.kafka_admin import KafkaAdmin
from tests.contracts.source_worlds import KafkaWorld, Lanes, position_at, read
from tests.servers.kafka import Kafka
from tests.servers.ports import free_port

Member = tuple[KafkaSource, Lanes]
Join = Callable[..., Awaitable[Member]]

ALL_ACKS = -1


def consumer_of(source: KafkaSource) -> AIOKafkaConsumer:
    """aiokafka's part of a source that has started, for breaking it."""
    assert source._consumer is not None
    return source._consumer


@pytest.fixture
def world(kafka: Kafka) -> KafkaWorld:
    """A topic with one partition, and a group."""
    return KafkaWorld(kafka, partitions=1)


@pytest.fixture
async def join() -> AsyncIterator[Join]:
    """Starts a source with lanes, and stops it in the end; no task may be left then."""
    sources: list[KafkaSource] = []

    async def new_member(source: KafkaSource) -> Member:
        lanes = Lanes()
        lanes.source = source
        sources.append(source)
        await source.start(lanes)
        return source, lanes

    yield new_member
    for source in sources:
        await source.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture
async def admin(world: KafkaWorld) -> AsyncIterator[KafkaAdmin]:
    """What the command line asks with."""
    admin = KafkaAdmin(world.options(), deadline_seconds=5)
    yield admin
    await admin.close()


async def reading(world: KafkaWorld, join: Join) -> tuple[KafkaSource, Partition]:
    """A source that reads the world's one partition from the beginning."""
    source, lanes = await join(world.source())
    (partition,) = await lanes.own(1)
    source.seek(partition, 0)
    return source, partition


async def fetch_some(source: KafkaSource, partition: Partition) -> Batch:
    """The first batch that holds records."""
    async with asyncio.timeout(10):
        while not (batch := await source.fetch(partition, 100, 1)).records:
            pass
    return batch


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_every_compression_is_read(world: KafkaWorld, join: Join, compression: str) -> None:
    """Producers choose; none needs anything that is not installed."""
    await world.produce(0, b"a" * 1000, b"", None, key=b"k", compression=compression)
    assert await read(*await reading(world, join), 3) == [b"a" * 1000, b"", None]


async def test_a_record_larger_than_a_fetch_comes_whole(world: KafkaWorld, kafka: Kafka, join: Join) -> None:
    """The bound on a fetch is for memory: one record above it is handed over all the same."""
    kafka.create_topic(f"{world.topic}-large", 1, max_message_bytes=4_000_000)
    world.topic += "-large"
    value = bytes(3_000_000)
    async with AIOKafkaProducer(bootstrap_servers=world.bootstrap, max_request_size=4_000_000) as producer:
        await producer.send_and_wait(world.topic, value)
        await producer.send_and_wait(world.topic, b"next")
    assert await read(*await reading(world, join), 2) == [value, b"next"]


async def test_a_record_that_is_refused_as_too_large_is_not_skipped(world: KafkaWorld, join: Join) -> None:
    """aiokafka raises once and moves on: the coordinates come as a record without bytes."""
    source, partition = await reading(world, join)
    consumer = consumer_of(source)
    # Brokers of today do not send what makes aiokafka do this, so the fetcher's own steps are played here.
    tp = TopicPartition(world.topic, 0)
    consumer._fetcher._set_error(tp, RecordTooLargeError("%s=%s %s", tp, 0, 1024))
    consumer._subscription._assigned_state(tp).consumed_to(1)
    batch = await source.fetch(partition, 10, 1)
    assert [(r.offset, r.value, r.missing_bytes) for r in batch.records] == [(0, None, 1024)]
    assert batch.end == 1


class OddName(str):
    """A header's name whose bytes are not UTF-8, as producers in C may send it."""

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return self[:-1].encode(encoding, errors) + b"\xff"


async def produce_odd_names(world: KafkaWorld) -> None:
    """One batch of three records; the one in the middle has the odd name."""
    builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, -1, 100_000)
    builder.append(0, 1, b"k", b"a", [])
    builder.append(1, 2, b"k", b"b", [(OddName("x?"), b"\xfe"), ("y", None)])
    builder.append(2, 3, None, None, [("z", b"")])
    client = AIOKafkaClient(bootstrap_servers=world.bootstrap)
    await client.bootstrap()
    batch = bytes(builder.build())
    response = await client.send(
        client.get_random_node(), ProduceRequest(None, ALL_ACKS, 5000, [(world.topic, [(0, batch)])])
    )
    await client.close()
    assert response.topics[0][1][0][1] == 0


async def test_a_header_name_that_is_not_utf8_does_not_stop_the_partition(
    world: KafkaWorld, join: Join
) -> None:
    """All bytes come through, the odd name escaped, and reading goes on behind it."""
    await world.abort_transaction(0, b"never seen")
    await produce_odd_names(world)
    await world.produce(0, b"d")
    source, partition = await reading(world, join)
    batches = [await fetch_some(source, partition)]
    while batches[-1].records[-1].value != b"d":
        batches.append(await fetch_some(source, partition))
    records = [record for batch in batches for record in batch.records]
    assert [(r.offset, r.key, r.value, r.timestamp_ms) for r in records[:3]] == [
        (2, b"k", b"a", 1),
        (3, b"k", b"b", 2),
        (4, None, None, 3),
    ]
    assert [r.headers for r in records[:3]] == [(), (("x\\xff", b"\xfe"), ("y", None)), (("z", b""),)]
    assert batches[-1].end == 6


async def test_odd_names_respect_the_size_of_a_batch(world: KafkaWorld, join: Join) -> None:
    """Batches of one record walk through the odd batch as well."""
    await produce_odd_names(world)
    source, partition = await reading(world, join)
    ends = [(await source.fetch(partition, 1, 5)).end for _ in range(3)]
    assert ends == [1, 2, 3]


async def test_the_end_is_what_readers_of_committed_records_reach(world: KafkaWorld, join: Join) -> None:
    """An open transaction holds the end back, so that it does not look like lag of ours."""
    source, partition = await reading(world, join)
    await world.produce(0, b"a")
    async with AIOKafkaProducer(bootstrap_servers=world.bootstrap, transactional_id=world.topic) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(world.topic, b"b", partition=0)
        assert await source.log_range(partition) == LogRange(0, 1)
        assert await source.lag_ends([partition]) == {partition: 1}
        await producer.commit_transaction()
    assert await read(source, partition, 2) == [b"a", b"b"]
    await position_at(source, partition, 3)
    assert await source.log_range(partition) == LogRange(0, 3)


async def test_a_topic_that_comes_later_is_picked_up(world: KafkaWorld, kafka: Kafka, join: Join) -> None:
    """A service may be started before its topics are, and goes on reading the others."""
    existing, later = world.topic, f"{world.topic}-later"
    options = world.options()
    source = KafkaSource(
        KafkaOptions(
            options.bootstrap_servers, options.group_id, (existing, later), metadata_max_age_seconds=1
        )
    )
    _, lanes = await join(source)
    await lanes.own(1)
    kafka.create_topic(later, 2)
    assert {partition.topic for partition in await lanes.own(3)} == {existing, later}


async def test_added_partitions_are_picked_up(world: KafkaWorld, kafka: Kafka, join: Join) -> None:
    """A topic that grows needs no restart."""
    _, lanes = await join(world.source())
    await lanes.own(1)
    kafka.add_partitions(world.topic, 3)
    await lanes.own(3)


async def test_an_expelled_member_is_not_owner(world: KafkaWorld, join: Join) -> None:
    """While aiokafka still shows its old assignment, Kafka's word on a commit counts."""
    source, partition = await reading(world, join)
    coordinator = consumer_of(source)._coordinator
    client = consumer_of(source)._client
    await client.send(coordinator.coordinator_id, LeaveGroupRequest(world.group, coordinator.member_id))
    with pytest.raises(NotOwner):
        await source.commit(partition, 1)
    assert await source.group_offset(partition) is None


async def test_a_member_that_the_group_dropped_commits_nothing(world: KafkaWorld, join: Join) -> None:
    """Without a generation aiokafka's commit would be anybody's, and an empty group takes it."""
    source, partition = await reading(world, join)
    coordinator = consumer_of(source)._coordinator
    client = consumer_of(source)._client
    await client.send(coordinator.coordinator_id, LeaveGroupRequest(world.group, coordinator.member_id))
    coordinator.reset_generation()
    with pytest.raises(NotOwner):
        await source.commit(partition, 1)
    assert await source.group_offset(partition) is None


@pytest.mark.parametrize("dies", ["fetching", "membership"])
async def test_a_consumer_that_broke_down_joins_anew(world: KafkaWorld, join: Join, dies: str) -> None:
    """aiokafka never restarts its tasks: the source does, and lanes hear of it as of a rebalance."""
    source, lanes = await join(world.source())
    (partition,) = await lanes.own(1)
    consumer = consumer_of(source)
    task = consumer._fetcher._fetch_task if dies == "fetching" else consumer._coordinator._coordination_task
    task.cancel()
    await lanes.lose()
    await lanes.own(1)
    await world.produce(0, b"a")
    source.seek(partition, 0)
    assert await read(source, partition, 1) == [b"a"]


async def test_trouble_of_the_membership_shows_in_ping(world: KafkaWorld, join: Join) -> None:
    """A member without partitions hears of it as well: the keeper polls, and tells until it is over."""
    source, lanes = await join(world.source())
    await lanes.own(1)
    consumer_of(source)._coordinator._pending_exception = GroupAuthorizationFailedError(world.group)
    async with asyncio.timeout(5):
        assert "GroupAuthorizationFailedError" in await next_trouble(source)
        while await trouble_of(source):  # noqa: ASYNC110 -- asking is what a monitor does
            await asyncio.sleep(0.05)


async def next_trouble(source: KafkaSource) -> str:
    """Ask as the monitor does, until it hears of something."""
    while not (trouble := await trouble_of(source)):  # noqa: ASYNC110 -- as above
        await asyncio.sleep(0.05)
    return trouble


async def trouble_of(source: KafkaSource) -> str:
    """What a ping says, empty when all is well."""
    try:
        await source.ping()
    except Unavailable as error:
        return str(error)
    return ""


async def test_offsets_of_a_stopped_group_can_be_committed(world: KafkaWorld, admin: KafkaAdmin) -> None:
    """The command line moves a group that nobody is in, and such an offset is ours."""
    partition = Partition(world.topic, 0)
    assert await admin.member_count() == 0
    await admin.commit({partition: 3})
    assert await admin.group_offsets([partition]) == {partition: GroupOffset(3, ours=True)}
    assert await admin.log_ranges([partition]) == {partition: LogRange(0, 0)}


async def test_offsets_of_a_running_group_are_left_alone(
    world: KafkaWorld, join: Join, admin: KafkaAdmin
) -> None:
    """The broker itself refuses, so that a service that starts meanwhile is safe."""
    _, partition = await reading(world, join)
    assert await admin.member_count() == 1
    with pytest.raises(NotOwner):
        await admin.commit({partition: 3})
    assert await admin.group_offset(partition) is None


async def test_questions_about_a_partition_that_is_not_there(world: KafkaWorld, admin: KafkaAdmin) -> None:
    """One range that cannot be told is `Unavailable`; among many it is left out."""
    missing, there = Partition("no-such-topic", 0), Partition(world.topic, 0)
    with pytest.raises(Unavailable):
        await admin.log_range(missing)
    assert await admin.ends([missing, there]) == {there: 0}


class Slow(Lanes):
    """Lanes that need their time to drain."""

    async def on_revoked(self, partitions: Collection[Partition]) -> None:
        self.revocations.append(tuple(partitions))
        self._tell()
        await asyncio.sleep(6)


async def test_a_member_that_waits_for_the_group_stops_at_once(world: KafkaWorld, join: Join) -> None:
    """Stopping in the middle of a rebalance neither waits for its end nor leaves a ghost in the group."""
    first, slow = world.source(), Slow()
    await first.start(slow)
    await slow.own(1)
    second, _ = await join(world.source())
    await slow.lose()
    began = time.monotonic()
    await second.stop()
    assert time.monotonic() - began < 5
    assert await first._admin.member_count() == 1
    await first.stop()


async def test_a_broker_that_is_not_there_is_unavailable(world: KafkaWorld) -> None:
    """A start that failed leaves nothing behind and can be tried again."""
    before = asyncio.all_tasks()
    nowhere = KafkaOptions(f"127.0.0.1:{free_port()}", world.group, (world.topic,))
    source = KafkaSource(nowhere, deadline_seconds=0.5)
    for _ in range(2):
        with pytest.raises(Unavailable) as caught:
            await source.start(Lanes())
        assert caught.value.part == "kafka"
    await source.stop()
    assert asyncio.all_tasks() == before


async def test_a_broker_that_never_answers_is_unavailable(world: KafkaWorld) -> None:
    """A black hole costs the deadline, no more."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    source = KafkaSource(KafkaOptions(f"127.0.0.1:{port}", world.group, (world.topic,)), deadline_seconds=0.5)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        await source.start(Lanes())
    assert time.monotonic() - began < 3
    server.close()
    await server.wait_closed()


@pytest.fixture
def own_kafka(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kafka]:
    """A broker that a test may kill."""
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    with Kafka() as kafka:
        yield kafka


async def test_an_outage_is_survived(own_kafka: Kafka, join: Join) -> None:
    """Every question ends within its deadline, reading goes on afterwards, and stopping never hangs."""
    world = KafkaWorld(own_kafka, partitions=1)
    await world.produce(0, b"a")
    source, lanes = await join(KafkaSource(world.options(), deadline_seconds=2))
    (partition,) = await lanes.own(1)
    source.seek(partition, 0)
    assert await read(source, partition, 1) == [b"a"]

    await asyncio.to_thread(own_kafka.kill)
    began = time.monotonic()
    assert await source.fetch(partition, 10, 0.2) == Batch((), 1)
    questions = (source.commit(partition, 1), source.group_offset(partition), source.ping())
    answers = await asyncio.gather(*questions, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable] * 3
    assert time.monotonic() - began < 7

    await asyncio.to_thread(own_kafka.start)
    await world.produce(0, b"b")
    await read_and_commit(source, lanes, 1)
    assert await source.group_offset(partition) == GroupOffset(2, ours=True)

    await asyncio.to_thread(own_kafka.kill)
    began = time.monotonic()
    await source.stop()
    assert time.monotonic() - began < 10


async def read_and_commit(source: KafkaSource, lanes: Lanes, offset: int) -> None:
    """Read the record at `offset` and commit it, as often as the group wants the partition back."""
    async with asyncio.timeout(30):
        while True:
            (partition,) = await lanes.own(1)
            source.seek(partition, offset)
            try:
                assert await read(source, partition, 1) == [b"b"]
                await source.commit(partition, offset + 1)
            except NotOwner:
                await asyncio.sleep(0.1)
            else:
                return
