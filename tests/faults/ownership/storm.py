"""A rebalance storm: members join, leave, are killed, stopped and woken every few seconds.

`endings` lets one rage over a stage under load. All blows are drawn from a seed; what the members are
doing when they strike is the machine's.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from tests.e2e.service_process import ServiceProcess
from tests.e2e.stage import Stage
from tests.e2e.world import Log

MEMBERS = 3
# Some sleep through the session timeout of 6 s and wake up as strangers.
_SLEEP_SECONDS = (0.5, 9.0)
_PAUSE_SECONDS = (2.0, 6.0)
_POLL_SECONDS = 0.2
# A standstill that is shorter is a batch, or a rebalance without any trouble.
_STALL_SECONDS = 1.0


@dataclass(slots=True)
class Stalls:
    """How long nothing moved on any partition, in seconds; shorter standstills than a second do not count."""

    longest_seconds: float = 0.0
    total_seconds: float = 0.0

    def note(self, seconds: float) -> None:
        """A standstill has ended."""
        if seconds >= _STALL_SECONDS:
            self.longest_seconds = max(self.longest_seconds, seconds)
            self.total_seconds += seconds


@dataclass(slots=True)
class Storm:
    """What happens to the members of a stage, and what it costs."""

    stage: Stage
    moments: random.Random
    settings: Mapping[str, str]
    struck: Counter[str] = field(default_factory=Counter)
    stalls: Stalls = field(default_factory=Stalls)

    async def rage(self, seconds: float) -> None:
        """Strike one member after the other for so long; in the end all of them are awake and at work."""
        for _ in range(MEMBERS - len(self.stage.replicas)):
            self.stage.start(**self.settings)
        watching = asyncio.create_task(self._watch())
        until = time.monotonic() + seconds
        # Each has a fate of its own, so that their troubles overlap.
        await asyncio.gather(*(self._trouble(member, until) for member in self.stage.replicas))
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    async def _trouble(self, member: ServiceProcess, until: float) -> None:
        blows: tuple[Callable[[ServiceProcess], Awaitable[None]], ...] = (self._kill, self._leave, self._stop)
        while time.monotonic() < until:
            await asyncio.sleep(self.moments.uniform(*_PAUSE_SECONDS))
            blow = self.moments.choice(blows)
            self.struck[blow.__name__.strip("_")] += 1
            await blow(member)

    async def _kill(self, member: ServiceProcess) -> None:
        await member.kill9()
        await asyncio.sleep(self.moments.uniform(0, 2))
        member.start()

    async def _leave(self, member: ServiceProcess) -> None:
        # One that is still starting has no handler yet and simply ends.
        await member.sigterm(timeout_seconds=60)
        await asyncio.sleep(self.moments.uniform(0, 2))
        member.start()

    async def _stop(self, member: ServiceProcess) -> None:
        member.stop()
        await asyncio.sleep(self.moments.uniform(*_SLEEP_SECONDS))
        member.cont()

    async def _watch(self) -> None:
        """Measure standstills; there is always something to read meanwhile."""
        last, since = -1, time.monotonic()
        try:
            while True:
                now = sum((await asyncio.to_thread(self.stage.positions)).values())
                if now != last:
                    self.stalls.note(time.monotonic() - since)
                    last, since = now, time.monotonic()
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            self.stalls.note(time.monotonic() - since)


async def owners(stage: Stage) -> Mapping[Log, list[str]]:
    """Which members say that they are at work on a partition."""
    found: dict[Log, list[str]] = {}
    for member in stage.replicas:
        for (name, labels), _value in (await member.metrics()).samples.items():
            if name == "upsertd_consumer_position":
                of = dict(labels)
                found.setdefault(Log(of["topic"], int(of["partition"])), []).append(member.name)
    return found
