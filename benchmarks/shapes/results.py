"""What was measured of each shape, as it is kept in JSON. Written by `__main__`, read by `report`."""

from __future__ import annotations

import msgspec

from benchmarks.machine import Machine
from benchmarks.results import Drain


class Run(msgspec.Struct, frozen=True):
    """One variant drained once; `records` is the number of rows that the measured events belong to."""

    variant: str
    event_bytes: int
    records: int
    drain: Drain

    @property
    def cpu_us_per_kilobyte(self) -> float:
        """CPU microseconds of all parts for 1,000 bytes of events."""
        return self.drain.cpu_us_sum / self.event_bytes * 1000


class Shape(msgspec.Struct):
    """All runs of one shape; the first variant is what the others are compared with."""

    machine: Machine
    rounds: int
    seed: int
    runs: list[Run] = []

    @property
    def variants(self) -> list[str]:
        """In the order in which they were first run."""
        return list(dict.fromkeys(run.variant for run in self.runs))

    def of(self, variant: str) -> list[Run]:
        """The runs of a variant."""
        return [run for run in self.runs if run.variant == variant]


class Shapes(msgspec.Struct):
    """All shapes that were measured, by the name of their command."""

    shapes: dict[str, Shape] = {}
