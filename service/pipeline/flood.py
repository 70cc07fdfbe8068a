"""The flood guard: too many dead letters among the last records, and the lanes of the process pause.

A wrong deployment of a producer, or a schema that does not fit, would otherwise drain a whole topic into the
dead letters. Lanes count here and look here before each batch; an operator, or a restart, lets them go on.
"""

from __future__ import annotations

from collections import deque

from service.core.types import Work
from service.pipeline.isolate import split


class Flooded(Exception):
    """Too many dead letters: what is left of the batch is not to be tried."""


class FloodGuard:
    """Counts the records of all lanes; `reason` says why they are to pause, None: they are not.

    It trips when `ratio` of the last `window_records` are dead; a window that is not full yet counts as full
    of good ones. A window of 0 never trips.
    """

    def __init__(self, ratio: float = 0.5, window_records: int = 1000) -> None:
        self.reason: str | None = None
        self._ratio = ratio
        self._window_records = window_records
        self._forget()

    def portions(self, work: Work) -> tuple[Work, ...]:
        """All of `work`; with dead letters in it, no more at a time than a window: or it trips too late."""
        items = len(work.events) + len(work.letters)
        if not work.letters or not 0 < self._window_records < items:
            return (work,)
        return split(work, -(-items // self._window_records))

    def count(self, records: int, dead: int) -> None:
        """So many records were handled, so many of them are dead. Raises `Flooded` when it has tripped."""
        self._parts.append((records, dead))
        self._records += records
        self._dead += dead
        while self._records - self._parts[0][0] >= max(self._window_records, 1):
            old_records, old_dead = self._parts.popleft()
            self._records -= old_records
            self._dead -= old_dead
        if self._is_flood():
            self.reason = f"{self._dead} of the last {self._records} records are dead"
            raise Flooded(self.reason)

    def resume(self) -> bool:
        """Begin a new window; whether the lanes were pausing."""
        was_paused = self.reason is not None
        self.reason = None
        self._forget()
        return was_paused

    def _is_flood(self) -> bool:
        enough = self._ratio * max(self._records, self._window_records)
        return self._window_records > 0 and self._dead >= enough

    def _forget(self) -> None:
        self._parts: deque[tuple[int, int]] = deque()
        self._records = self._dead = 0
