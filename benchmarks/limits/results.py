"""What was measured of the limits, as it is kept in JSON. Written by `__main__`, read by `report`."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import msgspec

from benchmarks.machine import Machine


class Worked(msgspec.Struct, frozen=True):
    """A backlog of `events` worked off once, `copies` of them duplicates, and what went where meanwhile.

    `moved` are bytes and counts of the whole backlog by the names of `counters`; `row_bytes` is what a row
    takes on the disk, indexes included, by table; `entry_bytes` what an entry takes in Redis.
    """

    scenario: str
    round: int
    events: int
    copies: int
    seconds: float
    cpu_seconds: dict[str, float]
    moved: dict[str, int]
    row_bytes: dict[str, float]
    entry_bytes: float

    @property
    def events_per_second(self) -> float:
        return self.events / self.seconds

    def cpu_us(self, part: str) -> float:
        """CPU microseconds per event of one part, 0 where its process was not to be seen."""
        return self.cpu_seconds.get(part, 0.0) / self.events * 1e6

    def per_event(self, name: str) -> float:
        """Bytes or counts per event."""
        return self.moved[name] / self.events


class Commits(msgspec.Struct, frozen=True):
    """How many transactions of one tiny row each so many `connections` have committed in `seconds`."""

    connections: int
    seconds: float
    commits: int

    @property
    def per_second(self) -> float:
        return self.commits / self.seconds


class Limits(msgspec.Struct):
    """Everything of one run."""

    machine: Machine
    rounds: int
    seed: int
    event_bytes: int
    worked: list[Worked] = []
    commits: list[Commits] = []

    @property
    def scenarios(self) -> list[str]:
        """In the order in which they were first run."""
        return list(dict.fromkeys(each.scenario for each in self.worked))

    def middle(self, scenario: str, figure: Callable[[Worked], float]) -> float:
        """The median of a figure over the rounds of a scenario."""
        return median(figure(each) for each in self.worked if each.scenario == scenario)
