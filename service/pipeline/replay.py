"""The story of a replay: a stretch of the log is taken once more, batch by batch, beside whoever owns it.

Called by `upsertd replay`, which reads what is asked for and tells how it went. There is no lease, no cache
and no position here: marks and versions alone keep what was handled from being handled twice. What the sink
does is in `sinks.sql`, how a culprit is found in `isolate`, what may be read again in `stretch`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from service.core.errors import TemporaryError, Unavailable
from service.core.ports import Decode
from service.core.types import Batch, Lease, Outcome, Partition, Work, Written
from service.pipeline.batching import BatchLimits, parted
from service.pipeline.isolate import apply_isolated
from service.pipeline.process import decode_all
from service.pipeline.retry import RetryPolicy, jittered_delays
from service.pipeline.stretch import Stretch

FETCH_WAIT_SECONDS = 1.0
PATIENCE_SECONDS = 60.0


class RangeReader(Protocol):
    """Reads a partition from any offset; see `KafkaRange.fetch`."""

    async def fetch(self, partition: Partition, offset: int, max_records: int, wait_seconds: float) -> Batch:
        """The next records from `offset` on; raises `OffsetOutOfRange` and `Unavailable`."""


class ReplaySink(Protocol):
    """The database's side of a replay."""

    async def replay(self, work: Work, *, force: bool = False, dry_run: bool = False) -> Written:
        """Run one transaction: check, decide, upsert, mark, dead letters; raises as `Sink.apply` does."""

    async def ping(self) -> None:
        """Raise `Unavailable` unless the database answers."""

    async def check_writable(self, entity: str) -> None:
        """Raise `Unavailable` when a table of `entity` is locked as a whole."""


@dataclass(frozen=True, slots=True)
class ReplayRoute:
    """What every batch of a replay passes through; `entity` is what the topic carries."""

    entity: str
    decode: Decode
    sink: ReplaySink
    retries: RetryPolicy = field(default_factory=RetryPolicy)
    limits: BatchLimits = field(default_factory=BatchLimits)


@dataclass(slots=True)
class Replayed:
    """How far the replay of a stretch has come: up to `position`, with these outcomes.

    `parked` are the records that failed for now; the service tries them again.
    """

    stretch: Stretch
    position: int
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    parked: int = 0

    @property
    def records(self) -> int:
        """How many records were read and handled."""
        return self.outcomes.total() + self.parked

    @property
    def finished(self) -> bool:
        """Whether the stretch was taken to its end."""
        return self.position >= self.stretch.end

    def add(self, work: Work, written: Written) -> None:
        """Count a transaction that has come to its end."""
        dead = [letter for letter in work.letters if letter.retry_in_seconds is None]
        self.outcomes.update(outcome for _, outcome in written.outcomes)
        self.outcomes.update([Outcome.DEAD] * len(dead))
        self.parked += len(work.letters) - len(dead)
        self.position = work.end


def begin(stretch: Stretch) -> Replayed:
    """A stretch of which nothing was read yet."""
    return Replayed(stretch, stretch.begin)


class Listener(Protocol):
    """Hears how a replay gets on."""

    def moved(self, replayed: Replayed) -> None:
        """A transaction came to its end."""

    def waiting(self, replayed: Replayed, error: TemporaryError | Unavailable) -> None:
        """Something does not answer as it should, and is tried again."""


