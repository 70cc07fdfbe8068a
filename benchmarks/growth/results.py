"""What the growth benchmarks have measured, as it is kept in JSON. Written by `__main__`, read by `report`.

Each part has a machine of its own: parts are run one by one, and a part that is run again replaces what it
had measured before.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmarks.machine import Machine


class Used(msgspec.Struct, frozen=True):
    """What processes and the database have used between two moments.

    `cpu_seconds` by part. `statements` is the server's count. `innodb` are counters of the server by their
    names, less what they were before: pages, bytes.
    """

    seconds: float
    cpu_seconds: dict[str, float]
    statements: int
    innodb: dict[str, int]

    @property
    def cpu_seconds_sum(self) -> float:
        return sum(self.cpu_seconds.values())


class Drained(msgspec.Struct, frozen=True):
    """A backlog of `events` worked off once, `copies` of them duplicates."""

    events: int
    copies: int
    used: Used

    @property
    def events_per_second(self) -> float:
        return self.events / self.used.seconds

    @property
    def cpu_us_sum(self) -> float:
        """CPU microseconds per event of all parts."""
        return self.used.cpu_seconds_sum / self.events * 1e6

    def cpu_us(self, part: str) -> float:
        """CPU microseconds per event of one part."""
        return self.used.cpu_seconds[part] / self.events * 1e6

    def per_event(self, counter: str) -> float:
        """One of InnoDB's counters per event."""
        return self.used.innodb[counter] / self.events


class MarksRun(msgspec.Struct, frozen=True):
    """Drains on a table that holds `marks` marks with such `ids`. `cold`: a share of copies, empty Redis."""

    ids: str
    marks: int
    round: int
    unique: Drained
    cold: Drained


class Marks(msgspec.Struct):
    """Cost by the number of marks. `table_bytes` is the size of the filled table by ids and marks."""

    machine: Machine
    pool_mb: int
    rounds: int
    events: int
    table_bytes: dict[str, dict[int, int]] = {}
    fill_seconds: float = 0.0
    runs: list[MarksRun] = []


class LayoutRun(msgspec.Struct, frozen=True):
    """One way to keep marks in a table of its own: a look-up and an insert of each of `events`, and a purge.

    `purged` is what it took to delete as many of the oldest marks, None where a partition would be dropped.
    """

    layout: str
    ids: str
    round: int
    marked: Drained
    purged: Drained | None


class Layouts(msgspec.Struct):
    """Ways to keep marks, tried on throw-away tables of `marks` rows."""

    machine: Machine
    pool_mb: int
    rounds: int
    marks: int
    events: int
    table_bytes: dict[str, int] = {}
    runs: list[LayoutRun] = []


class LanesRun(msgspec.Struct, frozen=True):
    """One replica with so many partitions.

    `first_seconds` and `all_seconds` are from the start of the process to the first commit and to the first
    commits of all partitions. `idle` is what it takes while nothing comes. Memory is resident.
    """

    partitions: int
    round: int
    first_seconds: float
    all_seconds: float
    idle: Used
    idle_memory_bytes: int
    drained: Drained
    drained_memory_bytes: int
    connections: int


class Lanes(msgspec.Struct):
    """Cost by the number of partitions, the same events in all."""

    machine: Machine
    rounds: int
    events: int
    runs: list[LanesRun] = []


class ReplicasRun(msgspec.Struct, frozen=True):
    """So many replicas that share the partitions; the client's CPU and memory are the sum of all."""

    replicas: int
    round: int
    drained: Drained
    connections: int
    memory_bytes: int


class Replicas(msgspec.Struct):
    """Cost by the number of replicas, the same partitions and events."""

    machine: Machine
    rounds: int
    events: int
    partitions: int
    runs: list[ReplicasRun] = []


class TakeoverRun(msgspec.Struct, frozen=True):
    """One of some replicas has gone, by `how`: `kill` or `stop`.

    `back_seconds` has, for each of its partitions, the time from then until an event that was sent after it
    was visible; `others_longest_seconds` is the longest that an event of another partition took meanwhile.
    """

    how: str
    session_timeout_seconds: int
    back_seconds: list[float]
    others_longest_seconds: float


class Takeovers(msgspec.Struct):
    """What happens when a replica goes, under a steady trickle of events."""

    machine: Machine
    replicas: int
    partitions: int
    per_second: float
    runs: list[TakeoverRun] = []


class Growth(msgspec.Struct):
    """All parts, as far as they were run."""

    marks: Marks | None = None
    layouts: Layouts | None = None
    lanes: Lanes | None = None
    replicas: Replicas | None = None
    takeovers: Takeovers | None = None


def write(growth: Growth, file: Path) -> None:
    """Write `growth` as JSON, over what is there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(growth), indent=1) + b"\n")


def read(file: Path) -> Growth:
    """Read what `write` wrote. Raises `OSError` or `msgspec.MsgspecError`."""
    return msgspec.json.decode(file.read_bytes(), type=Growth)
