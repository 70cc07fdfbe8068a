"""What can happen in a history: one line a kind in `FAULTS`, one function each.

A history draws some of the kinds (a few that meet each other find more than all at once), then one after
the other, with records in between. Some last: they begin here and end by themselves later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.faults.simulation.database import Tables
from tests.faults.simulation.member import Member
from tests.faults.simulation.model import Model
from tests.faults.simulation.wire import Doom, Weather
from tests.faults.simulation.world import DOOM_CALLS, MOST_MEMBERS, World

Fault = Callable[[World], Awaitable[None]]

LONGEST_OUTAGE_SECONDS = 4.0
LONGEST_FREEZE_SECONDS = 8.0


async def member_killed(world: World) -> None:
    member = _one_up(world)
    if member is not None:
        world.kill(member)
        await _replace(world)


async def member_killed_at_a_call(world: World) -> None:
    member = _one_up(world)
    if member is not None:
        world.doom_to_die(member)


async def member_frozen(world: World) -> None:
    member = _one_up(world)
    if member is not None:
        world.freeze(member, _freeze_seconds(world))
        await _replace(world)


async def member_frozen_at_a_call(world: World) -> None:
    member = _one_up(world)
    if member is not None:
        seconds = _freeze_seconds(world)
        calls, before = world.rng.randint(1, DOOM_CALLS), world.rng.random() < 0.5
        doom = Doom(calls, before, lambda: world.freeze(member, seconds))
        world.wire.dooms[member.process] = doom


async def member_stopped(world: World) -> None:
    member = _one_up(world)
    if member is not None:
        member.stop()
        await _replace(world)


async def member_joins(world: World) -> None:
    if len(world.up) < MOST_MEMBERS:
        world.start_member()


async def rebalance(world: World) -> None:
    world.broker.rebalance()


async def partition_added(world: World) -> None:
    if len(world.broker.logs) < 3:
        world.create_partition()


async def database_away(world: World) -> None:
    _away(world, world.database_weather)


async def kafka_away(world: World) -> None:
    _away(world, world.kafka_weather)


async def redis_away(world: World) -> None:
    _away(world, world.redis_weather)


async def database_answers_lost(world: World) -> None:
    """Commits whose outcome nobody knows: half of the calls that are lost have taken effect."""
    world.database_weather.loses_request = world.database_weather.loses_answer = 0.3
    _clear_later(world, world.database_weather)


async def database_deadlocks(world: World) -> None:
    world.judge.has_deadlocks = True
    world.database_weather.refuses = 0.5
    _clear_later(world, world.database_weather)


async def kafka_answers_lost(world: World) -> None:
    world.kafka_weather.loses_request = world.kafka_weather.loses_answer = 0.3
    _clear_later(world, world.kafka_weather)


async def redis_answers_lost(world: World) -> None:
    weather = world.redis_weather
    weather.loses_request = weather.loses_answer = weather.refuses = 0.3
    _clear_later(world, weather)


async def cache_flushed(world: World) -> None:
    world.redis.entries.clear()


async def cache_forgets(world: World) -> None:
    for event_id in [each for each in world.redis.entries if world.rng.random() < 0.5]:
        del world.redis.entries[event_id]


async def cache_keys_planted(world: World) -> None:
    """Somebody else's values under ids that are there, or that come next."""
    count = len(world.press.messages)
    for number in {world.rng.randrange(count + 3) for _ in range(3)}:
        world.redis.plant(b"id-%d" % number, world.rng.choice((b"", b"1", b"x:1:1", b"\xff", b"::")))


async def backup_taken(world: World) -> None:
    world.take_backup()


async def database_restored(world: World) -> None:
    if world.backup is None:
        world.take_backup()
        await asyncio.sleep(3 * world.rng.random())
    assert world.backup is not None
    world.restore(*world.backup)


async def database_lost(world: World) -> None:
    world.restore(Tables(), Model())


async def group_reset(world: World) -> None:
    """An operator moves the offset of a stopped group, forth or back, or it expires."""
    await world.stop_group()
    partition = world.any_partition()
    log = world.broker.logs[partition]
    expires = world.rng.random() < 0.2
    offset = None if expires else world.rng.randint(log.beginning, log.end)
    world.journal.note("operator", f"resets the group's offset of {partition} to {offset}")
    world.broker.reset(partition, offset, world.database.tables.positions.get(partition))
    await asyncio.sleep(world.rng.random())
    world.start_member()


async def row_reset(world: World) -> None:
    """`upsertd positions reset` beside a running group, or a stopped one."""
    if world.rng.random() < 0.3:
        await world.stop_group()
    partition = world.any_partition()
    log = world.broker.logs[partition]
    await world.reset_row(partition, world.rng.randint(log.beginning, log.end))
    if not world.up:
        world.start_member()


async def log_trimmed(world: World) -> None:
    """Retention removes records, handled or not."""
    log = world.broker.logs[world.any_partition()]
    log.trim(world.rng.randint(log.beginning, log.end))


async def failures_mended(world: World) -> None:
    world.press.mended = True


FAULTS: dict[str, Fault] = {
    each.__name__: each
    for each in (
        member_killed,
        member_killed_at_a_call,
        member_frozen,
        member_frozen_at_a_call,
        member_stopped,
        member_joins,
        rebalance,
        partition_added,
        database_away,
        database_answers_lost,
        database_deadlocks,
        kafka_away,
        kafka_answers_lost,
        redis_away,
        redis_answers_lost,
        cache_flushed,
        cache_forgets,
        cache_keys_planted,
        backup_taken,
        database_restored,
        database_lost,
        group_reset,
        row_reset,
        log_trimmed,
        failures_mended,
    )
}


def _one_up(world: World) -> Member | None:
    return world.rng.choice(world.up) if world.up else None


async def _replace(world: World) -> None:
    """As a supervisor does: somebody is there again, at once or after a while."""
    if not world.up or world.rng.random() < 0.5:
        await asyncio.sleep(world.rng.random())
        if not world.up or len(world.up) < MOST_MEMBERS:
            world.start_member()


def _freeze_seconds(world: World) -> float:
    return LONGEST_FREEZE_SECONDS * world.rng.random() ** 2


def _away(world: World, weather: Weather) -> None:
    weather.away = True
    _clear_later(world, weather)


def _clear_later(world: World, weather: Weather) -> None:
    world.loop.later(LONGEST_OUTAGE_SECONDS * world.rng.random() ** 2, weather.clear)
