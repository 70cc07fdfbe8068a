"""What a soak has seen, as it is kept in JSON. Written by `__main__`, read by `verdict` and `report`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmarks.machine import Machine


class Sample(msgspec.Struct, frozen=True):
    """The service at one moment, and what it did since the sample before.

    `connections` are those to the database. `lag` is how many originals were sent and not visible;
    `delay_p99_ms` is None where nothing became visible.
    """

    at_seconds: float
    memory_mb: float
    connections: int
    open_files: int
    threads: int
    lag: int
    cpu_us_per_event: float
    delay_p99_ms: float | None


class Soak(msgspec.Struct):
    """One soak; what was sent, by kind, is known at its end."""

    machine: Machine
    minutes: float
    per_second: float
    copied_share: float
    hostile_share: float
    sample_seconds: float
    seed: int
    samples: list[Sample] = []
    sent: dict[str, int] = {}


def write(soak: Soak, file: Path) -> None:
    """Write `soak` as JSON, over what is there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(soak), indent=1) + b"\n")


def read(file: Path) -> Soak:
    """Read what `write` wrote. Raises `OSError` or `msgspec.MsgspecError`."""
    return msgspec.json.decode(file.read_bytes(), type=Soak)
