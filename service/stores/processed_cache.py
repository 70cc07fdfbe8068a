"""Redis as the hint of which events SQL has marked: key `processed:event:<event_id>`, a short life.

The pipeline asks it before a transaction and tells it after a confirmed commit, one round trip a batch
each. A value is `<namespace>:<offset>:<entity_id>`; it counts only when all three fit the asking lane and
event (semantics.md, "The cache"), so whatever else lies under a key is a miss. A Redis that is away, slow,
full or somebody else's costs speed alone: nothing here raises, and a circuit breaker keeps the price of
an outage at one short wait every few seconds. Opening connections is left to `redis_client`, metrics to
the callbacks.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from redis.asyncio import BlockingConnectionPool

from service.core.errors import Unavailable
from service.core.types import Event, Lease
from service.stores.circuit_breaker import CircuitBreaker, Permit, ignore_change
from service.stores.redis_client import (
    Command,
    CommandRefused,
    close_pool,
    connection_pool,
    round_trip,
    send_all,
)

KEY_PREFIX = b"processed:event:"

# Only where the key is there, which it never is: an event id has at least one byte. A Redis that is full, or
# somebody's replica, answers a PING, but refuses this as it refuses entries.
_WRITE_NOTHING: Command = (b"SET", KEY_PREFIX, b"", b"XX")

Sent = TypeVar("Sent")
Reply = TypeVar("Reply")

OnLookup = Callable[[int, int, int], None]
"""Told of each lookup how many ids were hits, misses and errors (could not be looked up)."""


def ignore_lookup(hits: int, misses: int, errors: int) -> None:
    """Tell nobody what a lookup found."""


class RedisProcessedCache:
    """The processed-event cache in Redis; many lanes may use one at the same time.

    `ttl_seconds` gives the life of an entry by entity, at least 1, `default_ttl_seconds` that of the other
    entities. `deadline_seconds` bounds each call that has its turn, connecting included. `on_lookup` hears of
    every lookup, `on_breaker` True when the breaker opens and False when it closes.
    """

    def __init__(
        self,
        url: str,
        *,
        default_ttl_seconds: int = 300,
        ttl_seconds: Mapping[str, int] | None = None,
        deadline_seconds: float = 0.2,
        max_connections: int = 8,
        on_lookup: OnLookup = ignore_lookup,
        on_breaker: Callable[[bool], None] = ignore_change,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = connection_pool(url, max_connections=max_connections)
        self._default_ttl_seconds = default_ttl_seconds
        self._ttl_seconds = dict(ttl_seconds or {})
        self._deadline_seconds = deadline_seconds
        # Who waits here waits for other lanes, not for Redis: the deadline begins afterwards.
        self._turns = asyncio.Semaphore(max_connections)
        self._on_lookup = on_lookup
        self._breaker = CircuitBreaker(clock, on_change=on_breaker)

    async def seen(self, events: Sequence[Event], lease: Lease) -> frozenset[bytes]:
        """The ids of `events` that count as a hit under `lease`; none when Redis does not answer."""
        if not events:
            return frozenset()
        values = await self._ask(round_trip, (b"MGET", *(_key(event) for event in events)))
        if not isinstance(values, list) or len(values) != len(events):
            self._on_lookup(0, 0, len(events))
            return frozenset()
        hits = _hits(events, values, lease)
        found = sum(event.event_id in hits for event in events) if hits else 0
        self._on_lookup(found, len(events) - found, 0)
        return hits

    async def remember(self, events: Sequence[Event], lease: Lease) -> None:
        """Store `events`, which SQL has marked, for their time to live; a failure is a miss later on."""
        for ttl_seconds, entries in self._entries_by_ttl(events, lease).items():
            life = b"%d" % ttl_seconds
            keyed = zip(map(_key, entries), _values(entries, lease), strict=True)
            await self._ask(send_all, [(b"SET", key, value, b"EX", life) for key, value in keyed])

    async def ping(self) -> None:
        """Raise `Unavailable` unless Redis would take an entry; asks it whatever the breaker says."""
        try:
            async with self._turns:
                await send_all(self._pool, [_WRITE_NOTHING, _WRITE_NOTHING], self._deadline_seconds)
        except CommandRefused as refusal:
            raise Unavailable(str(refusal), part="redis") from refusal

    async def close(self) -> None:
        """Close every connection; never raises."""
        await close_pool(self._pool, self._deadline_seconds)

    async def _ask(
        self, send: Callable[[BlockingConnectionPool, Sent, float], Awaitable[Reply]], what: Sent
    ) -> Reply | None:
        """Return the reply, or None when the breaker is open or Redis does not serve the command."""
        async with self._turns:
            permit = self._breaker.admit()
            if permit is None:
                return None
            return await self._permitted(permit, send(self._pool, what, self._deadline_seconds))

    async def _permitted(self, permit: Permit, reply: Awaitable[Reply]) -> Reply | None:
        try:
            answer = await reply
        except CommandRefused:
            # Full or read-only: answered at once, and the other command may well be served. No verdict.
            return None
        except Unavailable:
            self._breaker.failed(permit)
            return None
        else:
            self._breaker.succeeded(permit)
            return answer
        finally:
            self._breaker.release(permit)

    def _entries_by_ttl(self, events: Sequence[Event], lease: Lease) -> dict[int, list[Event]]:
        """What to store, by its time to live: one kind for a lane's events, which are of one entity."""
        entries: dict[int, list[Event]] = defaultdict(list)
        for event in _entries(events, lease):
            entries[self._ttl_seconds.get(event.entity, self._default_ttl_seconds)].append(event)
        return entries


