"""The story of a batch on one screen: decode, seen, apply, remember.

Called by the lane of a partition, which holds the lease, retries what can be retried and commits the
offset afterwards. What can go wrong with single records is in `isolate`, what happens in SQL in
`sinks.sql`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.core.errors import PermanentError
from service.core.ports import Decode, ProcessedCache, Sink
from service.core.types import Batch, DeadLetter, Event, Lease, Record, Work
from service.pipeline.isolate import Progress, apply_isolated
from service.pipeline.observe import Observer
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


async def process(batch: Batch, lease: Lease, route: Route, progress: Progress) -> Lease:
    """Take a batch to its outcomes; returns the lease as it stands in SQL afterwards.

    A batch of cache hits, or without records, needs no transaction and returns the lease unchanged: the
    caller moves on in memory and has the position written later. Raises what `Sink.apply` raises; then a
    part of the batch may have been committed, and only the position's row tells how far.
    """
    events, letters = decode_all(batch.records, route)
    seen = await route.cache.seen(events, lease)
    fresh = tuple(event for event in events if event.event_id not in seen)
    after = lease
    if fresh or letters:
        work = Work(fresh, letters, batch.end)
        async for part, written in apply_isolated(work, lease, route.sink, progress):
            after = after.moved_to(part.end)
            # Strictly after the commit, or a crash in between makes the cache know more than SQL.
            await route.cache.remember(written.marked, after)
            route.observe.written(part, written)
            if part.letters:
                _tell(part.letters)
    route.observe.taken(batch, events, seen, lease)
    return after


def decode_all(records: Iterable[Record], route: Route) -> tuple[tuple[Event, ...], tuple[DeadLetter, ...]]:
    """Decode each record to an event, or to the dead letter that says why it cannot be one."""
    events: list[Event] = []
    letters: list[DeadLetter] = []
    for record in records:
        try:
            events.append(route.decode(record))
        except PermanentError as error:
            letters.append(_letter(record, error, route.entity))
        except Exception as error:  # noqa: BLE001 - hostile bytes find what no list foresees
            letters.append(_letter(record, _unforeseen(error), route.entity))
    return tuple(events), tuple(letters)


def _tell(letters: Sequence[DeadLetter]) -> None:
    """One line a transaction: where its dead letters begin, and of which kinds they are."""
    first = letters[0].record
    kinds = sorted({letter.error_class for letter in letters})
    log.warning(
        "dead letters", partition=str(first.partition), number=len(letters), first=first.offset, kinds=kinds
    )


def _letter(record: Record, error: PermanentError, entity: str) -> DeadLetter:
    return DeadLetter(record, error.stage, error.error_class, str(error), entity=entity)


def _unforeseen(error: Exception) -> PermanentError:
    kind = type(error).__name__
    return PermanentError(f"decoding failed with {kind}", error_class=kind, stage="decode")
