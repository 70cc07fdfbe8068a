"""Kafka's side of a history: the logs, the group's offsets, and a coordinator that shares partitions out.

A rebalance is eager, as aiokafka's is: every member hears of it, gives everything back and joins again; who
has not joined when the time is up is dropped. A member that does not answer is dropped after the session
timeout, and hears of it when it asks the next time. `source` is the member's side.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Callable
from typing import Any, Protocol

from service.core.errors import NotOwner, OffsetOutOfRange
from service.core.types import Batch, GroupOffset, LogRange, Partition, Record, StoredPosition
from tests.faults.simulation.journal import Journal
from tests.faults.simulation.judge import Judge
from tests.faults.simulation.loop import SimulatedLoop

CLUSTER = "cluster"
REBALANCE_SECONDS = 15.0
# A member hears of a rebalance, and of its assignment, with one of its next heartbeats.
HEARTBEAT_SECONDS = 0.3


class Log:
    """The records of one partition. Offsets without one are what readers of committed records skip."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.beginning = 0
        self.end = 0
        self.beginnings = {0}
        self.waiting: list[Any] = []
        self._records: list[Record] = []

    def append(self, value: bytes, key: bytes | None, headers: tuple[tuple[str, bytes | None], ...]) -> None:
        record = Record(self.partition, self.end, self.end, key, value, headers, CLUSTER)
        self._records.append(record)
        self.end += 1
        self.wake()

    def append_marker(self) -> None:
        """A transaction's end: an offset that nobody sees a record of."""
        self.end += 1
        self.wake()

    def trim(self, beginning: int) -> None:
        """Retention removes everything below."""
        self.beginning = beginning
        self.beginnings.add(beginning)

    def wake(self) -> None:
        """Let everybody who waits for something look again."""
        waiting, self.waiting = self.waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def take(self, position: int, max_records: int) -> Batch:
        """What a reader at `position` gets."""
        if not self.beginning <= position <= self.end:
            raise OffsetOutOfRange(f"{position} is outside of {self.beginning} to {self.end}")
        first = bisect_left(self._records, position, key=_offset)
        records = tuple(self._records[first : first + max_records])
        is_full = len(records) == max_records
        return Batch(records, records[-1].offset + 1 if is_full else self.end)

    def between(self, start: int, end: int) -> list[Record]:
        """All records of a range that were ever produced, trimmed ones too: for the judge."""
        first = bisect_left(self._records, start, key=_offset)
        return self._records[first : bisect_left(self._records, end, key=_offset)]

    def record(self, offset: int) -> Record | None:
        """The record that was produced at an offset."""
        found = self.between(offset, offset + 1)
        return found[0] if found else None


class Member(Protocol):
    """A member as the coordinator sees it; the three words reach it with its heartbeats."""

    name: str

    @property
    def is_silent(self) -> bool: ...

    def hear_rebalance(self) -> None: ...

    def hear_assignment(self, generation: int, partitions: tuple[Partition, ...]) -> None: ...


class Broker:
    """The logs and the group of a history."""

    def __init__(
        self,
        loop: SimulatedLoop,
        rng: random.Random,
        journal: Journal,
        judge: Judge,
        session_seconds: float,
    ) -> None:
        self.logs: dict[Partition, Log] = {}
        self.group_offsets: dict[Partition, GroupOffset] = {}
        self.members: list[Member] = []
        self.session_seconds = session_seconds
        self._generation = 0
        self._told_at: dict[Member, float] = {}
        self._joined: list[Member] | None = None  # None: no rebalance is under way
        self._loop = loop
        self._rng = rng
        self._journal = journal
        self._judge = judge
        judge.logs, judge.group = self.logs, self.group_offsets

    # ---------------------------------------------------------------- logs and offsets

    def create(self, partition: Partition) -> None:
        """Add a partition to the topic; the group hears of it with the rebalance that follows."""
        self.logs[partition] = Log(partition)
        self.rebalance()

    def log_range(self, partition: Partition) -> LogRange:
        log = self.logs[partition]
        return LogRange(log.beginning, log.end)

    def commit(self, member: Member, generation: int, partition: Partition, offset: int) -> None:
        """Take a commit from a member of the present generation, also while it is about to give back."""
        if member not in self.members or generation != self._generation:
            raise NotOwner(f"commit {partition}: not a member of this generation")
        self._judge.commits(member.name, partition, offset)
        self.group_offsets[partition] = GroupOffset(offset, ours=True)

    def reset(self, partition: Partition, offset: int | None, row: StoredPosition | None) -> None:
        """An operator moves the offset of a group without members, or removes it."""
        assert not self.members
        if offset is None:
            self.group_offsets.pop(partition, None)
        else:
            self.group_offsets[partition] = GroupOffset(offset, ours=False)
        self._judge.reset_group(partition, offset, row)

    # ---------------------------------------------------------------- the group

    def join(self, member: Member) -> None:
        """A member asks for its share, after it has given back what it had."""
        if member not in self.members:
            self.members.append(member)
        if self._joined is None:
            self._begin(member)
        if self._joined is not None and member not in self._joined:
            self._joined.append(member)
        self._complete_if_all_joined()

    def leave(self, member: Member) -> None:
        """A member says goodbye, or has not been heard of for too long."""
        if member not in self.members:
            return
        self._journal.note("broker", f"drops {member.name}")
        self.members.remove(member)
        if self._joined is None:
            self.rebalance()
        elif member in self._joined:
            self._joined.remove(member)
        self._complete_if_all_joined()

    def rebalance(self) -> None:
        """Share the partitions out anew."""
        if self._joined is None and self.members:
            self._begin()

    def miss(self, member: Member) -> None:
        """A member has fallen silent: drop it if it still is when the session timeout is over."""
        self._loop.later(self.session_seconds, self.expire, member)

    def expire(self, member: Member) -> None:
        """The session timeout of a member is over."""
        if member in self.members and member.is_silent:
            self.leave(member)

    def is_member(self, member: Member) -> bool:
        return member in self.members

    def _begin(self, joining: Member | None = None) -> None:
        self._joined = []
        self._journal.note("broker", "rebalance")
        for member in self.members:
            if member is not joining:
                self._soon(member, member.hear_rebalance)
        self._loop.later(REBALANCE_SECONDS, self._give_up, self._generation)

    def _give_up(self, generation: int) -> None:
        if self._joined is not None and generation == self._generation:
            self.members[:] = [member for member in self.members if member in self._joined]
            self._complete_if_all_joined()

    def _complete_if_all_joined(self) -> None:
        if self._joined is None or len(self._joined) < len(self.members):
            return
        members, self._joined = self._joined, None
        self._generation += 1
        shares: dict[int, list[Partition]] = {index: [] for index in range(len(members))}
        if members:
            first = self._rng.randrange(len(members))
            for index, partition in enumerate(sorted(self.logs)):
                shares[(first + index) % len(members)].append(partition)
        for index, member in enumerate(members):
            share = tuple(shares[index])
            self._journal.note("broker", f"assigns to {member.name}", *share)
            self._soon(member, member.hear_assignment, self._generation, share)

    def _soon(self, member: Member, tell: Callable[..., None], *words: object) -> None:
        """Tell a member with one of its next heartbeats, but never before what it is still to hear."""
        when = max(self._loop.time() + HEARTBEAT_SECONDS * self._rng.random(), self._told_at.get(member, 0.0))
        self._told_at[member] = when + 0.0001
        self._loop.later(when - self._loop.time(), tell, *words)


def _offset(record: Record) -> int:
    return record.offset
