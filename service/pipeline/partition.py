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
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from service.core.errors import FenceLost, NotOwner, OffsetOutOfRange, TemporaryError, Unavailable
from service.core.ports import Source
from service.core.types import Batch, GroupOffset, Lease, Partition, Record, Work
from service.pipeline.claim import ALARMS, Halt, Start, StartPolicy, choose_start, claimed_position
from service.pipeline.process import Path, process
from service.pipeline.retry import jittered_delays
from service.telemetry.logging import get_logger

FETCH_WAIT_SECONDS = 1.0
# How long a position may be ahead in memory (cache hits) before it is written alone.
SETTLE_SECONDS = 1.0
# An idle lane looks at its row this often: a restored database would go unnoticed otherwise.
ROW_CHECK_SECONDS = 3.0
HALT_CHECK_SECONDS = 2.0

Result = TypeVar("Result")
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Bounds of a batch. Without a linger a lane takes what is there: one record or many."""

    max_records: int = 500
    max_bytes: int = 1024 * 1024
    linger_seconds: float = 0.0


class ClaimLost(Exception):
    """The row is not ours any more, or not what we knew: claim it again."""


class Drained(Exception):
    """The lane is to end and what it tried did not succeed: the next owner takes it from there."""


class Lane:
    """One partition from claim to drain.

    `paused` names why the lane does not move (`claiming`, `halted`, `database`, `kafka`, `temporary`,
    `error`) or is None, with `detail` for people, since `paused_at`; `step` says what it is doing, and
    `moved_at` when it last got ahead or had nothing left to read (both in the loop's time).
    """

    def __init__(
        self,
        partition: Partition,
        source: Source,
        path: Path,
        *,
        owner: str,
        policy: StartPolicy,
        limits: BatchLimits,
    ) -> None:
        self.partition = partition
        self.paused: str | None = None
        self.detail = ""
        self.step = "claim"
        self.moved_at = self.paused_at = asyncio.get_running_loop().time()
        self.position = -1
        self._source = source
        self._path = path
        self._owner = owner
        self._policy = policy
        self._limits = limits
        self._draining = False
        self._wait: asyncio.Timeout | None = None
        self._next_records = limits.max_records
        self._settled_at = self._checked_at = self.moved_at
        self._committed = -1
        self._commit_from = self.moved_at
        self._fetched = -1

    def drain(self) -> None:
        """Ask the lane to finish what is in flight, write its position, commit it, and end."""
        self._draining = True
        if self._wait is not None:
            self._wait.reschedule(asyncio.get_running_loop().time())

    def caught_up(self) -> None:
        """There is nothing beyond the lane's position: standing still is no lack of progress."""
        self.moved_at = self._loop_time()

    async def run(self) -> None:
        """Work until drained, or until Kafka says that the partition is somebody else's."""
        try:
            while not self._draining:
                try:
                    lease = await self._claim()
                    await self._read(lease)
                except ClaimLost as reason:
                    log.warning("claiming again", partition=str(self.partition), reason=str(reason))
                except OffsetOutOfRange:
                    log.warning("offset left the log", partition=str(self.partition))
        except NotOwner:
            log.info("partition belongs to another member", partition=str(self.partition))
        except Drained:
            log.info("drained before the step was done", partition=str(self.partition), step=self.step)
        finally:
            self._resume()

    # ---------------------------------------------------------------- claiming

    async def _claim(self) -> Lease:
        self._pause("claiming")
        while True:
            lease = await self._patiently("claim", self._try_claim)
            if lease is not None:
                self._resume()
                return lease

    async def _try_claim(self) -> Lease | None:
        """Read the row, then the group's offset, then write the claim if the row is still the same."""
        stored = await self._path.sink.position(self.partition)
        group = await self._source.group_offset(self.partition)
        log_range = await self._source.log_range(self.partition)
        cluster_id = await self._source.cluster_id()
        start = choose_start(stored, group, log_range, cluster_id, self._policy)
        if isinstance(start, Halt):
            await self._halt(start)
            return None
        claimed = claimed_position(stored, start, cluster_id, self._owner)
        if not await self._path.sink.claim(self.partition, stored, claimed):
            return None  # somebody was faster: look again
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
        )

    async def _halt(self, halt: Halt) -> None:
        if self.paused != "halted":
            log.error("partition halted", partition=str(self.partition), reason=halt.reason)
        self._pause("halted", halt.reason)
        async with self._interruptible(HALT_CHECK_SECONDS):
            await asyncio.Event().wait()
        if self._draining:
            raise Drained

    def _note_claim(self, start: Start, epoch: int) -> None:
        self._path.observe.claimed(self.partition, start.kind)
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
            lease = await self._take(await self._next_batch(), lease)
            lease = await self._settle(lease)
        await self._settle(lease, now=True)

    async def _next_batch(self) -> Batch:
        """What is there now, or the first thing to come; with a linger, what comes until it is over."""
        batch = await self._fetch(FETCH_WAIT_SECONDS)
        over = self._loop_time() + self._limits.linger_seconds
        while batch.records and not self._draining:
            room = self._next_records - len(batch.records)
            remaining = over - self._loop_time()
            if room <= 0 or remaining <= 0 or size_bytes(batch) >= self._limits.max_bytes:
                break
            more = await self._fetch(remaining, room)
            batch = Batch(batch.records + more.records, more.end)
        self._next_records = fitting_records(batch, self._limits)
        return batch

    async def _fetch(self, wait_seconds: float, max_records: int | None = None) -> Batch:
        async def fetch() -> Batch:
            async with self._interruptible(wait_seconds + FETCH_WAIT_SECONDS):
                return await self._source.fetch(
                    self.partition, max_records or self._next_records, wait_seconds
                )
            return Batch((), self._fetched)  # the wait was cut short

        batch = await self._patiently("fetch", fetch)
        self._fetched = batch.end
        return batch

    async def _take(self, fetched: Batch, lease: Lease) -> Lease:
        """Process what was fetched, each batch of it however often it takes."""
        if fetched.end <= self.position:
            return lease
        for batch in within_bytes(fetched, self._limits.max_bytes):
            try:
                lease = await self._process(batch, lease)
            except FenceLost as fence:
                return await self._look_at_row(lease, str(fence))  # drops what else was fetched
            self._moved_to(batch.end)
        return lease

    async def _process(self, batch: Batch, lease: Lease) -> Lease:
        begun = self._loop_time()
        after = await self._patiently("process", lambda: process(batch, lease, self._path))
        self._path.observe.processed(self._loop_time() - begun)
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
        if self._committed != lease.expected and (now or time >= self._commit_from):
            await self._commit(lease.expected)
        return lease

    async def _write_position(self, lease: Lease) -> Lease:
        alone = Work((), (), self.position)
        try:
            await self._patiently("position", lambda: self._path.sink.apply(alone, lease))
        except FenceLost as fence:
            return await self._look_at_row(lease, str(fence))
        self._settled_at = self._checked_at = self._loop_time()
        return lease.moved_to(alone.end)

    async def _commit(self, offset: int) -> None:
        """Tell Kafka where SQL stands. A commit that does not get through is repeated by a later one."""
        self.step = "commit"
        try:
            await self._source.commit(self.partition, offset)
        except Unavailable as error:
            log.warning("offset not committed", partition=str(self.partition), reason=str(error))
            self._commit_from = self._loop_time() + SETTLE_SECONDS
            self._path.observe.committed("unavailable")
        else:
            self._committed = offset
            self._path.observe.committed("ok")

    async def _check_row(self, lease: Lease) -> Lease:
        stored = await self._patiently("row", lambda: self._path.sink.position(self.partition))
        self._checked_at = self._loop_time()
        if stored and (stored.claim_id, stored.next_offset) == (lease.claim_id, lease.expected):
            return lease
        return await self._look_at_row(lease, "the row has changed")

    async def _look_at_row(self, lease: Lease, why: str) -> Lease:
        """After a failed fence: go on where our own commit took us, or find out whose partition it is.

        Raises `ClaimLost` when it is to be claimed again, `NotOwner` when Kafka says that it is not ours.
        """
        stored = await self._patiently("row", lambda: self._path.sink.position(self.partition))
        if stored is None or stored.claim_id != lease.claim_id:
            self._path.observe.fenced()
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

    # ---------------------------------------------------------------- waiting

    async def _patiently(self, step: str, attempt: Callable[[], Awaitable[Result]]) -> Result:
        """Try a step until it succeeds, pausing with backoff; raises what says that trying is in vain.

        An error that nobody foresaw pauses the lane too: it must neither skip a record nor bury it.
        """
        self.step = step
        for delay_seconds in jittered_delays():
            try:
                result = await attempt()
            except (FenceLost, NotOwner, OffsetOutOfRange, Drained):
                raise
            except Unavailable as error:
                self._pause(error.part, str(error))
            except TemporaryError as error:
                self._path.observe.retried()
                self._pause("temporary", str(error))
            except Exception as error:
                log.exception("unexpected error", partition=str(self.partition), step=step)
                self._pause("error", type(error).__name__)
            else:
                if self.paused not in ("claiming", "halted"):
                    self._resume()
                return result
            async with self._interruptible(delay_seconds):
                await asyncio.Event().wait()
            if self._draining:
                raise Drained
        raise AssertionError("the delays have no end")

    @asynccontextmanager
    async def _interruptible(self, seconds: float) -> AsyncIterator[None]:
        """A wait that is over after `seconds`, or at once when the lane is to drain."""
        try:
            async with asyncio.timeout(0 if self._draining else seconds) as self._wait:
                yield
        except TimeoutError:
            pass
        finally:
            self._wait = None

    def _pause(self, reason: str, detail: str = "") -> None:
        if reason != self.paused:
            self._path.observe.paused(self.partition, self.paused, reason)
            if detail:
                log.warning("paused", partition=str(self.partition), reason=reason, detail=detail)
            self.paused_at = self._loop_time()
        self.paused, self.detail = reason, detail

    def _resume(self) -> None:
        if self.paused is not None:
            self._path.observe.paused(self.partition, self.paused, None)
            self.paused, self.detail = None, ""
            self.moved_at = self._loop_time()

    def _moved_to(self, position: int) -> None:
        self.position = position
        self.moved_at = self._loop_time()

    def _loop_time(self) -> float:
        return asyncio.get_running_loop().time()


def size_bytes(batch: Batch) -> int:
    """The bytes of a batch's records: keys, values and headers."""
    return sum(record.size_bytes for record in batch.records)


def fitting_records(batch: Batch, limits: BatchLimits) -> int:
    """How many records to ask for next, so that records of this size stay within the bytes."""
    if not batch.records:
        return limits.max_records
    mean_bytes = size_bytes(batch) // len(batch.records) + 1
    return max(1, min(limits.max_records, limits.max_bytes // mean_bytes))


def within_bytes(batch: Batch, max_bytes: int) -> list[Batch]:
    """Split a batch so that each part has at most `max_bytes`, or a single record."""
    parts: list[Batch] = []
    records: list[Record] = []
    filled = 0
    for record in batch.records:
        if records and filled + record.size_bytes > max_bytes:
            parts.append(Batch(tuple(records), record.offset))
            records, filled = [], 0
        records.append(record)
        filled += record.size_bytes
    return [*parts, Batch(tuple(records), batch.end)]
