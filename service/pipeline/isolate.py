"""Finding the culprit: a batch that fails is halved in offset order until one record stands alone.

Each part is a transaction of its own that moves the position to its own end, so neighbours are applied
and order holds. Called by `process`; the decision how to divide is pure.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import islice

from service.core.errors import ConnectionLost, PermanentError, TemporaryError, Unavailable
from service.core.ports import Sink
from service.core.types import DeadLetter, Event, Lease, Work, Written
from service.pipeline.retry import jittered_delays

ATTEMPTS = 3


async def apply_isolated(work: Work, lease: Lease, sink: Sink) -> AsyncIterator[tuple[Work, Written]]:
    """Apply `work` whole, or in parts around its culprits; yields each part once it is committed.

    A record that fails for good becomes a dead letter. A lone record that fails for now is raised
    (`TemporaryError`, `ConnectionLost`), and so is everything that is not the records' fault.
    """
    parts = [work]
    while parts:
        part = parts.pop()
        try:
            written = await _attempt(part, lease, sink)
        except (PermanentError, TemporaryError, ConnectionLost) as error:
            parts.extend(reversed(divide(part, error)))
            continue
        lease = lease.moved_to(part.end)
        yield part, written


async def _attempt(part: Work, lease: Lease, sink: Sink) -> Written:
    """Run the transaction up to `ATTEMPTS` times where another run may help.

    After a lost connection its outcome is unknown: the next run meets the fence, which tells. A record
    too large for a packet looks like a lost connection too, but then a ping succeeds.
    """
    for delay_seconds in islice(jittered_delays(), ATTEMPTS - 1):
        try:
            return await sink.apply(part, lease)
        except TemporaryError:
            await asyncio.sleep(delay_seconds)
        except ConnectionLost:
            await sink.ping()
    return await sink.apply(part, lease)


def divide(part: Work, error: PermanentError | TemporaryError | Unavailable) -> tuple[Work, ...]:
    """The parts to try instead of `part`; raises `error` when there is nothing left to divide."""
    if len(part.events) > 1:
        return _halves(part)
    if len(part.events) == 1 and isinstance(error, PermanentError):
        letter = _letter_of(part.events[0], error)
        return (Work((), _in_offset_order((*part.letters, letter)), part.end),)
    raise error


def _halves(part: Work) -> tuple[Work, Work]:
    middle = len(part.events) // 2
    cut = part.events[middle].record.offset
    before = tuple(letter for letter in part.letters if letter.record.offset < cut)
    return (
        Work(part.events[:middle], before, cut),
        Work(part.events[middle:], part.letters[len(before) :], part.end),
    )


def _in_offset_order(letters: tuple[DeadLetter, ...]) -> tuple[DeadLetter, ...]:
    return tuple(sorted(letters, key=lambda letter: letter.record.offset))


def _letter_of(event: Event, error: PermanentError) -> DeadLetter:
    return DeadLetter(
        event.record,
        error.stage,
        error.error_class,
        str(error),
        event_id=event.event_id,
        entity=event.entity,
        entity_id=event.entity_id,
    )
