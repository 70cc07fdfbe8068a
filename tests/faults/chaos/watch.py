"""Looks at an act while it is played: positions several times a second, the replicas' counters once.

Called by `run`. It asks the servers directly, never through a proxy; a server that is away or hangs makes a
gap. What the looks mean is in `recovery`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress

import httpx
import pymysql

from tests.e2e.service_process import ServiceProcess
from tests.e2e.stage import Stage
from tests.e2e.world import Log
from tests.faults.chaos.flow import Flow
from tests.faults.chaos.recovery import Look, longest_standstill, recovery_seconds
from tests.faults.chaos.results import Point

_LOOK_SECONDS = 0.2
_COUNT_SECONDS = 1.0
_POINT_SECONDS = 0.5


class Watch:
    """`looks` at positions, `points` of the timeline, and what the replicas counted over all their lives."""

    def __init__(self, stage: Stage, flow: Flow, now: Callable[[], float]) -> None:
        """`now` gives the seconds since the run began."""
        self.now = now
        self.points: list[Point] = []
        self._looks: list[Look] = []
        self._stage = stage
        self._flow = flow
        self._counted: dict[tuple[str, str], tuple[float, float]] = {}

    def recovery(self, since: float) -> float | None:
        """How long after `since` work went on everywhere; None while it does not."""
        return recovery_seconds(self._looks, since)

    def standstill(self, since: float) -> float:
        """The longest that some partition stood still since then."""
        return longest_standstill(self._looks, since)

    def forget_looks(self) -> None:
        """Start anew: what was before this scene does not matter any more."""
        self._looks.clear()

    def counted(self, metric: str) -> int:
        """The sum of a counter over all replicas and their lives, as far as it was seen."""
        return int(sum(past + now for (name, _), (past, now) in self._counted.items() if name == metric))

    async def look(self) -> None:
        """Look without end."""
        while True:
            # The clock is read first: what is seen is at least as new.
            at, ends = self.now(), dict(self._flow.ends)
            positions = await asyncio.to_thread(self._positions)
            if positions is not None:
                self._looks.append(Look(at, positions, ends))
            self._note(Point(at, sum(ends.values()), None if positions is None else sum(positions.values())))
            await asyncio.sleep(_LOOK_SECONDS)

    async def count(self, metrics: tuple[str, ...]) -> None:
        """Read the replicas' counters without end."""
        while True:
            for replica in list(self._stage.replicas):
                with suppress(httpx.HTTPError):
                    await self._count(replica, metrics)
            await asyncio.sleep(_COUNT_SECONDS)

    async def _count(self, replica: ServiceProcess, metrics: tuple[str, ...]) -> None:
        seen = await replica.metrics()
        for metric in metrics:
            past, last = self._counted.get((metric, replica.name), (0.0, 0.0))
            now = seen.total(metric)
            # A process that was started again counts from 0.
            self._counted[metric, replica.name] = (past + last if now < last else past, now)

    def _note(self, point: Point) -> None:
        if not self.points or point.at - self.points[-1].at >= _POINT_SECONDS:
            self.points.append(point)

    def _positions(self) -> Mapping[Log, int] | None:
        try:
            return self._stage.positions()
        except (pymysql.Error, OSError):
            return None


REDELIVERED = "upsertd_records_redelivered_total"
FENCED = "upsertd_fenced_total"


@asynccontextmanager
async def watching(stage: Stage, flow: Flow, now: Callable[[], float]) -> AsyncIterator[Watch]:
    """A watch for as long as the context is open."""
    watch = Watch(stage, flow, now)
    tasks = [
        asyncio.create_task(watch.look()),
        asyncio.create_task(watch.count((REDELIVERED, FENCED))),
    ]
    try:
        yield watch
    finally:
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            # A watch that has died makes everything look stuck.
            if isinstance(ended, Exception):
                raise ended
