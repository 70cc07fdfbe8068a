"""What was measured of the peers, as it is kept in JSON. Written by `__main__`, read by the report."""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmarks.machine import Machine


class Stretch(msgspec.Struct, frozen=True):
    """A part of a backlog, worked off between two sharp moments. `cpu_seconds` by part."""

    events: int
    seconds: float
    cpu_seconds: dict[str, float]


class Run(msgspec.Struct, frozen=True):
    """A backlog worked off once, in one stretch or in two halves; `copies` of its events are duplicates."""

    scenario: str
    contender: str
    round: int
    copies: int
    stretches: list[Stretch]

    @property
    def whole(self) -> Stretch:
        """All stretches as one."""
        parts = dict.fromkeys(part for stretch in self.stretches for part in stretch.cpu_seconds)
        return Stretch(
            sum(stretch.events for stretch in self.stretches),
            sum(stretch.seconds for stretch in self.stretches),
            {part: sum(stretch.cpu_seconds.get(part, 0) for stretch in self.stretches) for part in parts},
        )

    @property
    def warm(self) -> Stretch:
        """The last stretch: whatever compiles itself while it runs has had time to."""
        return self.stretches[-1]


class Setup(msgspec.Struct, frozen=True):
    """On what, with what, and how much of it."""

    machine: Machine
    rounds: int
    events: int
    warm_up: int
    naive_events: int
    seed: int
    mean_event_bytes: dict[str, int]
    # Of the peer that has to be tuned: all that differs from its defaults, addresses left out.
    debezium_settings: dict[str, str]


class Results(msgspec.Struct):
    """Everything of one run of the peers."""

    setup: Setup
    runs: list[Run] = []


def cpu_us(stretch: Stretch, part: str) -> float:
    """CPU microseconds per event of one part."""
    return stretch.cpu_seconds.get(part, 0.0) / stretch.events * 1e6


def cpu_us_sum(stretch: Stretch) -> float:
    """CPU microseconds per event of all parts."""
    return sum(stretch.cpu_seconds.values()) / stretch.events * 1e6


def write(results: Results, file: Path) -> None:
    """Write `results` as JSON, over what is there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def read(file: Path) -> Results:
    """Read what `write` wrote. Raises `OSError` or `msgspec.MsgspecError`."""
    return msgspec.json.decode(file.read_bytes(), type=Results)
