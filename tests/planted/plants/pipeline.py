"""Bugs in the lane and in its batch: when it commits, remembers, claims, gives up and goes on."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from service.core.errors import ConnectionLost, PermanentError, TemporaryError, Unavailable
from service.core.ports import Sink
from service.core.types import Batch, GroupOffset, Lease, LogRange, StoredPosition, Work, Written
from service.pipeline import isolate, partition
from service.pipeline.claim import Halt, Start, StartPolicy, choose_start, claimed_position
from service.pipeline.isolate import apply_isolated
from service.pipeline.partition import Lane
from service.pipeline.process import Route, decode_all
from service.pipeline.retry import RetryPolicy
from tests.planted.plants.sink import no_fence


def remember_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """`process` remembers its events first and applies them then."""

    async def process(batch: Batch, lease: Lease, route: Route, progress: isolate.Progress) -> Lease:
        events, letters = decode_all(batch.records, route)
        seen = await route.cache.seen(events, lease)
        fresh = tuple(event for event in events if event.event_id not in seen)
        await route.cache.remember(fresh, lease)
        if fresh or letters:
            work = Work(fresh, letters, batch.end)
            async for part, _written in apply_isolated(work, lease, route.sink, progress):
                lease = lease.moved_to(part.end)
        return lease

    patch.setattr(partition, "process", process)


def offset_before_the_transaction(patch: pytest.MonkeyPatch) -> None:
    """`Lane._take` commits the end of the batch to Kafka before it processes it."""
    take = Lane._take

    async def commit_and_take(self: Lane, fetched: Batch, lease: Lease) -> Lease:
        await self._commit_ended()  # or the one before it might come after it
        await self._source.commit(self.partition, fetched.end)
        return await take(self, fetched, lease)

    patch.setattr(Lane, "_take", commit_and_take)


def offset_of_hits(patch: pytest.MonkeyPatch) -> None:
    """`Lane._settle` commits where the lane is in memory."""
    settle = Lane._settle

    async def commit_and_settle(self: Lane, lease: Lease, *, now: bool = False) -> Lease:
        await self._source.commit(self.partition, self.position)
        return await settle(self, lease, now=now)

    patch.setattr(Lane, "_settle", commit_and_settle)


def retry_without_fence(patch: pytest.MonkeyPatch) -> None:
    """`isolate._attempt` runs a batch whose outcome is unknown again without the fence."""

    async def attempt(part: Work, lease: Lease, sink: Sink, *_how: object) -> Written:
        try:
            return await sink.apply(part, lease)
        except ConnectionLost:
            with patch.context() as meanwhile:
                no_fence(meanwhile)
                return await sink.apply(part, lease)

    patch.setattr(isolate, "_attempt", attempt)


def bury_the_batch(patch: pytest.MonkeyPatch) -> None:
    """`isolate.divide` makes dead letters of all events at once."""

    def divide(
        part: Work, error: PermanentError | TemporaryError | Unavailable, retries: RetryPolicy
    ) -> tuple[Work, ...]:
        if isinstance(error, PermanentError) and part.events:
            letters = tuple(isolate._letter_of(event, error, retries) for event in part.events)
            return (Work((), (*part.letters, *letters), part.end),)
        raise error

    patch.setattr(isolate, "divide", divide)


def skip_a_failed_fence(patch: pytest.MonkeyPatch) -> None:
    """`Lane._look_at_row` takes the batch for done and goes on with the next one."""

    async def go_on(self: Lane, lease: Lease, why: str) -> Lease:
        return lease.moved_to(self._fetched)

    patch.setattr(Lane, "_look_at_row", go_on)


def drop_without_seek(patch: pytest.MonkeyPatch) -> None:
    """`Lane._look_at_row` finds the position and does not seek back to it."""
    look = Lane._look_at_row

    async def look_only(self: Lane, lease: Lease, why: str) -> Lease:
        with patch.context() as meanwhile:
            meanwhile.setattr(self._source, "seek", lambda partition, offset: None)
            return await look(self, lease, why)

    patch.setattr(Lane, "_look_at_row", look_only)


def never_look_at_the_row(patch: pytest.MonkeyPatch) -> None:
    """`Lane._check_row` takes its word for it."""

    async def believe(self: Lane, lease: Lease) -> Lease:
        return lease

    patch.setattr(Lane, "_check_row", believe)


def every_offset_is_ours(patch: pytest.MonkeyPatch) -> None:
    """`choose_start` hears that every offset carries our metadata."""

    def choose(
        stored: StoredPosition | None,
        group: GroupOffset | None,
        log: LogRange,
        cluster_id: str,
        policy: StartPolicy,
    ) -> Start | Halt:
        ours = group and replace(group, ours=True)
        return choose_start(stored, ours, log, cluster_id, policy)

    patch.setattr(partition, "choose_start", choose)


def keep_the_namespace(patch: pytest.MonkeyPatch) -> None:
    """`claimed_position` keeps the namespace of the row that was there, and where it begins."""

    def claim(stored: StoredPosition | None, start: Start, cluster_id: str, owner: str) -> StoredPosition:
        claimed = claimed_position(stored, start, cluster_id, owner)
        if stored is None:
            return claimed
        return replace(claimed, cache_namespace=stored.cache_namespace, handled_from=stored.handled_from)

    patch.setattr(partition, "claimed_position", claim)


def end_at_the_last_record(patch: pytest.MonkeyPatch) -> None:
    """`Lane._next_batch` ends a batch behind its last record instead of at the consumer's position."""
    next_batch = Lane._next_batch

    async def without_markers(self: Lane) -> Batch:
        batch = await next_batch(self)
        return replace(batch, end=batch.records[-1].offset + 1 if batch.records else self.position)

    patch.setattr(Lane, "_next_batch", without_markers)
