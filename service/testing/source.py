"""A Kafka that lives in memory, for tests: logs, one consumer group, rebalances and failures on demand.

`InMemoryKafka` is the broker, shared by the `InMemorySource`s of a test, which are the group's members. The
contract suite `tests/contracts/test_source.py` holds it to what the real source does. Joining and leaving
spread the partitions over the members, as Kafka does; a test that wants a certain assignment calls
`rebalance` itself.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Collection, Mapping
from contextlib import suppress

from service.core.errors import NotOwner, OffsetOutOfRange, Unavailable
from service.core.ports import AssignmentListener
from service.core.types import Batch, GroupOffset, LogRange, Partition, Record

Headers = tuple[tuple[str, bytes | None], ...]


class _Log:
    """The records of one partition; offsets without a record are what readers of committed ones skip."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.beginning = 0
        self.end = 0
        self._changed = asyncio.Event()

    def take(self, position: int, max_records: int) -> Batch:
        if not self.beginning <= position <= self.end:
            raise OffsetOutOfRange(f"{position} is outside of {self.beginning} to {self.end}")
        first = bisect_left(self.records, position, key=_offset)
        records = tuple(self.records[first : first + max_records])
        full = len(records) == max_records
        return Batch(records, records[-1].offset + 1 if full else self.end)

    def trim(self, beginning: int) -> None:
        self.records = self.records[bisect_left(self.records, beginning, key=_offset) :]
        self.beginning = beginning

    def wake(self) -> None:
        """Let everybody who waits look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self) -> None:
        await self._changed.wait()


class InMemoryKafka:
    """The broker's side: logs, the group's offsets, and which member owns what.

    `group_offsets` and `commits` (every accepted one, in order) are there to be looked at; `reachable =
    False` makes every question fail with `Unavailable`, as a broker that is away does, and fetches find
    nothing.
    """

    def __init__(self, topics: Mapping[str, int], *, cluster_id: str = "in-memory") -> None:
        """Create `topics`: name and number of partitions."""
        self.cluster_id = cluster_id
        self.reachable = True
        self.group_offsets: dict[Partition, GroupOffset] = {}
        self.commits: list[tuple[Partition, int]] = []
        self.members: list[InMemorySource] = []
        self._logs: dict[Partition, _Log] = {}
        self._owners: dict[Partition, InMemorySource] = {}
        self._failures: defaultdict[str, deque[Exception]] = defaultdict(deque)
        self._rebalancing = asyncio.Lock()
        for name, partitions in topics.items():
            self.create_topic(name, partitions)

    @property
    def partitions(self) -> tuple[Partition, ...]:
        return tuple(sorted(self._logs))

    def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic, or give it more partitions; members hear of it at the next rebalance."""
        for number in range(partitions):
            self._logs.setdefault(Partition(name, number), _Log())

    def append(
        self,
        partition: Partition,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Headers = (),
        timestamp_ms: int = 0,
        missing_bytes: int | None = None,
    ) -> int:
        """Add a record and return its offset; `missing_bytes` for one that is too large to be read."""
        log = self._logs[partition]
        offset = log.end
        log.records.append(
            Record(partition, offset, timestamp_ms, key, value, headers, self.cluster_id, missing_bytes)
        )
        log.end += 1
        log.wake()
        return offset

    def append_gap(self, partition: Partition, offsets: int = 1) -> None:
        """Add offsets without a record: transaction markers, aborted or compacted records."""
        log = self._logs[partition]
        log.end += offsets
        log.wake()

    def trim(self, partition: Partition, beginning: int) -> None:
        """Remove everything below `beginning`, as retention does."""
        self._logs[partition].trim(beginning)

    def log_range(self, partition: Partition) -> LogRange:
        log = self._logs[partition]
        return LogRange(log.beginning, log.end)

    def reset_group_offset(self, partition: Partition, offset: int | None) -> None:
        """Do as an operator: commit without our metadata, or (None) delete the offset."""
        if offset is None:
            self.group_offsets.pop(partition, None)
        else:
            self.group_offsets[partition] = GroupOffset(offset, ours=False)

    def fail(self, operation: str, *errors: Exception) -> None:
        """Let the next calls of one of `InMemorySource`'s methods, by name, raise `errors`, one each."""
        self._failures[operation].extend(errors)

    def expel(self, member: InMemorySource) -> None:
        """Drop a member without its hearing of it, as after a SIGSTOP: its commits are refused."""
        self.members = [other for other in self.members if other is not member]
        self._owners = {p: owner for p, owner in self._owners.items() if owner is not member}

    async def rebalance(
        self, assignment: Mapping[InMemorySource, Collection[Partition]] | None = None
    ) -> None:
        """Revoke everything from everybody, then assign; without `assignment`, partitions go round."""
        async with self._rebalancing:
            for member in tuple(self.members):
                await member.revoke()
            wanted = self._spread() if assignment is None else assignment
            self._owners = {partition: member for member, own in wanted.items() for partition in own}
            for member in tuple(self.members):
                await member.assign(wanted.get(member, ()))

    def _spread(self) -> dict[InMemorySource, list[Partition]]:
        spread: dict[InMemorySource, list[Partition]] = {member: [] for member in self.members}
        for index, partition in enumerate(self.partitions if spread else ()):
            spread[self.members[index % len(self.members)]].append(partition)
        return spread

    def answer(self, operation: str) -> None:
        """Raise what was injected for this operation, or that the broker is away."""
        if self._failures[operation]:
            raise self._failures[operation].popleft()
        if not self.reachable and operation != "fetch":
            raise Unavailable(f"{operation}: the broker is away", part="kafka")

    def accept_commit(self, member: InMemorySource, partition: Partition, offset: int) -> None:
        if self._owners.get(partition) is not member:
            raise NotOwner(f"{partition} is not assigned to this member")
        self.group_offsets[partition] = GroupOffset(offset, ours=True)
        self.commits.append((partition, offset))

    def log(self, partition: Partition) -> _Log:
        return self._logs[partition]


