"""The lane of one partition: claims it, reads it in order, and keeps SQL and Kafka in step.

`pipeline.run` starts a lane when its partition is assigned and drains it when the partition leaves. A
lane has one batch in flight; the source fetches the next one meanwhile.

    claim ──▶ seek ──▶ fetch ──▶ process ──▶ settle ──┐
      ▲                  ▲                            │
      │                  └────────────────────────────┤
      └── another claim, database gone back ◀── fence failed: look at the row
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from service.core.errors import FenceLost, NotOwner, OffsetOutOfRange, Unavailable
from service.core.ports import Source
from service.core.types import OPERATOR, Batch, GroupOffset, Lease, Partition, Work
from service.pipeline.batching import BatchLimits, parted, size_bytes
from service.pipeline.claim import ALARMS, Halt, Start, StartPolicy, choose_start, claimed_position
from service.pipeline.flood import Flooded
from service.pipeline.patience import Drained, Patience
from service.pipeline.process import Route, process
from service.pipeline.retry import LONGEST_DELAY_SECONDS
from service.telemetry.logging import get_logger

FETCH_WAIT_SECONDS = 1.0
# How long a position may be ahead in memory (cache hits) before it is written alone.
SETTLE_SECONDS = 1.0
# An idle lane looks at its row this often: a restored database would go unnoticed otherwise.
ROW_CHECK_SECONDS = 3.0
HALT_CHECK_SECONDS = 2.0
FLOOD_CHECK_SECONDS = 0.5
CLAIM_AGAIN_SECONDS = 0.2
# A commit that does not get through takes its deadline: the lane has better things to do meanwhile.
COMMIT_AGAIN_SECONDS = 5.0

log = get_logger(__name__)


class ClaimLost(Exception):
    """The row is not ours any more, or not what we knew: claim it again."""


def alone() -> int:
    """The number of lanes where there is no other one."""
    return 1


class Lane(Patience):
    """One partition from claim to drain; `position` is where it is in memory, at or ahead of SQL.

    `lanes` tells how many lanes there are: they share what one process may have in hand.
    """

    def __init__(
        self,
        partition: Partition,
        source: Source,
        route: Route,
        *,
        owner: str,
        policy: StartPolicy,
        limits: BatchLimits,
        lanes: Callable[[], int] = alone,
    ) -> None:
        super().__init__(partition, route.observe)
        self.position = -1
        self._source = source
        self._route = route
        self._owner = owner
        self._policy = policy
        self._limits = limits
        self._lanes = lanes
        # How many records of the size of the last ones make a batch.
        self._fitting_records = limits.max_bytes
        self._settled_at = self._checked_at = self._commit_from = self.moved_at
        self._committed = self._confirmed = self._fetched = -1
        self._committing: asyncio.Task[None] | None = None

    def reached(self, offset: int) -> None:
        """A part of the batch in hand is committed: the lane gets ahead, if slowly."""
        self.moved_at = self._loop_time()
        self._resume()

    def caught_up(self) -> None:
        """There is nothing beyond the lane's position: standing still is no lack of progress."""
        self.moved_at = self._loop_time()

    async def run(self) -> None:
        """Work until drained, or until Kafka says that the partition is somebody else's."""
        try:
            while not self._draining:
                await self._hold()
        except NotOwner as reason:
            self._pause("unassigned", str(reason))
        except Drained:
            # Nobody waits for a claim or for new records, but a batch in hand is left to the next owner.
            if self.step in ("process", "position"):
                self.unfinished = f"{self.step}: {self.detail}"
            log.info("drained before the step was done", partition=str(self.partition), step=self.step)
        finally:
            if self._committing is not None:  # nobody asks any more how it ends
                self._committing.cancel()

    async def _hold(self) -> None:
        """Claim the partition and read it until the lane drains or the claim is lost."""
        try:
            await self._commit_ended()  # or it would come after what the claim commits
            lease = await self._claim()
            await self._read(lease)
        except (ClaimLost, OffsetOutOfRange) as reason:
            log.warning("claiming again", partition=str(self.partition), reason=str(reason))
            await self._wait_for(CLAIM_AGAIN_SECONDS)
        except (NotOwner, Drained):
            raise
        except Exception as error:
            log.exception("unexpected error", partition=str(self.partition), step=self.step)
            self._pause("error", type(error).__name__)
            await self._wait_for(LONGEST_DELAY_SECONDS)

    # ---------------------------------------------------------------- claiming

    async def _claim(self) -> Lease:
        self._pause("claiming")
        while True:
            lease = await self._patiently("claim", self._try_claim)
            if lease is not None:
                self._resume()
                return lease
            if self._draining:
                raise Drained

    async def _try_claim(self) -> Lease | None:
        """Read the row, then the group's offset, then write the claim if the row is still the same."""
        stored = await self._route.sink.position(self.partition)
        group = await self._source.group_offset(self.partition)
        log_range = await self._source.log_range(self.partition)
        cluster_id = await self._source.cluster_id()
        start = choose_start(stored, group, log_range, cluster_id, self._policy)
        if isinstance(start, Halt):
            await self._halt(start)
            return None
        if stored is not None and stored.owner == OPERATOR:
            # Before the claim forgets whose word this is: what the group's offset says would count again.
            # Never where the claim goes on from (the log may have lost this offset): SQL is not there yet.
            await self._source.commit(self.partition, stored.next_offset)
            group = GroupOffset(stored.next_offset, ours=True)
        claimed = claimed_position(stored, start, cluster_id, self._owner)
        if not await self._route.sink.claim(self.partition, stored, claimed):
            await self._wait_for(CLAIM_AGAIN_SECONDS)  # somebody was faster: look again
            return None
        if group != GroupOffset(start.offset, ours=True):
            await self._source.commit(self.partition, start.offset)
        self._committed = start.offset
        self._note_claim(start, claimed.epoch)
        return Lease(
            self.partition,
            claimed.claim_id,
            start.offset,
            claimed.handled_offset,
            claimed.cache_namespace,
            claimed.handled_from,
        )

    async def _halt(self, halt: Halt) -> None:
        if self.paused != "halted":
            log.error("partition halted", partition=str(self.partition), reason=halt.reason)
        self._pause("halted", halt.reason)
        await self._wait_for(HALT_CHECK_SECONDS)

    def _note_claim(self, start: Start, epoch: int) -> None:
        self._route.observe.claimed(self.partition, start.kind)
        write = log.error if start.kind in ALARMS else log.info
        write(
            "claimed",
            partition=str(self.partition),
            start=start.offset,
            kind=start.kind.value,
            epoch=epoch,
        )

    # ---------------------------------------------------------------- reading

    async def _read(self, lease: Lease) -> None:
        """Fetch, process and settle until the lane is to drain."""
        self._go_to(lease.expected)
        while not self._draining:
            if self._route.flood.reason:
                lease = await self._settle(lease, now=True)
                await self._wait_out_flood()
                continue  # the lane may be draining by now
            lease = await self._take(await self._next_batch(), lease)
            lease = await self._settle(lease)
        await self._settle(lease, now=True)

    async def _next_batch(self) -> Batch:
        """What is there now, or the first thing to come; with a linger, what comes until it is over."""
        most = min(self._fitting_records, self._limits.shared_by(self._lanes()).max_records)
        batch = await self._fetch(FETCH_WAIT_SECONDS, most)
        over = self._loop_time() + self._limits.linger_seconds
        while batch.records and not self._draining:
            room = most - len(batch.records)
            remaining = over - self._loop_time()
            if room <= 0 or remaining <= 0 or size_bytes(batch) >= self._limits.max_bytes:
                break
            more = await self._fetch(remaining, room)
            batch = Batch(batch.records + more.records, more.end)
        return batch

    async def _fetch(self, wait_seconds: float, max_records: int) -> Batch:
        async def fetch() -> Batch:
            batch = Batch((), self._fetched)  # what there is when a drain cuts the wait short
            async with self._interruptible():
                batch = await self._source.fetch(self.partition, max_records, wait_seconds)
            return batch  # noqa: RET504 - a wait that was cut short does not come to the line above

        batch = await self._patiently("fetch", fetch)
        self._fetched = batch.end
        return batch

    async def _take(self, fetched: Batch, lease: Lease) -> Lease:
        """Process what was fetched, each batch of it however often it takes."""
        if fetched.end <= self.position:
            return lease
        parts, self._fitting_records = parted(fetched, self._limits.max_bytes)
        for batch in parts:
            try:
                lease = await self._process(batch, lease)
            except (FenceLost, Flooded) as reason:
                return await self._look_at_row(lease, str(reason))  # drops what else was fetched
            self._moved_to(batch.end)
            if self._draining:
                break
        return lease

    async def _wait_out_flood(self) -> None:
        """Stand still while there are too many dead letters, until an operator resumes."""
        while (reason := self._route.flood.reason) and not self._draining:
            self._pause("flood", reason)
            await self._wait_for(FLOOD_CHECK_SECONDS)
        if self.paused == "flood":
            self._resume()

    async def _process(self, batch: Batch, lease: Lease) -> Lease:
        begun = self._loop_time()
        after = await self._patiently("process", lambda: process(batch, lease, self._route, self))
        self._route.observe.processed(self._loop_time() - begun)
        if after != lease:
            self._settled_at = self._checked_at = self._loop_time()
        return after

    # ---------------------------------------------------------------- positions

    async def _settle(self, lease: Lease, *, now: bool = False) -> Lease:
        """Write a position that is ahead in memory, commit what SQL confirmed, look at an idle row."""
        time = self._loop_time()
        if lease.expected < self.position and (now or time - self._settled_at >= SETTLE_SECONDS):
            lease = await self._write_position(lease)
        elif time - self._checked_at >= ROW_CHECK_SECONDS and not now:
            lease = await self._check_row(lease)
        self._confirmed = lease.expected
        if now:
            self.step = "commit"
            self._commit_beside()
            await self._commit_ended()
        elif time >= self._commit_from:
            self._commit_beside()
        return lease

    async def _write_position(self, lease: Lease) -> Lease:
        alone = Work((), (), self.position)
        try:
            await self._patiently("position", lambda: self._route.sink.apply(alone, lease))
        except FenceLost as fence:
            return await self._look_at_row(lease, str(fence))
        self._settled_at = self._checked_at = self._loop_time()
        return lease.moved_to(alone.end)

    def _commit_beside(self) -> None:
        """Tell Kafka where SQL stands while the lane goes on: the answer takes longer than a small batch."""
        if self._committing is not None and self._committing.done():
            ended, self._committing = self._committing, None
            ended.result()
        if self._committing is None and self._committed != self._confirmed:
            self._committing = asyncio.create_task(self._commit())
            self._committing.add_done_callback(_note_its_end)

    async def _commit_ended(self) -> None:
        committing, self._committing = self._committing, None
        if committing is not None:
            await committing

    async def _commit(self) -> None:
        """Commit until Kafka stands where SQL does. What does not get through is left to a later commit."""
        while self._committed != (offset := self._confirmed):
            try:
                await self._source.commit(self.partition, offset)
            except Unavailable as error:
                log.warning("offset not committed", partition=str(self.partition), reason=str(error))
                self._commit_from = self._loop_time() + COMMIT_AGAIN_SECONDS
                self.unfinished = f"commit: {error}" if self._draining else None
                self._route.observe.committed("unavailable")
                return
            self._committed = offset
            self._route.observe.committed("ok")

    async def _check_row(self, lease: Lease) -> Lease:
        stored = await self._patiently("row", lambda: self._route.sink.position(self.partition))
        self._checked_at = self._loop_time()
        if stored and (stored.claim_id, stored.next_offset) == (lease.claim_id, lease.expected):
            return lease
        return await self._look_at_row(lease, "the row has changed")

    async def _look_at_row(self, lease: Lease, why: str) -> Lease:
        """After a failed fence: go on where our own commit took us, or find out whose partition it is.

        Raises `ClaimLost` when it is to be claimed again, `NotOwner` when Kafka says that it is not ours.
        """
        stored = await self._patiently("row", lambda: self._route.sink.position(self.partition))
        if stored is None or stored.claim_id != lease.claim_id:
            self._route.observe.fenced()
            # Asking Kafka: it takes this commit only from the owner.
            await self._patiently("commit", lambda: self._source.commit(self.partition, lease.expected))
            raise ClaimLost(f"{why}, another claim stands there")
        if stored.next_offset < lease.expected:
            raise ClaimLost(f"{why}, the database went back")
        if stored.next_offset > lease.expected:
            # The commit had succeeded and its answer was lost, or a part of the batch went through.
            lease = lease.moved_to(stored.next_offset)
        self._go_to(lease.expected)
        return lease

    def _go_to(self, offset: int) -> None:
        """Read on from `offset`, whatever was fetched: what was dropped has to come again."""
        self._source.seek(self.partition, offset)
        self._fetched = offset
        self._moved_to(offset)

    def _moved_to(self, position: int) -> None:
        self.position = position
        self.moved_at = self._loop_time()


def _note_its_end(commit: asyncio.Task[None]) -> None:
    """Asyncio complains of errors that nobody has asked for; the lane may have ended before it does."""
    if not commit.cancelled():
        commit.exception()
