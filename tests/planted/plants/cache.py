"""Bugs in what counts as a hit."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from service.core.types import Event, Lease
from service.stores import processed_cache
from service.stores.processed_cache import KEY_PREFIX, RedisProcessedCache

_fits = processed_cache._fits


def ask_by_existence(patch: pytest.MonkeyPatch) -> None:
    """`RedisProcessedCache.seen` asks `EXISTS`."""

    async def seen(self: RedisProcessedCache, events: Sequence[Event], lease: Lease) -> frozenset[bytes]:
        ids = [event.event_id for event in events]
        ask = vars(processed_cache)["round_trip"]  # a history has put its own there
        return frozenset([each for each in ids if await self._ask(ask, (b"EXISTS", KEY_PREFIX + each))])

    patch.setattr(RedisProcessedCache, "seen", seen)


def any_offset(patch: pytest.MonkeyPatch) -> None:
    """`processed_cache._fits` does not compare the offset with `handled_offset`."""

    def fits(value: object, prefix: bytes, event: Event, lease: Lease) -> bool:
        return _fits(value, prefix, event, replace(lease, handled_offset=2**63))

    patch.setattr(processed_cache, "_fits", fits)


def any_namespace(patch: pytest.MonkeyPatch) -> None:
    """`processed_cache._fits` takes every namespace for the lane's, from its beginning on."""

    def fits(value: object, prefix: bytes, event: Event, lease: Lease) -> bool:
        namespace = value.split(b":")[0] if isinstance(value, bytes) else b""
        return _fits(value, namespace + b":", event, replace(lease, handled_from=0))

    patch.setattr(processed_cache, "_fits", fits)


def any_beginning(patch: pytest.MonkeyPatch) -> None:
    """`processed_cache._fits` does not compare the offset with `handled_from`."""

    def fits(value: object, prefix: bytes, event: Event, lease: Lease) -> bool:
        return _fits(value, prefix, event, replace(lease, handled_from=0))

    patch.setattr(processed_cache, "_fits", fits)


def any_entity(patch: pytest.MonkeyPatch) -> None:
    """`processed_cache._fits` takes every id for the event's."""

    def fits(value: object, prefix: bytes, event: Event, lease: Lease) -> bool:
        entity_id = int(value.split(b":")[-1]) if isinstance(value, bytes) else 0
        return _fits(value, prefix, replace(event, entity_id=entity_id), lease)

    patch.setattr(processed_cache, "_fits", fits)
