"""The faults of a demo: when they come, what happens, and that each is undone whatever comes in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from service.demo.database_file import DatabaseFile
from service.demo.redis_server import RedisServer
from service.demo.scene import Scene, Tone

Wait = Callable[[float], Awaitable[bool]]
"""Waits so many seconds, or less when the demo comes to its end; says whether it goes on."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that begins and lasts so many seconds after the stream began."""

    begins: float
    lasts: float


def redis_outage(seconds: float) -> Fault:
    """When Redis is away in a stream of `seconds`."""
    return Fault(0.2 * seconds, min(max(0.12 * seconds, 1.0), 6.0))


def database_pause(seconds: float) -> Fault:
    """When the database is locked in a stream of `seconds`; a short lock is only waited for."""
    return Fault(0.5 * seconds, min(max(0.3 * seconds, 2.0), 10.0))


async def play_faults(scene: Scene, redis: RedisServer, database: DatabaseFile, wait: Wait) -> None:
    """Take Redis away for a while, then the database."""
    outage = redis_outage(scene.options.seconds)
    pause = database_pause(scene.options.seconds)
    if await wait(outage.begins):
        await _without_redis(scene, redis, wait, outage.lasts)
    if await wait(pause.begins - outage.begins - outage.lasts):
        await _without_database(scene, database, wait, pause.lasts)


async def _without_redis(scene: Scene, redis: RedisServer, wait: Wait, seconds: float) -> None:
    redis.kill()
    scene.say(f"Redis is killed for {seconds:.0f} s: no hits, SQL tells the duplicates", Tone.FAULT)
    try:
        await wait(seconds)
    finally:
        await redis.start()
    scene.say("Redis is back, and empty: the cache fills again", Tone.RELIEF)


async def _without_database(scene: Scene, database: DatabaseFile, wait: Wait, seconds: float) -> None:
    await asyncio.to_thread(database.lock)
    scene.say(f"the database is locked for {seconds:.0f} s: lanes pause, nothing is given up", Tone.FAULT)
    try:
        await wait(seconds)
    finally:
        await asyncio.to_thread(database.unlock)
    scene.say("the database is free again: the lanes go on where they stood", Tone.RELIEF)
