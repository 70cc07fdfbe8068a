"""A circuit breaker: stops asking a part that keeps failing, and finds out by itself when it is back.

Closed, every call may go. After a few failures in a row it opens: for a pause that grows with every
failed trial no call may go; after it one call, the trial, goes alone and decides. Pure bookkeeping without
tasks and sleeps: `processed_cache` reports to it what became of its calls, and decides what a refused call
means.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def ignore_change(open: bool) -> None:  # noqa: A002  the word of the metric
    """Tell nobody that the breaker opened or closed."""


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave for one call; `era` tells a report on the present state from a straggler of an earlier one."""

    era: int


class CircuitBreaker:
    """Hands out a permit for each call that may go and hears how it ended.

    Every permit ends in `release`; before it, at most one of `succeeded` and `failed`. A permit released
    without a report says nothing about the part, and hands a trial to the next call.

    `clock` answers seconds and never runs backwards. `on_change` hears True on opening and False on
    closing; a trial in between changes nothing for the world.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        failures_to_open: int = 3,
        first_pause_seconds: float = 1.0,
        longest_pause_seconds: float = 3.0,
        on_change: Callable[[bool], None] = ignore_change,
    ) -> None:
        self._clock = clock
        self._failures_to_open = failures_to_open
        self._first_pause_seconds = first_pause_seconds
        self._longest_pause_seconds = longest_pause_seconds
        self._on_change = on_change
        self._era = 0
        self._failures = 0
        self._pause_seconds = first_pause_seconds
        self._open_until: float | None = None
        self._trial_under_way = False

    @property
    def is_open(self) -> bool:
        """Whether calls are held back, trials apart."""
        return self._open_until is not None

    def admit(self) -> Permit | None:
        """Return a permit for one call, or None when it must not go."""
        if self._open_until is not None:
            if self._trial_under_way or self._clock() < self._open_until:
                return None
            self._trial_under_way = True
        return Permit(self._era)

    def succeeded(self, permit: Permit) -> None:
        """The part answered in time."""
        if permit.era != self._era:
            return
        self._failures = 0
        if self.is_open:
            self._close()

    def failed(self, permit: Permit) -> None:
        """The part did not answer, or not in time."""
        if permit.era != self._era:
            return
        self._failures += 1
        if self.is_open:
            self._pause_longer()
        elif self._failures >= self._failures_to_open:
            self._open()

    def release(self, permit: Permit) -> None:
        """The call is over, whatever became of it."""
        if permit.era == self._era:
            self._trial_under_way = False

    def _open(self) -> None:
        self._era += 1
        self._pause_seconds = self._first_pause_seconds
        self._open_until = self._clock() + self._pause_seconds
        self._on_change(True)

    def _pause_longer(self) -> None:
        self._pause_seconds = min(self._pause_seconds * 2, self._longest_pause_seconds)
        self._open_until = self._clock() + self._pause_seconds

    def _close(self) -> None:
        self._era += 1
        self._trial_under_way = False
        self._open_until = None
        self._on_change(False)
