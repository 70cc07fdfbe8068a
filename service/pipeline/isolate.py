"""Finding the culprit: a batch that fails is divided in offset order until one record stands alone.

Each part is a transaction of its own that moves the position to its own end, so neighbours are applied
and order holds. Called by `process`; the decision how to divide is pure.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import islice, pairwise
from typing import Protocol, TypeVar

from service.core.errors import ConnectionLost, PermanentError, TemporaryError, Unavailable
from service.core.types import DeadLetter, Event, Lease, Work, Written
from service.pipeline.retry import RetryPolicy, jittered_delays

ATTEMPTS = 3
# No further attempt later than this: one that waits for a lock has been patient already.
ATTEMPTS_SECONDS = 4.0
# A lock or an answer that does not come is waited for, seconds at each level: few levels. What is refused is
# refused at once: few transactions, which halving has.
WAYS_OF_FAST_FAILURES = 2
WAYS_OF_SLOW_FAILURES = 16

Item = TypeVar("Item", Event, DeadLetter)


class Progress(Protocol):
    """Hears how a batch gets on: a transaction that is run again, a part that is committed."""

    def retrying(self, error: TemporaryError | Unavailable) -> None:
        """A transaction failed for now and is run again."""

    def reached(self, offset: int) -> None:
        """Everything below `offset` is committed."""


class Applies(Protocol):
    """What of `core.ports.Sink` is needed here."""

    async def apply(self, work: Work, lease: Lease) -> Written: ...

    async def ping(self) -> None: ...

    async def check_writable(self, entity: str) -> None: ...


async def apply_isolated(
    work: Work, lease: Lease, sink: Applies, progress: Progress, retries: RetryPolicy | None = None
) -> AsyncIterator[tuple[Work, Written]]:
    """Apply `work` whole, or in parts around its culprits; yields each part once it is committed.

    A record that fails for good becomes a dead letter, one that fails for now again and again is parked as
    `retries` says. A lone record that loses its connection is raised (`ConnectionLost`), and so is
    everything that is not the records' fault.
    """
    retries = retries or RetryPolicy()
    parts = [work]
    while parts:
        part = parts.pop()
        # A part has failed as a piece of the whole already: looking for the culprit takes long enough.
        attempt = _attempt_patiently if part is work or _is_single(part) else _attempt_once
        try:
            written = await attempt(part, lease, sink, progress)
        except (PermanentError, TemporaryError, ConnectionLost) as error:
            parts.extend(reversed(divide(part, error, retries)))
            if not isinstance(error, PermanentError):
                progress.retrying(error)
            continue
        lease = lease.moved_to(part.end)
        progress.reached(part.end)
        yield part, written


async def _attempt_once(part: Work, lease: Lease, sink: Applies, _progress: Progress) -> Written:
    return await sink.apply(part, lease)


async def _attempt_patiently(part: Work, lease: Lease, sink: Applies, progress: Progress) -> Written:
    """Run the transaction as often as that may help; raises `Unavailable` when its tables are locked."""
    try:
        return await _attempt(part, lease, sink, progress)
    except TemporaryError as error:
        if not part.events:
            raise
        progress.retrying(error)  # now: looking at the tables may take as long as the attempt did
        # A table that is locked as a whole would fail every part, down to the last: no record is to blame.
        await sink.check_writable(part.events[0].entity)
        if not _is_single(part):
            raise
    # Once more before it is parked: its tables may have been locked until a moment ago.
    return await sink.apply(part, lease)


async def _attempt(part: Work, lease: Lease, sink: Applies, progress: Progress) -> Written:
    """Run the transaction a few times, and for some seconds, where another run may help.

    After a lost connection its outcome is unknown: the next run meets the fence, which tells. A record
    too large for a packet looks like a lost connection too, but then a ping succeeds.
    """
    now = asyncio.get_running_loop().time
    patient_until = now() + ATTEMPTS_SECONDS
    for delay_seconds in islice(jittered_delays(), ATTEMPTS - 1):
        try:
            return await sink.apply(part, lease)
        except TemporaryError as error:
            if now() >= patient_until:
                raise
            progress.retrying(error)
            await asyncio.sleep(delay_seconds)
        except ConnectionLost as error:
            progress.retrying(error)
            await sink.ping()
    return await sink.apply(part, lease)


def divide(
    part: Work, error: PermanentError | TemporaryError | Unavailable, retries: RetryPolicy
) -> tuple[Work, ...]:
    """The parts to try instead of `part`; raises `error` when there is nothing left to divide."""
    if not _is_single(part):
        is_fast = isinstance(error, PermanentError)
        return split(part, WAYS_OF_FAST_FAILURES if is_fast else WAYS_OF_SLOW_FAILURES)
    if part.events and isinstance(error, PermanentError | TemporaryError):
        return (Work((), (_letter_of(part.events[0], error, retries),), part.end),)
    raise error


def _is_single(part: Work) -> bool:
    return len(part.events) + len(part.letters) <= 1


def split(part: Work, ways: int) -> tuple[Work, ...]:
    """At most `ways` parts of like size in offset order, each of which ends where the next one begins."""
    items: tuple[Event | DeadLetter, ...] = (*part.events, *part.letters)
    offsets = sorted(item.record.offset for item in items)
    firsts = sorted({offsets[len(offsets) * way // ways] for way in range(ways)})
    return tuple(
        Work(_between(first, end, part.events), _between(first, end, part.letters), end)
        for first, end in pairwise([*firsts, part.end])
    )


def _between(first: int, end: int, items: tuple[Item, ...]) -> tuple[Item, ...]:
    return tuple(item for item in items if first <= item.record.offset < end)


def _letter_of(event: Event, error: PermanentError | TemporaryError, retries: RetryPolicy) -> DeadLetter:
    is_temporary = isinstance(error, TemporaryError)
    return DeadLetter(
        event.record,
        error.stage,
        error.error_class,
        str(error),
        event_id=event.event_id,
        entity=event.entity,
        entity_id=event.entity_id,
        retry_in_seconds=retries.wait_seconds(event.operation, failures=1) if is_temporary else None,
    )
