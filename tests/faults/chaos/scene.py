"""Plays one scene: lets its faults strike and heal, and waits until work goes on everywhere.

Called by `act`. Nothing is asserted here of how long that takes, beyond a bound that no machine excuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import NamedTuple

from tests.e2e.stage import Stage
from tests.faults.chaos.fault import BACK, Place, Since
from tests.faults.chaos.results import Injected
from tests.faults.chaos.schedule import Planned, Scene
from tests.faults.chaos.servers import Servers
from tests.faults.chaos.watch import Watch

# Work that has not gone on by then is stuck: far beyond every goal, whatever the machine.
STUCK_SECONDS = 90.0
_POLL_SECONDS = 0.1


class Times(NamedTuple):
    """When a fault began and when it was over, in seconds since the run began."""

    injected_at: float
    healed_at: float


async def play(scene: Scene, servers: Servers, stage: Stage, watch: Watch) -> list[Injected]:
    """Play it to its end and say what was seen; a recovery of None means that work did not go on."""
    watch.forget_looks()
    times = await _all_struck([_strike(each, servers, stage, watch) for each in scene.faults])
    healed_at = max(each.healed_at for each in times)
    await wait_until(lambda: watch.recovery(healed_at) is not None, STUCK_SECONDS)
    recovery = watch.recovery(healed_at)
    if recovery is not None and _is_counted_from_injection(scene):
        recovery = watch.standstill(times[0].injected_at)
    return list(_seen(scene, times, recovery))


def _is_counted_from_injection(scene: Scene) -> bool:
    """What overlapped is over when the last fault of it is, whatever the others were."""
    return len(scene.faults) == 1 and scene.faults[0].kind.goal.since is Since.INJECTED


async def wait_until(holds: Callable[[], bool], seconds: float) -> bool:
    """Wait until `holds` does; False when it still does not after `seconds`."""
    over = asyncio.get_running_loop().time() + seconds
    # What is waited for happens in other processes, which tell nobody.
    while not (held := holds()) and asyncio.get_running_loop().time() < over:  # noqa: ASYNC110
        await asyncio.sleep(_POLL_SECONDS)
    return held


async def _all_struck(strikes: Iterable[Coroutine[None, None, Times]]) -> list[Times]:
    """Wait for all of them, also when one goes wrong: the others are to heal what they broke."""
    ended = await asyncio.gather(*strikes, return_exceptions=True)
    for each in ended:
        if isinstance(each, BaseException):
            raise each
    return [each for each in ended if isinstance(each, Times)]


async def _strike(planned: Planned, servers: Servers, stage: Stage, watch: Watch) -> Times:
    """One fault, from its injection to its heal."""
    await asyncio.sleep(planned.after_seconds)
    async with planned.kind.strike(Place(servers, stage, planned.replica)):
        injected_at = watch.now()
        await asyncio.sleep(planned.held_seconds)
    return Times(injected_at, watch.now())


def _seen(scene: Scene, times: list[Times], recovery: float | None) -> Iterator[Injected]:
    alone = len(scene.faults) == 1
    goal = scene.faults[0].kind.goal if alone else BACK
    for planned, (injected_at, healed_at) in zip(scene.faults, times, strict=True):
        kind = planned.kind
        yield Injected(
            kind.name,
            kind.part,
            scene.number,
            planned.replica,
            injected_at,
            healed_at,
            goal.since,
            goal.seconds,
            recovery,
            alone,
        )
