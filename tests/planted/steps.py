"""Named steps of a run at which a scenario lets something happen: a crash, a lost answer, a pause.

The ports of `ports` call `reach`; scenarios plan with `at`. What happens is an async function; it may raise
what the port would raise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

PATIENCE_SECONDS = 20

Happening = Callable[[], Awaitable[None]]
Condition = Callable[[object], bool]


def always(_subject: object) -> bool:
    """The condition of what happens whatever the step is about."""
    return True


@dataclass(frozen=True, slots=True)
class _Plan:
    step: str
    happening: Happening
    when: Condition


class Steps:
    """What is planned, in order; each plan is carried out once."""

    def __init__(self) -> None:
        self._plans: list[_Plan] = []

    @property
    def pending(self) -> list[str]:
        """The steps whose plans were not carried out."""
        return [plan.step for plan in self._plans]

    def at(self, step: str, happening: Happening, *, when: Condition = always) -> None:
        """Let something happen the next time that `step` is reached with a subject that fits `when`."""
        self._plans.append(_Plan(step, happening, when))

    async def reach(self, step: str, subject: object = None) -> None:
        """Carry out the first plan for this step, if there is one."""
        plan = next((plan for plan in self._plans if plan.step == step and plan.when(subject)), None)
        if plan is not None:
            self._plans.remove(plan)
            await plan.happening()


class Gate:
    """A happening that holds whoever comes, until it is opened; then it raises `error`, if there is one."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error
        self._reached = asyncio.Event()
        self._opened = asyncio.Event()

    async def __call__(self) -> None:
        self._reached.set()
        await self._opened.wait()
        if self._error is not None:
            raise self._error

    async def reached(self) -> None:
        """Wait until somebody is held."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._reached.wait()

    def open(self) -> None:
        """Let everybody pass."""
        self._opened.set()


def failure(error: Exception) -> Happening:
    """A happening that raises `error`."""

    async def fail() -> None:
        raise error

    return fail
