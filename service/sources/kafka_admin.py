"""Questions to Kafka that need no membership: group offsets, log ranges, the cluster, the group's members.

`KafkaSource` answers its lanes and the monitor from here, the command line uses it alone. One connection
for all callers, made when it is first needed and made anew after a failure; every call ends within its
deadline. It reads no records and owns no partition.

aiokafka's own admin client can neither list offsets nor commit, so this speaks the protocol through
`KafkaClient`, which brings connections, versions and security.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import TypeVar

from aiokafka import errors as kafka_errors
from aiokafka.protocol.admin import DescribeGroupsRequest
from aiokafka.protocol.api import Response
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.structs import TopicPartition

from service.core.errors import Unavailable
from service.core.types import GroupOffset, LogRange, Partition
from service.sources.kafka_client import KafkaClient
from service.sources.kafka_closing import finishes
from service.sources.kafka_errors import answered
from service.sources.kafka_options import KafkaOptions, connection_settings

METADATA = "upsertd"
"""What tells a commit of ours from an operator's reset."""

READ_COMMITTED = 1
_EARLIEST, _LATEST = -2, -1
_NO_OFFSET = -1
_GROUP_COORDINATOR = 0
_NO_GENERATION, _NO_MEMBER, _BROKERS_RETENTION = -1, "", -1

_RETRY_SECONDS = 0.2
_COORDINATOR_ERRORS = (
    kafka_errors.GroupCoordinatorNotAvailableError,
    kafka_errors.GroupLoadInProgressError,
)
_CLOSE_SECONDS = 2

Answer = TypeVar("Answer")


