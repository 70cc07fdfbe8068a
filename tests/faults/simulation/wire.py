"""Calls from a process to a server: a way there, the effect on the server, a way back, each of some length.

The adapters of this package make all their calls here, so this is also where members die: before a call, or
between its effect and its answer. A server has a *weather*: how it answers just now.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from service.core.errors import ConnectionLost, Unavailable, UpsertdError
from tests.faults.simulation.journal import Journal
from tests.faults.simulation.loop import PROCESS, Process, SimulatedLoop

Result = TypeVar("Result")

CALLS = (
    "join",
    "position",
    "group offset",
    "log range",
    "claim",
    "seen",
    "apply",
    "remember",
    "commit",
    "due",
    "retry",
    "failed",
    "leave",
)
"""The calls that members make all the time; there are a few more."""


@dataclass(slots=True)
class Weather:
    """How a server answers: not at all, or now and then badly (from 0, never, to 1, always)."""

    part: str
    away: bool = False
    refuses: float = 0.0
    loses_request: float = 0.0
    loses_answer: float = 0.0
    # Makes an error of the kind that only this server knows, such as a deadlock.
    refusal: Callable[[], UpsertdError] | None = None

    def clear(self) -> None:
        """Everything is well again."""
        self.away = False
        self.refuses = self.loses_request = self.loses_answer = 0.0


@dataclass(slots=True)
class Doom:
    """What befalls a process at the call that is `calls` away, or the call of that `name` that is.

    `strike` comes before the call, or between its effect and its answer.
    """

    calls: int
    before: bool
    strike: Callable[[], None]
    name: str | None = None


class Wire:
    """Carries the calls of a history. `slowness` stretches the ways, 1 is a good network."""

    def __init__(self, loop: SimulatedLoop, rng: random.Random, journal: Journal, slowness: float) -> None:
        self.dooms: dict[Process, Doom] = {}
        self._loop = loop
        self._rng = rng
        self._journal = journal
        self._slowness = slowness

    async def call(self, name: str, weather: Weather, effect: Callable[[], Result], *words: object) -> Result:
        """Have `effect` run on a server and return what it returns, or raise what it raises.

        Whether a call whose caller has gone takes effect is left to chance.
        """
        process = PROCESS.get()
        self._journal.calls += 1
        doom = self._doom(process, name)
        if doom is not None and doom.before:
            self._strike(process, doom, f"before {name}")
            # A process that is frozen here sends its call when it wakes, one that is dead never does.
            await self._way()
            doom = None
        answer = self._loop.create_future()

        def arrive() -> None:
            has_gone = answer.cancelled() or not (process is None or process.alive)
            if has_gone and self._rng.random() < 0.5:
                return
            result, error = self._take_effect(weather, effect)
            if self._journal.is_read:
                self._journal.note(process, name, *words, "->", _told(result, error))
            if doom is not None:
                self._strike(process, doom, f"inside {name}")
            self._loop.later(self.delay(), _deliver, answer, result, error)

        self._loop.later(self.delay(), arrive)
        result: Result = await answer
        return result

    def note(self, name: str, *words: object) -> None:
        """Something happened on the way without a call."""
        if self._journal.is_read:
            self._journal.note(PROCESS.get(), name, *words)

    def delay(self) -> float:
        """Seconds that a way takes: mostly milliseconds, sometimes long enough for others to overtake."""
        length = self._rng.random()
        if length < 0.9:
            return 0.01 * length * self._slowness
        return 0.3 * (length - 0.9) * 10 * self._slowness

    async def _way(self) -> None:
        await asyncio.sleep(self.delay())

    def _doom(self, process: Process | None, name: str) -> Doom | None:
        doom = self.dooms.get(process) if process is not None else None
        if doom is None or process is None or doom.name not in (None, name):
            return None
        doom.calls -= 1
        return self.dooms.pop(process) if doom.calls <= 0 else None

    def _strike(self, process: Process | None, doom: Doom, where: str) -> None:
        if process is not None and process.alive and not process.frozen:
            self._journal.crashes[where] += 1
            doom.strike()

    def _take_effect(self, weather: Weather, effect: Callable[[], Any]) -> tuple[Any, UpsertdError | None]:
        """What the server sends back. Of every call it is decided here whether it happens."""
        part, chance = weather.part, self._rng.random()
        if weather.away:
            return None, Unavailable(f"{part} is away", part=part)
        if weather.refuses and chance < weather.refuses:
            return None, weather.refusal() if weather.refusal else Unavailable(f"{part} is full", part=part)
        if weather.loses_request and self._rng.random() < weather.loses_request:
            return None, ConnectionLost(f"connection to {part} lost", part=part)
        try:
            result = effect()
        except UpsertdError as error:
            return None, error
        if weather.loses_answer and self._rng.random() < weather.loses_answer:
            return None, ConnectionLost(f"connection to {part} lost", part=part)
        return result, None


def _deliver(answer: Any, result: object, error: UpsertdError | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)


def _told(result: object, error: UpsertdError | None) -> str:
    return str(result) if error is None else f"{type(error).__name__}: {error}"
