"""One chain: processes of one group that run into failpoints one after the other, under load.

Each lives until its ending fault, if it has one; the next recovers from it and goes on where it was. Between
two of them nobody writes: then Kafka's offsets are held against the positions (I3). After the last one all
that was sent is judged by oracle, judge and audit. `matrix` makes chains and runs them side by side.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.e2e.eviction import evict_members
from tests.e2e.service_process import ServiceFailed
from tests.e2e.world import read_progress
from tests.faults.failpoints.kinds import Kind
from tests.faults.failpoints.load import Load
from tests.faults.failpoints.plan import Failpoint, Told
from tests.faults.failpoints.process import FailpointProcess, FailpointStage
from tests.faults.failpoints.steps import Phase
from tests.faults.failpoints.visit import Life, Visit

SETTLE_SECONDS = 120.0
_LONGEST_LINE = 2_000


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that took place, and how long until the lane, or the next process, had got over it."""

    failpoint: Failpoint
    recovery_seconds: float


class Chain:
    """Runs lives on a stage; `injected` and `violations` are what came of them so far."""

    def __init__(
        self, stage: FailpointStage, seed: int, tell: Callable[[Failpoint], None], bug: str | None = None
    ) -> None:
        self.injected: list[Injected] = []
        self.violations: list[str] = []
        self._stage = stage
        self._load = Load(seed)
        self._tell = tell
        self._bug = bug
        # What took a process with it, or was felt until then, and when it struck.
        self._fallen: list[tuple[Failpoint, float]] = []

    async def live(self, life: Life) -> None:
        """Run one process to its end, or until all its failpoints are behind it; raises `ServiceFailed`."""
        process = self._stage.run_into(life.failpoints, batch_records=life.batch_records, bug=self._bug)
        visit = Visit(self._stage, self._load, process, life)
        await visit.until_all_struck(self._tell)
        self._note(life, visit.told)
        await self._end(process, life)

    async def judge(self) -> None:
        """Let a process without failpoints bring everything to its end, and judge it."""
        process = self._stage.run_into((), batch_records=1000, bug=self._bug)
        # Something to work at, or it would never show that it has got over the last fault.
        await self._stage.produce(self._load.wave(1, Phase.BATCH))
        await self._stage.settle(SETTLE_SECONDS)
        await self._stage.wait_until(lambda: not self._stage.parked(), "parked records are not tried again")
        self._note(Life(1000, ()), process.account.read())
        try:
            await self._stage.judge()
        except AssertionError as differences:
            self.violations += str(differences).splitlines()
            self.violations += self._complaints(re.findall(r"I6 '(.+)' in a log", str(differences)))

    def _complaints(self, leaks: Sequence[str]) -> Iterator[str]:
        """The lines that tell of forgotten tasks and connections, each with what its process met."""
        for process in self._stage.replicas:
            assert isinstance(process, FailpointProcess)
            for line in process.log.splitlines():
                if any(leak in line for leak in leaks):
                    yield f"I6 {line[:_LONGEST_LINE]} (met {', '.join(map(str, process.failpoints))})"

    async def give_up(self, failure: ServiceFailed) -> None:
        """A process did not do as its life says: note it, end it, so that the rest can be judged."""
        self.violations.append(str(failure))
        for process in self._stage.replicas:
            if process.running:
                await process.kill9()
        await evict_members(self._stage.world)

    def _note(self, life: Life, told: Sequence[Told]) -> None:
        """Take from a process's account how long each fault was felt."""
        at = {(each.what, each.number): each.at for each in told}
        if ("worked", -1) in at:
            self.injected += [Injected(point, at["worked", -1] - since) for point, since in self._fallen]
            self._fallen = []
        for number, failpoint in enumerate(life.failpoints):
            since = at["struck", number]
            if ("went on", number) in at:
                self.injected.append(Injected(failpoint, at["went on", number] - since))
            else:
                self._fallen.append((failpoint, since))

    async def _end(self, process: FailpointProcess, life: Life) -> None:
        """Wait for the end that a fault has brought, or bring it, and look at what is left behind."""
        kind = life.failpoints[-1].kind if life.failpoints else None
        if kind is None or not kind.ending:
            await process.sigterm()
        elif (code := await process.ended()) != (-9 if kind is Kind.CRASH else 0):
            raise process.failed(f"after {kind} it ended with {code}")
        if kind is Kind.CRASH:
            await evict_members(self._stage.world)
        progress = await read_progress(self._stage.world)
        for log, offset in progress.group_offsets.items():
            position = progress.positions.get(log)
            if position is None or position.next_offset < offset:
                self.violations.append(f"I3 after {kind}: group offset {offset} of {log} beyond {position}")
