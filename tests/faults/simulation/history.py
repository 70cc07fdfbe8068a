"""One history, from its seed to its verdict: members work, things happen, all heals, the judge looks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection

from tests.faults.simulation.faults import FAULTS
from tests.faults.simulation.journal import Journal
from tests.faults.simulation.loop import SimulatedLoop, Stalled
from tests.faults.simulation.quiet import Stage
from tests.faults.simulation.world import World

# Beyond this something runs in circles; the longest that was seen took a quarter of it.
MOST_STEPS = 100_000
LONGEST_PAUSE_SECONDS = 1.5
MOST_KINDS = 8


def play(seed: int, stage: Stage, *, among: Collection[str] = FAULTS, is_read: bool = False) -> Journal:
    """The journal of the history with this seed, with faults `among` these; `is_read` keeps its lines."""
    journal = Journal(is_read=is_read)
    rng = random.Random(seed)
    loop = SimulatedLoop(rng, most_steps=MOST_STEPS)
    journal.clock = loop.time
    journal.on_violation = loop.stop
    stage.begin(seed, journal)
    try:
        loop.run(_live(World(rng, loop, journal, stage), sorted(among)))
    except Stalled as reason:
        journal.violation("I6", str(reason))
    for complaint in loop.complaints:
        journal.violation("I6", f"asyncio says: {complaint}")
    return journal


async def _live(world: World, among: list[str]) -> None:
    rng = world.rng
    for _ in range(rng.choice((1, 1, 2, 3))):
        world.create_partition()
    for _ in range(rng.choice((1, 1, 2))):
        world.start_member()
    kinds = rng.sample(among, min(len(among), rng.randint(1, MOST_KINDS)))
    for _ in range(rng.randint(4, 12)):
        world.produce(rng.randint(0, 4))
        await asyncio.sleep(LONGEST_PAUSE_SECONDS * rng.random() ** 2)
        if rng.random() < 0.8:
            kind = rng.choice(kinds)
            world.journal.fault(kind)
            await FAULTS[kind](world)
    await world.heal()
    await world.become_quiet()
    world.judge.finish(world.database.tables)
    await world.stop_all()
    world.judge.finish(world.database.tables)