class KafkaAdmin:
    """Asks Kafka about one group and its topics; every call raises `Unavailable` after `deadline_seconds`."""

    def __init__(self, options: KafkaOptions, *, deadline_seconds: float = 8) -> None:
        self._group_id = options.group_id
        self._topics = options.topics
        self._settings = connection_settings(options)
        self._deadline_seconds = deadline_seconds
        self._client: KafkaClient | None = None
        self._connecting = asyncio.Lock()
        self._closing: set[asyncio.Task[bool]] = set()

    async def close(self) -> None:
        """Close the connection; never raises. A later question makes a new one."""
        self._drop(self._client)
        if self._closing:
            await asyncio.wait(self._closing)

    async def ping(self) -> None:
        """Raise `Unavailable` unless a broker answers."""
        await self.cluster_id()

    async def cluster_id(self) -> str:
        """The id of the cluster; empty where the broker has none."""

        async def question(client: KafkaClient) -> str:
            return str((await _metadata(client, ())).cluster_id or "")

        return await self._ask("cluster id", question)

    async def topic_partitions(self, topic: str) -> tuple[Partition, ...]:
        """The partitions of `topic` in order; none when it does not exist."""

        async def question(client: KafkaClient) -> tuple[Partition, ...]:
            await _metadata(client, (topic,))
            numbers = client.cluster.partitions_for_topic(topic) or ()
            return tuple(Partition(topic, number) for number in sorted(numbers))

        return await self._ask(f"partitions of {topic}", question)

    async def group_offset(self, partition: Partition) -> GroupOffset | None:
        """The group's offset of one partition, None when there is none."""
        return (await self.group_offsets((partition,))).get(partition)

    async def group_offsets(self, partitions: Collection[Partition]) -> dict[Partition, GroupOffset]:
        """The group's offsets; partitions without one are left out."""

        async def question(client: KafkaClient) -> dict[Partition, GroupOffset]:
            request = OffsetFetchRequest(self._group_id, _by_topic({p: p.number for p in partitions}))
            response = await client.send(await self._coordinator(client), request)
            _raise_for(response.error_code)
            return _group_offsets(response)

        return await self._ask("group offsets", question)

    async def log_range(self, partition: Partition) -> LogRange:
        """The offsets that readers of committed records can reach."""
        ranges = await self.log_ranges((partition,))
        if partition not in ranges:
            raise Unavailable(f"log range of {partition}: no such partition, or no leader", part="kafka")
        return ranges[partition]

    async def log_ranges(self, partitions: Collection[Partition]) -> dict[Partition, LogRange]:
        """Log ranges in one go; partitions that have no leader now are left out."""

        async def question(client: KafkaClient) -> dict[Partition, LogRange]:
            first = await _list_offsets(client, partitions, _EARLIEST)
            ends = await _list_offsets(client, partitions, _LATEST)
            return {p: LogRange(first[p], ends[p]) for p in partitions if p in first and p in ends}

        return await self._ask("log ranges", question)

    async def ends(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """The ends alone, for lag; partitions that have no leader now are left out."""

        async def question(client: KafkaClient) -> dict[Partition, int]:
            return await _list_offsets(client, partitions, _LATEST)

        return await self._ask("log ends", question)

    async def member_count(self) -> int:
        """How many members the group has; 0 also for a group that Kafka does not know."""

        async def question(client: KafkaClient) -> int:
            response = await client.send(
                await self._coordinator(client), DescribeGroupsRequest([self._group_id])
            )
            error_code, _group, _state, _type, _protocol, members, *_ = response.groups[0]
            _raise_for(error_code)
            return len(members)

        return await self._ask("group members", question)

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit offsets of a stopped group with our metadata.

        The broker refuses it while the group has members, whatever was asked before: `NotOwner`.
        """

        async def question(client: KafkaClient) -> None:
            commits = {p: (p.number, offset, METADATA) for p, offset in offsets.items()}
            request = OffsetCommitRequest(
                self._group_id, _NO_GENERATION, _NO_MEMBER, _BROKERS_RETENTION, _by_topic(commits)
            )
            response = await client.send(await self._coordinator(client), request)
            for _topic, partitions in response.topics:
                for _number, error_code in partitions:
                    _raise_for(error_code)

        await self._ask("commit for a stopped group", question)

    async def _ask(self, what: str, question: Callable[[KafkaClient], Awaitable[Answer]]) -> Answer:
        try:
            async with answered(what, self._deadline_seconds):
                return await self._ask_until_answered(question)
        except (Unavailable, asyncio.CancelledError):
            # Who asked may have lost patience before we did: on this connection it would be the same again.
            self._drop(self._client)
            raise

    async def _ask_until_answered(self, question: Callable[[KafkaClient], Awaitable[Answer]]) -> Answer:
        while True:
            client = None
            try:
                client = await self._connected()
                return await question(client)
            except kafka_errors.KafkaError as error:
                if not error.retriable:
                    raise
                # A new connection starts from the bootstrap servers and finds brokers that moved. It is not
                # for a group whose coordinator is not up yet: others are asking over this one.
                if not isinstance(error, _COORDINATOR_ERRORS):
                    self._drop(client)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _connected(self) -> KafkaClient:
        async with self._connecting:
            if self._client is None:
                client = KafkaClient(self._settings)
                try:
                    await client.bootstrap()
                    # Without topics its refresh would ask for all topics of the cluster. Waited for, because
                    # a client that is closed while it refreshes leaves a connection behind.
                    await client.set_topics(self._topics)
                except BaseException:
                    self._close(client)
                    raise
                self._client = client
            return self._client

    def _drop(self, client: KafkaClient | None) -> None:
        if client is not None and client is self._client:
            self._client = None
            self._close(client)

    def _close(self, client: KafkaClient) -> None:
        closing = asyncio.create_task(finishes(client.close(), _CLOSE_SECONDS))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _coordinator(self, client: KafkaClient) -> int:
        request = FindCoordinatorRequest(self._group_id, _GROUP_COORDINATOR)
        response = await client.send(client.get_random_node(), request)
        _raise_for(response.error_code)
        return int(response.coordinator_id)


async def _metadata(client: KafkaClient, topics: Iterable[str]) -> Response:
    """Fresh metadata of `topics` (none: the brokers alone), also kept in the client's cluster."""
    request = MetadataRequest(list(topics), allow_auto_topic_creation=False)
    response = await client.send(client.get_random_node(), request)
    client.cluster.update_metadata(response)
    return response


async def _list_offsets(
    client: KafkaClient, partitions: Collection[Partition], which: int
) -> dict[Partition, int]:
    await _metadata(client, {partition.topic for partition in partitions})
    by_leader: dict[int, dict[Partition, tuple[int, int]]] = defaultdict(dict)
    for partition in partitions:
        leader = client.cluster.leader_for_partition(TopicPartition(partition.topic, partition.number))
        if leader is not None and leader >= 0:
            by_leader[leader][partition] = (partition.number, which)
    requests = {
        leader: OffsetRequest(-1, READ_COMMITTED, _by_topic(asked)) for leader, asked in by_leader.items()
    }
    responses = await asyncio.gather(*(client.send(leader, request) for leader, request in requests.items()))
    return {partition: offset for response in responses for partition, offset in _offsets(response)}


def _offsets(response: Response) -> Iterable[tuple[Partition, int]]:
    for topic, partitions in response.topics:
        for number, error_code, _timestamp, offset in partitions:
            _raise_for(error_code)
            yield Partition(topic, number), offset


def _group_offsets(response: Response) -> dict[Partition, GroupOffset]:
    found: dict[Partition, GroupOffset] = {}
    for topic, partitions in response.topics:
        for number, offset, metadata, error_code in partitions:
            _raise_for(error_code)
            if offset != _NO_OFFSET:
                found[Partition(topic, number)] = GroupOffset(offset, ours=metadata == METADATA)
    return found


def _by_topic(items: Mapping[Partition, Answer]) -> list[tuple[str, list[Answer]]]:
    """The nesting that Kafka's requests have: items of one topic together."""
    topics: dict[str, list[Answer]] = defaultdict(list)
    for partition, item in items.items():
        topics[partition.topic].append(item)
    return list(topics.items())


def _raise_for(error_code: int) -> None:
    error = kafka_errors.for_code(error_code)
    if error is not kafka_errors.NoError:
        raise error()
