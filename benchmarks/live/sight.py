"""Sees when events become visible: by where their partitions stand in the database.

A partition's position moves in the transaction of its batch, so an event is visible to other connections
exactly when the position is beyond its offset. One look is one short statement and three rows, at any rate;
looking for the marks of thousands of events would cost more than writing them. What is seen between two
looks counts as seen at the second one.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from benchmarks.live.traffic import Event, Kind

Log = tuple[str, int]


class Seen(NamedTuple):
    """An original that has become visible. `due` is when it was to be sent, by `time.perf_counter`."""

    due: float
    delay_seconds: float


class Sight:
    """Waits for originals; `positions` tells where each log stands, by entity and partition.

    Topics that nobody else writes into are counted from zero, so the offset of an event is known when it is
    sent. `note` is called by the thread that sends, everything else by the one that looks.
    """

    def __init__(
        self,
        positions: Callable[[], Mapping[Log, int]],
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.looks = 0
        self.kinds: Counter[Kind] = Counter()
        self._positions = positions
        self._now = now
        self._sent: Counter[Log] = Counter()
        self._waiting: dict[Log, deque[tuple[int, float]]] = {}

    def note(self, event: Event, due: float) -> None:
        """This event is about to be sent, which was `due` at this moment. Copies leave nothing to see."""
        log = event.message.log
        if event.kind is Kind.ORIGINAL:
            self._waiting.setdefault(log, deque()).append((self._sent[log], due))
        self._sent[log] += 1
        self.kinds[event.kind] += 1

    @property
    def pending(self) -> int:
        """How many originals were sent and are not visible yet."""
        return sum(map(len, list(self._waiting.values())))

    @property
    def sent(self) -> int:
        """How many events were sent."""
        return self.kinds.total()

    def waited_seconds(self) -> float:
        """For how long the oldest original has been waited for; 0 where none is."""
        dues = [waiting[0][1] for waiting in list(self._waiting.values()) if waiting]
        return max(0.0, self._now() - min(dues)) if dues else 0.0

    def look(self) -> list[Seen]:
        """What has become visible since the last look, in the order of their logs."""
        self.looks += 1
        positions = self._positions()
        now = self._now()
        seen: list[Seen] = []
        for log, waiting in list(self._waiting.items()):
            position = positions.get(log, 0)
            while waiting and waiting[0][0] < position:
                _, due = waiting.popleft()
                seen.append(Seen(due, now - due))
        return seen
