"""What of the service would make a history differ from its twin, or slow, replaced from outside for a while.

Chance (jitter, claim ids) comes from the history's seed, Redis is the simulated one, log lines go into the
journal, and nobody collects garbage in the middle of a batch. No rule of the service is touched.
"""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from service.core.types import Partition
from service.pipeline import claim, parked, partition, patience, process, retry, run
from service.pipeline.claim import StartKind
from service.pipeline.observe import Observer
from service.stores import positions, processed_cache
from service.telemetry.metrics import Metrics
from tests.faults.simulation.journal import Journal
from tests.faults.simulation.loop import PROCESS
from tests.faults.simulation.messages import ENTITY, NOON

if TYPE_CHECKING:
    from service.stores.redis_client import Command
    from tests.faults.simulation.redis import Redis

HISTORIES_BETWEEN_COLLECTIONS = 50


class Chance:
    """Stands in for the modules `random` and `secrets`; `begin` gives it the seed of a history."""

    def __init__(self) -> None:
        self._rng = random.Random()

    def begin(self, seed: str) -> None:
        self._rng.seed(seed)

    def uniform(self, low: float, high: float) -> float:
        return self._rng.uniform(low, high)

    def token_hex(self, count: int) -> str:
        return self._rng.randbytes(count).hex()


class Voice:
    """Stands in for the loggers of the pipeline. What nobody foresaw is a violation."""

    def __init__(self) -> None:
        self.journal = Journal()

    def debug(self, event: str, **more: object) -> None:
        self._note(event, more)

    info = warning = debug

    def error(self, event: str, **more: object) -> None:
        self._note(event, more)
        if event == "lane crashed":
            self.journal.violation("I6", f"{event}: {more}")

    def exception(self, event: str, **more: object) -> None:
        self._note(event, more)
        self.journal.violation("I6", f"{event} {more}: {sys.exc_info()[1]!r}")

    def _note(self, event: str, more: dict[str, object]) -> None:
        if self.journal.is_read:
            self.journal.note(PROCESS.get(), f"says: {event}", more or "")


class Deaf(Observer):
    """Counts nothing but claims: counting takes longer than handling a record of a history."""

    def __init__(self, metrics: Metrics, voice: Voice) -> None:
        super().__init__(metrics, ENTITY, _noon)
        self._voice = voice

    def claimed(self, partition: Partition, kind: StartKind) -> None:
        self._voice.journal.claims[kind.value] += 1

    def _nothing(self, *what: Any, **more: Any) -> None: ...

    written = taken = processed = retried = fenced = committed = paused = left = settled = _nothing


class _Collector:
    """Stands in for `gc`: the pipeline tidies up after failures, a simulation fails all the time."""

    def collect(self, generation: int = 2) -> None: ...


class Stage:
    """What all histories of a run share."""

    def __init__(self) -> None:
        self.chance = Chance()
        self.voice = Voice()
        self.observe = Deaf(Metrics("simulation"), self.voice)
        self._played = 0

    def begin(self, seed: int, journal: Journal) -> None:
        """Set the stage for a history."""
        self.chance.begin(f"service {seed}")
        self.voice.journal = journal
        self._played += 1
        if self._played % HISTORIES_BETWEEN_COLLECTIONS == 0:
            gc.collect()


@contextmanager
def quiet() -> Iterator[Stage]:
    """A stage for histories; the service is itself again afterwards."""
    stage = Stage()
    was_enabled = gc.isenabled()
    with (
        patch.multiple(retry, random=stage.chance),
        patch.multiple(claim, secrets=stage.chance),
        patch.multiple(positions, secrets=stage.chance),
        patch.multiple(patience, gc=_Collector()),
        patch.multiple(processed_cache, round_trip=_round_trip, send_all=_send_all, connection_pool=_no_pool),
        _told_to(stage.voice),
    ):
        gc.disable()
        try:
            yield stage
        finally:
            if was_enabled:
                gc.enable()


@contextmanager
def _told_to(voice: Voice) -> Iterator[None]:
    """Let every module of the pipeline say to `voice` what it says to its logger."""
    with ExitStack() as replaced:
        for module in (parked, partition, patience, process, run):
            replaced.enter_context(patch.object(module, "log", voice))
        yield


async def _round_trip(server: Redis, command: Command, _deadline_seconds: float) -> object:
    return await server.round_trip(command)


async def _send_all(server: Redis, commands: Sequence[Command], _deadline_seconds: float) -> None:
    await server.send_all(commands)


def _no_pool(_url: str, **_options: object) -> None:
    """The history gives the cache its server."""


def _noon() -> datetime:
    return NOON
