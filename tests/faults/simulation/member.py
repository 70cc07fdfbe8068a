"""A replica of the service in a history: consumer, lanes and retrier, wired as `service.app` wires them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from service.core.types import Partition
from service.pipeline.batching import BatchLimits
from service.pipeline.claim import StartPolicy
from service.pipeline.flood import FloodGuard
from service.pipeline.observe import Observer
from service.pipeline.parked import Retrier, Return
from service.pipeline.partition import Lane
from service.pipeline.process import Route
from service.pipeline.retry import RetryPolicy
from service.pipeline.run import Consumer
from service.stores.processed_cache import RedisProcessedCache
from tests.faults.simulation.loop import Process, SimulatedLoop
from tests.faults.simulation.messages import ENTITY, Press
from tests.faults.simulation.redis import Redis
from tests.faults.simulation.sink import SimulatedSink
from tests.faults.simulation.source import SimulatedSource

SHUTDOWN_SECONDS = 30.0
RETRIES = RetryPolicy(delays_seconds=(0.5, 1.0))


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings of all members of a history."""

    limits: BatchLimits
    policy: StartPolicy
    flood_window_records: int


class Member:
    """One replica; its name is unique in a history, a restarted one is another."""

    def __init__(
        self,
        process: Process,
        source: SimulatedSource,
        sink: SimulatedSink,
        redis: Redis,
        press: Press,
        loop: SimulatedLoop,
        observe: Observer,
        configuration: Configuration,
    ) -> None:
        self.process = process
        self.source = source
        self.stopping: asyncio.Task[tuple[str, ...]] | None = None
        self.flood = FloodGuard(0.5, configuration.flood_window_records)
        self._sink = sink
        self._press = press
        self._loop = loop
        self._observe = observe
        self._configuration = configuration
        self._cache = RedisProcessedCache("", clock=loop.time)
        self._cache._pool = redis  # type: ignore[assignment]  # `quiet` replaces what uses it
        self._retrier = Retrier(sink, {ENTITY: Return(press.decode, observe)}, RETRIES)
        self._running: list[asyncio.Task[None]] = []
        self.consumer = Consumer(source, self._make_lane)

    @property
    def is_up(self) -> bool:
        """Whether it runs and is not about to end."""
        return self.process.alive and not self.process.frozen and self.stopping is None

    def start(self) -> None:
        """Begin to consume."""
        start = self._loop.start
        self._running = [
            start(self.process, self.consumer.start(), "consumer"),
            start(self.process, self._retrier.run(), "retrier"),
        ]

    def stop(self) -> asyncio.Task[tuple[str, ...]]:
        """Drain and leave, as after SIGTERM; the task returns the lanes that could not finish."""
        if self.stopping is None:
            self.stopping = self._loop.start(self.process, self._stop(), "stop")
        return self.stopping

    async def _stop(self) -> tuple[str, ...]:
        unfinished = await self.consumer.stop(SHUTDOWN_SECONDS)
        for task in self._running:
            task.cancel()
        await asyncio.wait(self._running)
        return unfinished

    def _make_lane(self, partition: Partition) -> Lane:
        route = Route(ENTITY, self._press.decode, self._cache, self._sink, self._observe, RETRIES, self.flood)
        return Lane(
            partition,
            self.source,
            route,
            owner=self.process.name,
            policy=self._configuration.policy,
            limits=self._configuration.limits,
        )
