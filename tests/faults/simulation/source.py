"""The port `Source` in a history: a member of the group, with the habits of the real one.

Like aiokafka, it believes in its assignment until it hears otherwise: a member that was frozen reads on from
partitions that have long been somebody else's. Commits are refused to it. A listener hears of its partitions
one word after the other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from service.core.errors import ConnectionLost, NotOwner, Unavailable
from service.core.ports import AssignmentListener
from service.core.types import Batch, GroupOffset, LogRange, Partition
from tests.faults.simulation.broker import CLUSTER, Broker
from tests.faults.simulation.loop import Process, SimulatedLoop
from tests.faults.simulation.wire import Weather, Wire

Result = TypeVar("Result")

REVOKE_SECONDS = 20.0


class _Tenure:
    """One assignment of one partition; its position counts once it is sought."""

    def __init__(self) -> None:
        self.sought = False
        self.position = 0


class SimulatedSource:
    """A member of the group of a `Broker`, living in a process."""

    def __init__(
        self, process: Process, broker: Broker, wire: Wire, weather: Weather, loop: SimulatedLoop
    ) -> None:
        self.name = process.name
        self._process = process
        self._broker = broker
        self._wire = wire
        self._weather = weather
        self._loop = loop
        self._listener: AssignmentListener | None = None
        self._tenures: dict[Partition, _Tenure] = {}
        self._generation = -1
        self._news: deque[tuple[int, tuple[Partition, ...]] | None] = deque()
        self._news_came: asyncio.Future[None] | None = None
        self._membership: asyncio.Task[None] | None = None
        self._has_left = False

    @property
    def is_silent(self) -> bool:
        """Whether no heartbeat comes from here just now."""
        return self._has_left or self._process.frozen or not self._process.alive

    # ---------------------------------------------------------------- the port

    async def start(self, listener: AssignmentListener) -> None:
        self._listener = listener
        await self._ask("join", self._join)
        self._membership = asyncio.create_task(self._live(), name="membership")

    async def stop(self) -> None:
        if self._membership is not None:
            self._membership.cancel()
            await asyncio.wait({self._membership})
        self._tenures.clear()
        self._has_left = True
        try:
            await self._ask("leave", lambda: self._broker.leave(self))
        except Unavailable:
            self._broker.miss(self)

    async def fetch(self, partition: Partition, max_records: int, wait_seconds: float) -> Batch:
        tenure = self._sought(partition)
        over = self._loop.time() + wait_seconds
        await asyncio.sleep(self._wire.delay())
        while True:
            if self._tenures.get(partition) is not tenure or not tenure.sought:
                raise NotOwner(f"{partition} was reassigned during a fetch")
            batch = self._take(partition, tenure, max_records)
            remaining = over - self._loop.time()
            if batch.records or remaining <= 0:
                return batch
            await self._change(partition, remaining)

    def seek(self, partition: Partition, offset: int) -> None:
        tenure = self._tenures.get(partition)
        if tenure is not None:
            tenure.sought = True
            tenure.position = offset
            self._broker.logs[partition].wake()

    async def commit(self, partition: Partition, offset: int) -> None:
        tenure = self._tenure(partition)
        generation = self._generation
        await self._ask(
            "commit", lambda: self._broker.commit(self, generation, partition, offset), partition, offset
        )
        if self._tenures.get(partition) is not tenure:
            raise NotOwner(f"{partition} was reassigned during a commit")

    async def group_offset(self, partition: Partition) -> GroupOffset | None:
        return await self._ask("group offset", lambda: self._broker.group_offsets.get(partition), partition)

    async def log_range(self, partition: Partition) -> LogRange:
        return await self._ask("log range", lambda: self._broker.log_range(partition), partition)

    async def cluster_id(self) -> str:
        return CLUSTER

    # ---------------------------------------------------------------- reading

    def _take(self, partition: Partition, tenure: _Tenure, max_records: int) -> Batch:
        if self._weather.away:
            return Batch((), tenure.position)
        batch = self._broker.logs[partition].take(tenure.position, max_records)
        if batch.end != tenure.position:
            self._wire.note("fetch", partition, f"{tenure.position} to {batch.end}")
        tenure.position = batch.end
        return batch

    async def _change(self, partition: Partition, seconds: float) -> None:
        """Wait for something to read, or for the end of the wait."""
        changed = self._loop.create_future()
        timer = self._loop.call_later(seconds, _set, changed)
        self._broker.logs[partition].waiting.append(changed)
        try:
            await changed
        finally:
            timer.cancel()

    def _tenure(self, partition: Partition) -> _Tenure:
        tenure = self._tenures.get(partition)
        if tenure is None:
            raise NotOwner(f"{partition} is not assigned to this member")
        return tenure

    def _sought(self, partition: Partition) -> _Tenure:
        tenure = self._tenure(partition)
        if not tenure.sought:
            raise NotOwner(f"{partition} was assigned anew and not sought yet")
        return tenure

    async def _ask(self, name: str, question: Callable[[], Result], *words: object) -> Result:
        try:
            return await self._wire.call(name, self._weather, question, *words)
        except ConnectionLost as error:
            # The adapter's word for an answer that did not come within its deadline.
            raise Unavailable(str(error), part="kafka") from error

    # ---------------------------------------------------------------- membership

    def hear_rebalance(self) -> None:
        """The coordinator: give everything back and join again."""
        self._hear(None)

    def hear_assignment(self, generation: int, partitions: tuple[Partition, ...]) -> None:
        """The coordinator: this is your share."""
        self._hear((generation, partitions))

    def _join(self) -> None:
        self._broker.join(self)
        if self.is_silent:  # the call was on its way when its sender went
            self._broker.miss(self)

    def _hear(self, news: tuple[int, tuple[Partition, ...]] | None) -> None:
        self._news.append(news)
        _set(self._news_came)

    async def _live(self) -> None:
        while True:
            while not self._news:
                self._news_came = self._loop.create_future()
                await self._news_came
            news = self._news.popleft()
            if news is None:
                await self._give_back_and_join()
            elif news[0] > self._generation and not self._news:  # overtaken by the next one otherwise
                await self._accept(*news)

    async def _give_back_and_join(self) -> None:
        if self._tenures and self._listener is not None:
            try:
                async with asyncio.timeout(REVOKE_SECONDS):
                    await self._listener.on_revoked(tuple(self._tenures))
            except TimeoutError:
                pass
        self._tenures.clear()
        while True:
            try:
                return await self._ask("join", self._join)
            except Unavailable:
                await asyncio.sleep(0.5)

    async def _accept(self, generation: int, partitions: tuple[Partition, ...]) -> None:
        if self._tenures and self._listener is not None:
            await self._listener.on_revoked(tuple(self._tenures))
        self._generation = generation
        self._tenures = {partition: _Tenure() for partition in partitions}
        if partitions and self._listener is not None:
            await self._listener.on_assigned(partitions)


def _set(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
