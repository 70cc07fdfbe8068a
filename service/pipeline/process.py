"""The story of a batch on one screen: decode, seen, apply, remember.

Called by the lane of a partition, which holds the lease, retries what can be retried and commits the
offset afterwards. What can go wrong with single records is in `isolate`, what happens in SQL in
`sinks.sql`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from service.core.errors import PermanentError
from service.core.ports import Decode, ProcessedCache, Sink
from service.core.types import Batch, DeadLetter, Event, Lease, Outcome, Record, Work, Written
from service.pipeline.flood import FloodGuard
from service.pipeline.isolate import Progress, apply_isolated
from service.pipeline.observe import Observer
from service.pipeline.retry import RetryPolicy
from service.telemetry.logging import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Route:
    """What every batch of a lane passes through; `entity` is what its topic carries."""

    entity: str
    decode: Decode
    cache: ProcessedCache
    sink: Sink
    observe: Observer
    retries: RetryPolicy = field(default_factory=RetryPolicy)
    flood: FloodGuard = field(default_factory=FloodGuard)


class Decodes(Protocol):
    """What of a `Route` it takes to decode."""

    @property
    def entity(self) -> str: ...

    @property
    def decode(self) -> Decode: ...


async def process(batch: Batch, lease: Lease, route: Route, progress: Progress) -> Lease:
    """Take a batch to its outcomes; returns the lease as it stands in SQL afterwards.

    A batch of cache hits, or without records, needs no transaction and returns the lease unchanged: the
    caller moves on in memory and has the position written later. Raises what `Sink.apply` raises, and
    `Flooded`; then a part of the batch may have been committed, and only the position's row tells how far.
    """
    events, letters = decode_all(batch.records, route)
    seen = await route.cache.seen(events, lease)
    fresh = tuple(event for event in events if event.event_id not in seen) if seen else events
    after = lease
    if fresh or letters:
        for work in route.flood.portions(Work(fresh, letters, batch.end)):
            async for part, written in apply_isolated(work, after, route.sink, progress, route.retries):
                after = after.moved_to(part.end)
                # Strictly after the commit, or a crash in between makes the cache know more than SQL.
                await route.cache.remember(written.marked, after)
                route.observe.written(part, written)
                dead = _dead(part, written)
                _tell(part, dead)
                route.flood.count(len(part.events) + len(part.letters), dead=len(dead))
    route.flood.count(len(batch.records) - len(fresh) - len(letters), dead=0)
    route.observe.taken(batch, events, seen, lease)
    return after


def decode_all(records: Iterable[Record], route: Decodes) -> tuple[tuple[Event, ...], tuple[DeadLetter, ...]]:
    """Decode each record to an event, or to the dead letter that says why it cannot be one."""
    events: list[Event] = []
    letters: list[DeadLetter] = []
    for record in records:
        try:
            events.append(route.decode(record))
        except PermanentError as error:
            letters.append(_letter(record, error, route.entity))
        except Exception as error:  # noqa: BLE001 - hostile bytes find what no list foresees
            letters.append(_letter(record, unforeseen(error), route.entity))
    return tuple(events), tuple(letters)


def _tell(part: Work, dead: list[tuple[Record, str]]) -> None:
    """One line a transaction: where its dead letters, or parked ones, begin, and of which kinds they are."""
    parked = [(each.record, each.error_class) for each in part.letters if each.retry_in_seconds is not None]
    for what, letters in (("dead letters", dead), ("parked for a retry", parked)):
        if letters:
            first = min((record for record, _ in letters), key=lambda record: record.offset)
            kinds = sorted({kind for _, kind in letters})
            place = {"partition": str(first.partition), "first": first.offset}
            log.warning(what, **place, number=len(letters), kinds=kinds)


def _dead(part: Work, written: Written) -> list[tuple[Record, str]]:
    """The records of a transaction that were given up, and why."""
    dead = [(each.record, each.error_class) for each in part.letters if each.retry_in_seconds is None]
    reused = (event.record for event, outcome in written.outcomes if outcome is Outcome.DEAD)
    return dead + [(record, "EventIdReused") for record in reused]


def _letter(record: Record, error: PermanentError, entity: str) -> DeadLetter:
    return DeadLetter(
        record,
        error.stage,
        error.error_class,
        str(error),
        event_id=error.event_id,
        entity=entity,
        entity_id=error.entity_id,
    )


def unforeseen(error: Exception) -> PermanentError:
    """What a decoder's unexpected exception means for its record."""
    kind = type(error).__name__
    return PermanentError(f"decoding failed with {kind}", error_class=kind, stage="decode")