class _Tenure:
    """One assignment of one partition; its position counts once it is sought."""

    def __init__(self) -> None:
        self.sought = False
        self.position = 0


class InMemorySource:
    """A member of the group of an `InMemoryKafka`; `assign` and `revoke` belong to the broker."""

    def __init__(self, kafka: InMemoryKafka) -> None:
        self._kafka = kafka
        self._listener: AssignmentListener | None = None
        self._tenures: dict[Partition, _Tenure] = {}

    async def start(self, listener: AssignmentListener) -> None:
        """Join the group; partitions are spread anew before this returns."""
        self._kafka.answer("start")
        self._listener = listener
        self._kafka.members.append(self)
        await self._kafka.rebalance()

    async def stop(self) -> None:
        """Leave the group; the others get the partitions."""
        self._end_tenures()
        if self in self._kafka.members:
            self._kafka.expel(self)
            await self._kafka.rebalance()

    async def fetch(self, partition: Partition, max_records: int, wait_seconds: float) -> Batch:
        """Take the next records, waiting in real time (or the test loop's)."""
        self._kafka.answer("fetch")
        tenure = self._sought(partition)
        batch = self._take(partition, max_records)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_seconds):
                while not batch.records:
                    await self._kafka.log(partition).change()
                    if self._sought(partition) is not tenure:
                        raise NotOwner(f"{partition} was reassigned during a fetch")
                    batch = self._take(partition, max_records)
        return batch

    def seek(self, partition: Partition, offset: int) -> None:
        """Read on from `offset`; no effect on a partition that has left."""
        if partition in self._tenures:
            self._tenures[partition].sought = True
            self._tenures[partition].position = offset
            self._kafka.log(partition).wake()

    async def commit(self, partition: Partition, offset: int) -> None:
        """Commit with our metadata, as far as the broker takes us for the owner."""
        self._kafka.answer("commit")
        self._tenure(partition)
        self._kafka.accept_commit(self, partition, offset)

    async def group_offset(self, partition: Partition) -> GroupOffset | None:
        """The group's offset."""
        self._kafka.answer("group_offset")
        return self._kafka.group_offsets.get(partition)

    async def log_range(self, partition: Partition) -> LogRange:
        """The beginning and the end of the log."""
        self._kafka.answer("log_range")
        return self._kafka.log_range(partition)

    async def cluster_id(self) -> str:
        """The id that the broker was made with."""
        self._kafka.answer("cluster_id")
        return self._kafka.cluster_id

    async def lag_ends(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """The ends of `partitions`."""
        self._kafka.answer("lag_ends")
        return {partition: self._kafka.log_range(partition).end for partition in partitions}

    async def topic_partitions(self, topic: str) -> tuple[Partition, ...]:
        """The partitions of `topic`; none when it does not exist."""
        self._kafka.answer("topic_partitions")
        return tuple(partition for partition in self._kafka.partitions if partition.topic == topic)

    async def ping(self) -> None:
        """Raise `Unavailable` unless the broker is there and this is a member."""
        self._kafka.answer("ping")
        if self not in self._kafka.members:
            raise Unavailable("not a member of the group", part="kafka")

    async def assign(self, partitions: Collection[Partition]) -> None:
        """Called by the broker: these are ours, silent until they are sought."""
        self._tenures = {partition: _Tenure() for partition in partitions}
        if partitions and self._listener is not None:
            await self._listener.on_assigned(partitions)

    async def revoke(self) -> None:
        """Called by the broker before it assigns anew; the listener may still commit."""
        if self._tenures and self._listener is not None:
            await self._listener.on_revoked(tuple(self._tenures))
        self._end_tenures()

    def _end_tenures(self) -> None:
        ended, self._tenures = self._tenures, {}
        for partition in ended:
            self._kafka.log(partition).wake()

    def _take(self, partition: Partition, max_records: int) -> Batch:
        tenure = self._sought(partition)
        if not self._kafka.reachable:
            return Batch((), tenure.position)
        batch = self._kafka.log(partition).take(tenure.position, max_records)
        tenure.position = batch.end
        return batch

    def _sought(self, partition: Partition) -> _Tenure:
        tenure = self._tenure(partition)
        if not tenure.sought:
            raise NotOwner(f"{partition} was assigned anew and not sought yet")
        return tenure

    def _tenure(self, partition: Partition) -> _Tenure:
        if partition not in self._tenures:
            raise NotOwner(f"{partition} is not assigned to this member")
        return self._tenures[partition]


def _offset(record: Record) -> int:
    return record.offset
