"""A member of the group: the service's consumer and lanes, which a scenario can stop, lose and kill.

`scene` makes members; all of them share one database, one cache and one Kafka in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from service.app import utc_now
from service.core.ports import ProcessedCache, Sink
from service.core.types import Partition
from service.entities.registry import ENTITIES
from service.formats.native import decoder
from service.pipeline.batching import BatchLimits
from service.pipeline.claim import StartPolicy
from service.pipeline.observe import Observer
from service.pipeline.partition import Lane
from service.pipeline.process import Route
from service.pipeline.run import Consumer
from service.telemetry.metrics import Metrics
from service.testing.source import InMemoryKafka
from tests.planted.ports import StagedSink, WatchedSource
from tests.planted.steps import PATIENCE_SECONDS, Steps


@dataclass(frozen=True, slots=True)
class Parts:
    """What members share; `on_commit` is told of every offset that Kafka has accepted."""

    kafka: InMemoryKafka
    sink: Sink
    cache: ProcessedCache
    metrics: Metrics
    on_commit: Callable[[Partition, int], None]


class Member:
    """A member of the group with lanes of its own; `steps` are those of its sink."""

    def __init__(self, parts: Parts, batch_records: int) -> None:
        self.steps = Steps()
        self.source = WatchedSource(parts.kafka, parts.on_commit)
        self.consumer = Consumer(self.source, self._lane)
        self._parts = parts
        self._batch_records = batch_records
        self._lanes: dict[Partition, _MortalLane] = {}
        self._crashing = asyncio.Event()

    def expel(self) -> None:
        """Let the group go on without this member, which hears nothing of it."""
        self._parts.kafka.expel(self.source)

    async def crash(self) -> None:
        """Die on the spot; a happening, for a step of this member's lanes."""
        self._crashing.set()
        self.expel()
        for task in self._tasks():
            task.cancel()
        await asyncio.sleep(0)  # where the lane that got here is cancelled

    async def crashed(self) -> None:
        """Wait until it has come to `crash`, and no lane is alive."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._crashing.wait()
            await asyncio.gather(*self._tasks(), return_exceptions=True)

    def paused(self, partition: Partition) -> str | None:
        """Why a lane does not move, if it does not."""
        return self._lanes[partition].paused

    def has_ended(self, partition: Partition) -> bool:
        """Whether a lane has found out that the partition is somebody else's."""
        task = self._lanes[partition].task
        return task is not None and task.done()

    def _tasks(self) -> Iterator[asyncio.Task[None]]:
        return (lane.task for lane in self._lanes.values() if lane.task is not None)

    def _lane(self, partition: Partition) -> Lane:
        parts, entity = self._parts, ENTITIES[partition.topic]
        observer = Observer(parts.metrics, entity.name, utc_now)
        lane = _MortalLane(
            partition,
            self.source,
            Route(entity.name, decoder(entity), parts.cache, StagedSink(parts.sink, self.steps), observer),
            owner="planted",
            policy=StartPolicy(),
            limits=BatchLimits(max_records=self._batch_records),
        )
        self._lanes[partition] = lane
        return lane


class _MortalLane(Lane):
    task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        self.task = asyncio.current_task()
        await super().run()
