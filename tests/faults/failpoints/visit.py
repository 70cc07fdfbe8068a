"""One process under load, from its start until all of its failpoints are behind it.

`chain` starts the process and takes from its account what each fault came to. A failpoint that nobody comes
to is a failure: a visit sends wave after wave of what leads there, and waits only so long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.e2e.messages import Produced
from tests.e2e.world import Log
from tests.faults.failpoints.load import PARKED, Load
from tests.faults.failpoints.plan import Failpoint, Told
from tests.faults.failpoints.process import FailpointProcess, FailpointStage
from tests.faults.failpoints.steps import Phase

REACH_SECONDS = 60.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Life:
    """One process: the size of its batches, what it runs into; only the last fault may be an ending one."""

    batch_records: int
    failpoints: tuple[Failpoint, ...]


class Visit:
    """A life under load, until all of its failpoints are behind it; `told` is the process's account."""

    def __init__(self, stage: FailpointStage, load: Load, process: FailpointProcess, life: Life) -> None:
        self.told: Sequence[Told] = ()
        self._stage = stage
        self._load = load
        self._process = process
        self._life = life
        self._wave: list[Produced] = []

    async def until_all_struck(self, tell: Callable[[Failpoint], None]) -> None:
        """Send waves until every failpoint has struck and was got over. Raises `ServiceFailed`."""
        struck, changed_at = 0, time.monotonic()
        await self._send()
        while not self._over():
            await asyncio.sleep(_POLL_SECONDS)
            self.told = self._process.account.read()
            if (now := self._count("struck")) > struck:
                for failpoint in self._life.failpoints[struck:now]:
                    tell(failpoint)
                struck, changed_at = now, time.monotonic()
            elif time.monotonic() > changed_at + REACH_SECONDS:
                raise self._process.failed(f"it did not get over {self._life.failpoints[: struck + 1][-1]}")
            if not self._over() and await self._is_spent():
                await self._send()

    def _over(self) -> bool:
        failpoints = self._life.failpoints
        if not failpoints:
            return self._count("worked") > 0
        if self._count("struck") < len(failpoints):
            return False
        return failpoints[-1].kind.ending or self._count("went on") == len(failpoints)

    def _count(self, what: str) -> int:
        return sum(told.what == what for told in self.told)

    async def _send(self) -> None:
        waited_for = self._life.failpoints[self._count("struck") :]
        towards = waited_for[0].step.phase if waited_for else Phase.BATCH
        self._wave = await self._stage.produce(self._load.wave(self._life.batch_records, towards))
        for record in self._wave:
            if record.message.kind == PARKED:
                self._stage.model.park(record, "LockTimeout")
                self._stage.model.close(record, "replayed")

    async def _is_spent(self) -> bool:
        """Whether the last wave is handled to its end, and nothing of it waits for another try."""
        if not self._process.running:
            if any(failpoint.kind.ending for failpoint in self._life.failpoints):
                return False  # its account will tell
            raise self._process.failed("it is gone")
        ends = {Log(*one.place[:2]): one.place.offset + 1 for one in self._wave}
        positions = await asyncio.to_thread(self._stage.positions)
        handled = all(positions.get(log, 0) >= end for log, end in ends.items())
        return handled and not await asyncio.to_thread(self._stage.parked)