class NoCache:
    """Stands in where no Redis is configured: every event is a miss."""

    def __init__(self, on_lookup: OnLookup = ignore_lookup) -> None:
        self._on_lookup = on_lookup

    async def seen(self, events: Sequence[Event], lease: Lease) -> frozenset[bytes]:
        """No id."""
        if events:
            self._on_lookup(0, len(events), 0)
        return frozenset()

    async def remember(self, events: Sequence[Event], lease: Lease) -> None:
        """Store nothing."""


def _key(event: Event) -> bytes:
    return KEY_PREFIX + event.event_id


def _values(events: Iterable[Event], lease: Lease) -> list[bytes]:
    prefix = lease.cache_namespace.encode()
    return [b"%b:%d:%d" % (prefix, event.record.offset, event.entity_id) for event in events]


def _hits(events: Sequence[Event], values: Sequence[object], lease: Lease) -> frozenset[bytes]:
    """The ids that count as known by what Redis answered for each event."""
    prefix = b"%b:" % lease.cache_namespace.encode()
    hits: set[bytes] = set()
    missed: set[bytes] = set()
    for event, value in zip(events, values, strict=True):
        known = value is not None and _fits(value, prefix, event, lease)
        (hits if known else missed).add(event.event_id)
    # An id that stands twice in the batch, for two entities, must not pass for both: a miss.
    return frozenset(hits - missed)


def _fits(value: object, prefix: bytes, event: Event, lease: Lease) -> bool:
    """Whether `value` is what a lane wrote in this namespace for this entity, of a record handled in SQL."""
    suffix = b":%d" % event.entity_id
    if not isinstance(value, bytes) or not (value.startswith(prefix) and value.endswith(suffix)):
        return False
    offset = value[len(prefix) : -len(suffix)]
    # Nineteen digits hold every offset; int() alone would also take "+5", " 5", "5_0" and "05".
    if not offset.isdigit() or len(offset) > 19 or (offset[:1] == b"0" and offset != b"0"):
        return False
    return lease.handled_from <= int(offset) < lease.handled_offset


def _entries(events: Sequence[Event], lease: Lease) -> list[Event]:
    """One event for each id: the one at the higher offset, which counts as a hit the later.

    The offset of an event from another partition says nothing under this lease: it is left out.
    """
    latest: dict[bytes, Event] = {}
    for event in events:
        known = latest.get(event.event_id)
        if event.record.partition == lease.partition and (
            known is None or known.record.offset < event.record.offset
        ):
            latest[event.event_id] = event
    return list(latest.values())
