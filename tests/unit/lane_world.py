"""What surrounds a lane in `test_lane.py` and `test_run.py`: Kafka, database and cache, all in memory.

Time is the test loop's (`looptime`): waiting costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from service.core.errors import PermanentError
from service.core.types import Event, GroupOffset, Lease, Partition, StoredPosition, Work
from service.pipeline.batching import BatchLimits
from service.pipeline.claim import StartPolicy
from service.pipeline.flood import FloodGuard
from service.pipeline.observe import Observer
from service.pipeline.partition import Lane
from service.pipeline.process import Route
from service.telemetry.metrics import Metrics
from service.testing.cache import InMemoryProcessedCache
from service.testing.sink import InMemorySink
from service.testing.source import InMemoryKafka, InMemorySource
from tests.building import CUSTOMERS, at, decode_message, message

CLUSTER = "cluster"


class Broker(InMemoryKafka):
    """A Kafka that holds every accepted commit against the position in SQL (I3)."""

    def __init__(self, sink: InMemorySink, partitions: int) -> None:
        super().__init__({"customers": partitions}, cluster_id=CLUSTER)
        self.too_far: list[tuple[Partition, int]] = []
        self._sink = sink

    def accept_commit(self, member: InMemorySource, partition: Partition, offset: int) -> None:
        super().accept_commit(member, partition, offset)
        stored = self._sink.tables.positions.get(partition)
        if stored is None or offset > stored.next_offset:
            self.too_far.append((partition, offset))


@dataclass
class Gate:
    """Holds a lane in the middle of a batch: `reached` when it stands there, until it is `open`."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    open: asyncio.Event = field(default_factory=asyncio.Event)


class Cache(InMemoryProcessedCache):
    """A cache whose next answer can be held back."""

    def __init__(self) -> None:
        super().__init__()
        self.gate: Gate | None = None

    async def seen(self, events: Sequence[Event], lease: Lease) -> frozenset[bytes]:
        gate, self.gate = self.gate, None
        if gate is not None:
            gate.reached.set()
            await gate.open.wait()
        return await super().seen(events, lease)


class Noting:
    """A listener that lets the test start its lanes itself."""

    async def on_assigned(self, partitions: Collection[Partition]) -> None: ...

    async def on_revoked(self, partitions: Collection[Partition]) -> None: ...


class World:
    """One topic, one database, one cache; `works` are the transactions that were tried."""

    def __init__(self, partitions: int = 1, sink: InMemorySink | None = None) -> None:
        self.sink = sink or InMemorySink()
        self.sink.before_commit = self._note
        self.kafka = Broker(self.sink, partitions)
        self.cache = Cache()
        self.metrics = Metrics("test", ["customers"])
        self.flood = FloodGuard()
        self.works: list[Work] = []
        self.lanes = 1
        self.fault: Callable[[Work], None] = lambda _: None
        self._tasks: list[asyncio.Task[None]] = []
        self._produced = 0

    def _note(self, work: Work) -> None:
        self.works.append(work)
        self.fault(work)

    # ---------------------------------------------------------------- what a test does

    async def member(self) -> InMemorySource:
        source = InMemorySource(self.kafka)
        await source.start(Noting())
        return source

    def lane(
        self,
        source: InMemorySource,
        partition: Partition = CUSTOMERS,
        *,
        policy: StartPolicy | None = None,
        limits: BatchLimits | None = None,
    ) -> Lane:
        observe = Observer(self.metrics, "customers", lambda: at(0))
        path = Route("customers", decode_message, self.cache, self.sink, observe, flood=self.flood)
        return Lane(
            partition,
            source,
            path,
            owner="host:1",
            policy=policy or StartPolicy(),
            limits=limits or BatchLimits(),
            lanes=lambda: self.lanes,
        )

    async def start(
        self, *, policy: StartPolicy | None = None, limits: BatchLimits | None = None
    ) -> tuple[Lane, asyncio.Task[None]]:
        """A member of the group and its lane, at work."""
        lane = self.lane(await self.member(), policy=policy, limits=limits)
        return lane, self.run(lane)

    async def restart(self) -> tuple[Lane, asyncio.Task[None]]:
        """The group's members leave, and a new one comes."""
        for member in tuple(self.kafka.members):
            await member.stop()
        return await self.start()

    def hold(self) -> Gate:
        """Let the next batch wait in its middle."""
        self.cache.gate = Gate()
        return self.cache.gate

    def run(self, lane: Lane) -> asyncio.Task[None]:
        task = asyncio.create_task(lane.run())
        self._tasks.append(task)
        return task

    def produce(self, *event_ids: str, partition: Partition = CUSTOMERS) -> None:
        """One event each, of a record of its own named after the id's last word."""
        for event_id in event_ids:
            entity_id = int(event_id.rsplit("-", 1)[-1]) + 1
            self.kafka.append(partition, message(event_id, entity_id))

    def produce_numbered(self, count: int, partition: Partition = CUSTOMERS) -> None:
        """`count` events that never were there before."""
        for number in range(self._produced, self._produced + count):
            self.produce(f"event-{number}", partition=partition)
        self._produced += count

    def refuse_events(self) -> None:
        """Let the database refuse every event for good."""

        def refuse(work: Work) -> None:
            if work.events:
                raise PermanentError("SQL error 1406 (name)", error_class="DataTooLong")

        self.fault = refuse

    def store(self, position: StoredPosition, partition: Partition = CUSTOMERS) -> None:
        self.sink.tables.positions[partition] = position

    def group(self, offset: int, *, ours: bool) -> None:
        self.kafka.group_offsets[CUSTOMERS] = GroupOffset(offset, ours)

    async def close(self) -> None:
        """End the lanes; a crash of one is the test's."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ---------------------------------------------------------------- what a test looks at

    @property
    def stored(self) -> StoredPosition:
        return self.sink.tables.positions[CUSTOMERS]

    @property
    def committed(self) -> GroupOffset | None:
        return self.kafka.group_offsets.get(CUSTOMERS)

    @property
    def applied(self) -> set[int]:
        """Offsets of the records that rows and marks came from."""
        return {row.version.source_offset for row in self.sink.tables.rows.values()}

    @property
    def dead(self) -> set[int]:
        return {letter.record.offset for letter, _ in self.sink.tables.letters.values()}

    @property
    def statuses(self) -> dict[int, str]:
        """The letters' statuses by offset."""
        return {letter.record.offset: str(status) for letter, status in self.sink.tables.letters.values()}

    def outcome(self, name: str) -> int:
        """`upsertd_events_total` of this outcome."""
        return self.count("upsertd_events_total", entity="customers", outcome=name)

    def claims(self, start: str) -> int:
        return self.count("upsertd_claims_total", topic="customers", partition="0", start=start)

    def count(self, name: str, **labels: str) -> int:
        return int(self.metrics.registry.get_sample_value(name, labels) or 0)