class Replay:
    """Takes stretches of one topic along `route`.

    With `force` a record is applied although it is marked, with `dry_run` every transaction is rolled back at
    its end. Gives up when it does not get ahead for `patience_seconds`.
    """

    def __init__(
        self,
        reader: RangeReader,
        route: ReplayRoute,
        listener: Listener,
        *,
        force: bool = False,
        dry_run: bool = False,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._reader = reader
        self._route = route
        self._sink = _Unfenced(route.sink, self._go_on, force=force, dry_run=dry_run)
        self._listener = listener
        self._patience_seconds = patience_seconds
        self._max_records = route.limits.max_records
        self._wait: asyncio.Timeout | None = None
        self.stopped = False

    def stop(self) -> None:
        """End after the transaction that is under way."""
        self.stopped = True
        # A wait that has just run out cannot be shortened any more.
        if self._wait is not None and not self._wait.expired():
            self._wait.reschedule(asyncio.get_running_loop().time())

    async def run(self, replayed: Replayed) -> None:
        """Take the stretch to its end, or to where it is stopped; `replayed` always says how far it came.

        Raises `OffsetOutOfRange` when the log lost what was to be read, and `Unavailable` or
        `TemporaryError` when its patience is at its end.
        """
        while not (replayed.finished or self.stopped):
            await self._get_ahead(replayed)

    async def _get_ahead(self, replayed: Replayed) -> None:
        """Try until something of the next batch is done."""
        now = asyncio.get_running_loop().time
        before, patient_until = replayed.position, now() + self._patience_seconds
        for delay_seconds in jittered_delays():
            try:
                await self._take_batch(replayed)
            except _Stopped:
                return
            except (TemporaryError, Unavailable) as error:
                if replayed.position == before and now() >= patient_until:
                    raise
                self._listener.waiting(replayed, error)
            if replayed.position > before:
                return
            async with self._interruptible(delay_seconds):
                await asyncio.Event().wait()

    async def _take_batch(self, replayed: Replayed) -> None:
        """Read a batch and take it to its outcomes; raises what reader and sink raise."""
        batch = _below(replayed.stretch.end, await self._fetch(replayed))
        limits = self._route.limits
        parts, fitting_records = parted(batch, limits.max_bytes)
        self._max_records = min(fitting_records, limits.max_records)
        for part in parts:
            if part.records:
                await self._apply(part, replayed)
            replayed.position = part.end

    async def _fetch(self, replayed: Replayed) -> Batch:
        partition, position = replayed.stretch.partition, replayed.position
        batch = Batch((), position)
        async with self._interruptible(None):
            batch = await self._reader.fetch(partition, position, self._max_records, FETCH_WAIT_SECONDS)
        self._go_on()
        if batch.end <= position:
            raise Unavailable(f"no records of {partition} from {position} on", part="kafka")
        return batch

    async def _apply(self, batch: Batch, replayed: Replayed) -> None:
        """Take the records to their outcomes, in as many transactions as it needs."""
        work = Work(*decode_all(batch.records, self._route), batch.end)
        progress = _Progress(replayed, self._listener)
        nobodys = Lease(replayed.stretch.partition, "", replayed.position, replayed.position, "")
        parts = apply_isolated(work, nobodys, self._sink, progress, self._route.retries)
        async for part, written in parts:
            replayed.add(part, written)
            self._listener.moved(replayed)

    def _go_on(self) -> None:
        """Raise `_Stopped` when it is time to end."""
        if self.stopped:
            raise _Stopped

    @asynccontextmanager
    async def _interruptible(self, seconds: float | None) -> AsyncIterator[None]:
        """A wait that is over after `seconds`, or at once when it is to end; never raises for it."""
        try:
            async with asyncio.timeout(0 if self.stopped else seconds) as self._wait:
                yield
        except TimeoutError:
            pass
        finally:
            self._wait = None


class _Stopped(Exception):
    """Somebody wants it to end: what is not under way yet is left."""


class _Unfenced:
    """The sink as `apply_isolated` knows it: it looks at no lease, and asks `go_on` before a transaction."""

    def __init__(self, sink: ReplaySink, go_on: Callable[[], None], *, force: bool, dry_run: bool) -> None:
        self._sink = sink
        self._go_on = go_on
        self._force = force
        self._dry_run = dry_run

    async def apply(self, work: Work, lease: Lease) -> Written:
        self._go_on()
        return await self._sink.replay(work, force=self._force, dry_run=self._dry_run)

    async def ping(self) -> None:
        await self._sink.ping()

    async def check_writable(self, entity: str) -> None:
        await self._sink.check_writable(entity)


@dataclass(frozen=True, slots=True)
class _Progress:
    """Passes on what `isolate` tells."""

    replayed: Replayed
    listener: Listener

    def retrying(self, error: TemporaryError | Unavailable) -> None:
        self.listener.waiting(self.replayed, error)

    def reached(self, offset: int) -> None:
        """Told with the outcomes, by `Replay`."""


def _below(end: int, batch: Batch) -> Batch:
    """What of a batch lies below `end`."""
    if batch.end <= end:
        return batch
    return Batch(tuple(record for record in batch.records if record.offset < end), end)
