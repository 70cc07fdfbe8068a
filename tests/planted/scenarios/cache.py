"""Scenarios of a Redis that holds what upsertd never wrote."""

from __future__ import annotations

import redis

from tests.e2e.world import CACHE_PREFIX
from tests.planted.changes import customer
from tests.planted.scene import Scene


async def planted_keys(scene: Scene) -> list[str]:
    """There is something under the keys of events that are still to come."""
    with redis.Redis.from_url(scene.redis_url) as client:
        client.set(CACHE_PREFIX + b"a", b"1")
        client.lpush((CACHE_PREFIX + b"b").decode(), "1")
    scene.handle(customer("a", 1, version=1), customer("b", 2, version=1))
    await scene.start()
    return await scene.violations()
