"""Plays one act: replicas under load, its scenes one after the other, and the judges at its end.

Called by `run`. An act has topics and a database of its own, so that what the judges have to read stays
small, and a violation is noticed within minutes of its cause.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.service_process import ServiceFailed
from tests.e2e.stage import Stage, staged
from tests.e2e.workload import Workload
from tests.faults.chaos.flow import flowing
from tests.faults.chaos.results import Act, Injected, went_on
from tests.faults.chaos.scene import STUCK_SECONDS, play, wait_until
from tests.faults.chaos.schedule import Scene
from tests.faults.chaos.servers import Servers
from tests.faults.chaos.verdict import Verdict, judged
from tests.faults.chaos.watch import FENCED, REDELIVERED, Watch, watching

PER_SECOND = 300
_GOODBYE_SECONDS = 10.0
_LINES = 4  # of what went wrong, in the report; all of it is told

Tell = Callable[[str], None]


class Stuck(Exception):
    """Work did not go on after these faults."""


@dataclass(frozen=True, slots=True)
class Theatre:
    """What all acts of a run share.

    `began` is the run's zero of time (monotonic), `logs` where the replicas' logs are kept when something was
    wrong.
    """

    servers: Servers
    began: float
    tell: Tell
    logs: Path | None = None

    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began


@dataclass(slots=True)
class Played:
    """What happened so far; `problems` are what the harness saw itself, not the judges."""

    faults: list[Injected] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    restored: bool = False  # the database went back at times


async def play_act(theatre: Theatre, scenes: Iterable[Scene], seed: int) -> Act:
    """Play scenes, drain, end the replicas, judge; `seed` is the workload's."""
    servers, began_at, played = theatre.servers, theatre.now(), Played()
    with staged(servers.kafka, servers.mariadb, servers.redis, servers.schema) as stage:
        watch = await _perform(theatre, stage, scenes, Workload(seed), played)
        await _end(stage, played)
        verdict = await judged(stage, restored=played.restored)
        violations = (*played.problems, *verdict.violations)
        _tell_verdict(stage, verdict, violations, theatre.tell)
        if violations and theatre.logs is not None:
            _keep_logs(stage, theatre.logs / str(seed), theatre.tell)
        return Act(
            seed,
            began_at,
            theatre.now(),
            tuple(played.faults),
            tuple(watch.points),
            len(stage.sent),
            dict(stage.model.outcomes),
            watch.counted(REDELIVERED),
            watch.counted(FENCED),
            verdict.lost,
            verdict.doubled,
            violations,
        )


async def _perform(
    theatre: Theatre, stage: Stage, scenes: Iterable[Scene], workload: Workload, played: Played
) -> Watch:
    """Everything that happens under load, and until the topics are drained afterwards."""
    for proxies in theatre.servers.proxies:
        stage.start(**proxies.settings(stage.world.database_url))
    await _all_ready(stage)
    async with (
        flowing(stage, workload, PER_SECOND) as flow,
        watching(stage, flow, theatre.now) as watch,
    ):
        try:
            for scene in scenes:
                await _play_scene(scene, theatre, stage, watch, played)
            await flow.end()
            await stage.settle(STUCK_SECONDS)
        except (Stuck, ServiceFailed) as failed:
            theatre.tell(f"    {failed}")
            played.problems.append("I6 " + "; ".join(str(failed).splitlines()[:_LINES]))
    return watch


async def _play_scene(scene: Scene, theatre: Theatre, stage: Stage, watch: Watch, played: Played) -> None:
    played.restored |= any(planned.kind.name == "database restored" for planned in scene.faults)
    seen = await play(scene, theatre.servers, stage, watch)
    played.faults += seen
    names = " + ".join(each.kind for each in seen)
    recovery = seen[0].recovery_seconds
    if recovery is None:
        raise Stuck(f"{names}: work did not go on within {STUCK_SECONDS:g} s")
    held_seconds = max(each.healed_at for each in seen) - min(each.injected_at for each in seen)
    theatre.tell(f"    {names}, {held_seconds:.1f} s: {went_on(seen[0])}")
    # A replica that never gets ready again is stuck too, though others do its work.
    await _all_ready(stage)
    await asyncio.sleep(scene.pause_seconds)


async def _all_ready(stage: Stage) -> None:
    await asyncio.gather(*[replica.wait_ready(STUCK_SECONDS) for replica in stage.replicas])


async def _end(stage: Stage, played: Played) -> None:
    """End every replica in an orderly way: exit 0, and no connection stays."""
    codes = await asyncio.gather(*[replica.sigterm() for replica in stage.replicas], return_exceptions=True)
    played.problems += [f"I8 a replica ended with {code}" for code in codes if code != 0]
    if not await wait_until(lambda: stage.connections() == 0, _GOODBYE_SECONDS):
        played.problems.append(f"I6 {stage.connections()} connections to the database are left")


def _tell_verdict(stage: Stage, verdict: Verdict, violations: tuple[str, ...], tell: Tell) -> None:
    found = f"{len(violations)} violations" if violations else "nothing is wrong"
    sent = f"{len(stage.sent):,} records"
    tell(f"    judged: {sent}, {verdict.lost} lost, {verdict.doubled} doubled, {found}")
    for line in violations:
        tell(f"      {line}")


def _keep_logs(stage: Stage, folder: Path, tell: Tell) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for replica in stage.replicas:
        (folder / f"{replica.name}.log").write_text(replica.log)
    tell(f"      the replicas' logs are in {folder}")
