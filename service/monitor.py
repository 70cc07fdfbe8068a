"""Looks after the running service: asks every part how it is, measures lag, notices lanes that are stuck.

`app` runs it beside the lanes and hands its answers to the API, which therefore never waits for a part
that is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from service.core.errors import UpsertdError
from service.core.health import Liveness, PartHealth, Readiness, Status
from service.core.types import LetterStatus, Partition
from service.pipeline.partition import Lane
from service.telemetry.logging import get_logger
from service.telemetry.metrics import Metrics

PROBE_SECONDS = 5.0
ROUND_SECONDS = 3.0
# A lane that stands still for this long, with records to read and without a named reason, is stuck.
STUCK_SECONDS = 60.0
# A lane that Kafka took its partition from is given back or revoked by a rebalance, which ends by then.
UNASSIGNED_SECONDS = 120.0
# A pause that is over at once is weather, not news.
PAUSE_SECONDS = 2.0

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Probe:
    """Asks one part; raises when it fails. `when_away` says whether work stops without it."""

    ask: Callable[[], Awaitable[None]]
    when_away: Status = Status.FAILING


class Monitor:
    """Keeps the latest answers. `ends` gives the logs' ends, `letters` the dead letters by status."""

    def __init__(
        self,
        probes: Mapping[str, Probe],
        lanes: Callable[[], Sequence[Lane]],
        ends: Callable[[Collection[Partition]], Awaitable[Mapping[Partition, int]]],
        letters: Callable[[], Awaitable[Mapping[str, int]]],
        metrics: Metrics,
    ) -> None:
        self._probes = probes
        self._lanes = lanes
        self._ends = ends
        self._letters = letters
        self._metrics = metrics
        self._behind: set[Partition] = set()
        self._parts = {
            name: PartHealth(name, probe.when_away, "not asked yet") for name, probe in probes.items()
        }
        for name in probes:
            metrics.part_ready.labels(name).set(0)

    async def run(self) -> None:
        """Look after everything, round after round, until cancelled."""
        while True:
            measures = map(self._measure, (self._measure_lag, self._count_letters))
            await asyncio.gather(*map(self._probe, self._probes), *measures)
            await asyncio.sleep(ROUND_SECONDS)

    def ready(self) -> Readiness:
        """Every part, and every lane that does not move."""
        return Readiness((*self._parts.values(), *self._paused_lanes()))

    def live(self) -> Liveness:
        """Lanes without progress for a minute, unless something has a name for it."""
        if any(part.status is Status.FAILING for part in self._parts.values()):
            return Liveness()
        now = asyncio.get_running_loop().time()
        return Liveness(
            tuple(
                f"lane {lane.partition} at {lane.step} for {now - lane.moved_at:.0f} s"
                for lane in self._lanes()
                if self._is_stuck(lane, now)
            )
        )

    def _is_stuck(self, lane: Lane, now: float) -> bool:
        if lane.paused == "unassigned":
            return now - lane.paused_at > UNASSIGNED_SECONDS
        return lane.paused is None and lane.partition in self._behind and now - lane.moved_at > STUCK_SECONDS

    def _paused_lanes(self) -> Iterator[PartHealth]:
        now = asyncio.get_running_loop().time()
        for lane in self._lanes():
            if lane.paused and now - lane.paused_at > PAUSE_SECONDS:
                reason = f"{lane.paused}: {lane.detail}" if lane.detail else lane.paused
                yield PartHealth(f"lane {lane.partition}", Status.FAILING, reason)

    async def _probe(self, name: str) -> None:
        probe = self._probes[name]
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await probe.ask()
        except TimeoutError:
            answer = PartHealth(name, probe.when_away, f"no answer within {PROBE_SECONDS:g} s")
        except UpsertdError as error:
            answer = PartHealth(name, probe.when_away, str(error).removeprefix(f"{name}: "))
        except Exception as error:
            log.exception("probe failed", part=name)
            answer = PartHealth(name, probe.when_away, type(error).__name__)
        else:
            answer = PartHealth(name, Status.OK)
        if answer.status is not self._parts[name].status:
            write = log.warning if answer.reason else log.info
            write("part changed", part=name, status=answer.status.value, reason=answer.reason or None)
        self._parts[name] = answer
        self._metrics.part_ready.labels(name).set(answer.status is Status.OK)

    async def _measure(self, measure: Callable[[], Awaitable[None]]) -> None:
        """Measuring is a courtesy: a part that is away has its probe to say so."""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await measure()
        except (UpsertdError, TimeoutError) as error:
            log.debug("not measured", what=measure.__name__, reason=type(error).__name__)
        except Exception:
            log.exception("not measured", what=measure.__name__)

    async def _measure_lag(self) -> None:
        self._behind.clear()  # until Kafka has answered, nobody knows
        ends = await self._ends([lane.partition for lane in self._lanes() if lane.position >= 0])
        for lane in self._lanes():  # as they are now: some may have left meanwhile
            if lane.partition in ends and lane.position >= 0:
                lag = max(0, ends[lane.partition] - lane.position)
                labels = (lane.partition.topic, str(lane.partition.number))
                self._metrics.consumer_lag.labels(*labels).set(lag)
                self._metrics.consumer_position.labels(*labels).set(lane.position)
                if lag:
                    self._behind.add(lane.partition)
                else:
                    lane.caught_up()

    async def _count_letters(self) -> None:
        letters = await self._letters()
        for status in LetterStatus:
            self._metrics.dead_letters.labels(status).set(letters.get(status, 0))
