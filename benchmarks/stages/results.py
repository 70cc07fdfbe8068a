"""What was measured, as it is kept in JSON. Written by `consumer` and `runs`, read by `report`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmarks.machine import Machine
from benchmarks.results import Drain

# Where `consumer` is told to write what its stages have taken.
FILE_VARIABLE = "STAGES_FILE"


class Taken(msgspec.Struct, frozen=True):
    """What one stage of a client has taken; `waited_seconds` is the sum over all that waited side by side."""

    cpu_seconds: float
    waited_seconds: float
    calls: int


class Staged(msgspec.Struct, frozen=True):
    """What a client has taken from the beginning of a backlog to its end, all stages and the process.

    `seconds` lie between the two, on a wall clock. `changes` is how often another stage began or ended: what
    measuring costs grows with it.
    """

    seconds: float
    cpu_seconds: float
    changes: int
    stages: dict[str, Taken]


class Kind(msgspec.Struct, frozen=True):
    """What the server says of statements of one kind. `seconds` is wall time inside the server."""

    statements: int
    seconds: float
    rows_examined: int
    rows_affected: int


class Run(msgspec.Struct, frozen=True):
    """One scenario once: as it is, with its stages told apart, and on a server that times statements.

    `connections_cpu_seconds` is the CPU time of the database's connections in the last of the three.
    """

    scenario: str
    round: int
    plain: Drain
    followed: Drain
    staged: Staged
    timed: Drain
    kinds: dict[str, Kind]
    connections_cpu_seconds: float


class Results(msgspec.Struct):
    """Everything of one measurement."""

    machine: Machine
    rounds: int
    events: int
    seed: int
    runs: list[Run] = []


def write(results: Results, file: Path) -> None:
    """Write `results` as JSON, over what is there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def read(file: Path) -> Results:
    """Read what `write` wrote. Raises `OSError` or `msgspec.MsgspecError`."""
    return msgspec.json.decode(file.read_bytes(), type=Results)
