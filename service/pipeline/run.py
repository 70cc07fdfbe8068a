"""Source to lanes: a lane starts when its partition is assigned and drains when it leaves.

Called by `app`, which builds the source and says how a lane is made. The listener's methods only start
and drain lanes: whether a partition is really ours is found out by the lane's claim in SQL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from service.core.errors import Unavailable
from service.core.ports import Source
from service.core.types import Partition
from service.pipeline.partition import Lane
from service.pipeline.retry import jittered_delays
from service.telemetry.logging import get_logger

# A rebalance waits for us; the group's rebalance timeout is far longer.
REVOKE_SECONDS = 5.0
CANCEL_SECONDS = 2.0
# What leaving a group takes that does not answer; a stop keeps it back from the lanes.
LEAVE_SECONDS = 6.0

log = get_logger(__name__)


class Consumer:
    """A member of the group: owns the lanes of the partitions that are assigned to it."""

    def __init__(self, source: Source, make_lane: Callable[[Partition], Lane]) -> None:
        self._source = source
        self._make_lane = make_lane
        self._lanes: dict[Partition, tuple[Lane, asyncio.Task[None]]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._stopping = False

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """The lanes at work, by partition."""
        return tuple(lane for _, (lane, _task) in sorted(self._lanes.items()))

    async def start(self) -> None:
        """Join the group, however long it takes until Kafka answers."""
        for delay_seconds in jittered_delays():
            try:
                await self._source.start(self)
            except Unavailable as error:
                log.warning("Kafka cannot be reached", reason=str(error))
                await asyncio.sleep(delay_seconds)
            else:
                return

    async def stop(self, seconds: float) -> tuple[str, ...]:
        """Drain every lane and leave the group within `seconds`; says what was not finished, and why."""
        self._stopping = True
        unfinished = await self._drain(tuple(self._lanes), max(seconds / 2, seconds - LEAVE_SECONDS))
        if self._leaving:  # a rebalance drains these, and cuts them off in time
            await asyncio.wait(self._leaving, timeout=REVOKE_SECONDS + CANCEL_SECONDS)
        trouble = await self._source.stop()
        return unfinished if trouble is None else (*unfinished, trouble)

    async def on_assigned(self, partitions: Collection[Partition]) -> None:
        """Start a lane for each partition."""
        await self._drain([each for each in partitions if each in self._lanes], REVOKE_SECONDS)
        if self._stopping:
            return
        for partition in partitions:
            lane = self._make_lane(partition)
            task = asyncio.create_task(lane.run(), name=f"lane {partition}")
            task.add_done_callback(_report_crash)
            self._lanes[partition] = (lane, task)

    async def on_revoked(self, partitions: Collection[Partition]) -> None:
        """Drain the lanes of these partitions; what cannot finish in time is left to the next owner."""
        await self._drain([each for each in partitions if each in self._lanes], REVOKE_SECONDS)

    async def _drain(self, partitions: Collection[Partition], seconds: float) -> tuple[str, ...]:
        leaving = {partition: self._lanes.pop(partition) for partition in partitions}
        for lane, _task in leaving.values():
            lane.drain()
        tasks = {task for _lane, task in leaving.values()}
        if not tasks:
            return ()
        self._leaving |= tasks
        _done, pending = await asyncio.wait(tasks, timeout=seconds)
        left = (_left_undone(lane, in_time=task not in pending) for lane, task in leaving.values())
        unfinished = tuple(each for each in left if each)
        for task in pending:
            task.cancel()
        if pending:
            log.warning("lanes cut off", unfinished=unfinished)
            await asyncio.wait(pending, timeout=CANCEL_SECONDS)
        self._leaving -= tasks
        for lane, _task in leaving.values():
            lane.forget()
        return unfinished


def _left_undone(lane: Lane, *, in_time: bool) -> str | None:
    """What a drained lane leaves to the next owner, and why; None when it has finished."""
    if in_time:
        return f"{lane.partition} at {lane.unfinished}" if lane.unfinished else None
    return f"{lane.partition} at {lane.step}" + (f": {lane.detail}" if lane.detail else "")


def _report_crash(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("lane crashed", lane=task.get_name(), exc_info=error)
