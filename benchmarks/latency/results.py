"""What was measured, as it is kept in JSON. Written by `__main__`, read by `report` and `picture`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from statistics import quantiles
from typing import Self

import msgspec

from benchmarks.machine import Machine


class Delays(msgspec.Struct, frozen=True):
    """How long `number` originals took from the moment they were due until they were visible."""

    number: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Self | None:
        """The delays of at least two events; None for fewer."""
        values = [value * 1000 for value in seconds]
        if len(values) < 2:
            return None
        at = quantiles(values, n=100, method="inclusive")
        return cls(len(values), at[49], at[89], at[98], max(values))


class Step(msgspec.Struct, frozen=True):
    """A rate that was offered for some seconds.

    `catch_up_seconds` is how long it took after the last event was due until all were visible. The CPU of
    the database is also that of the looks at it. `stopped`: so far behind that no more was sent. `grew`:
    delays grew while the step went on.
    """

    round: int
    per_second: float
    seconds: float
    events: int
    delays: Delays
    catch_up_seconds: float
    late_ms: float
    stopped: bool
    grew: bool
    cpu_us: dict[str, float]
    statements: int
    batches: int
    looks: int

    @property
    def is_saturated(self) -> bool:
        """More is offered than is worked off, or an event in a hundred takes more than a second."""
        return self.stopped or self.grew or self.delays.p99_ms > 1000


class Rising(msgspec.Struct):
    """Steps of rising rates, each round until one is saturated."""

    machine: Machine
    rounds: int
    seed: int
    copied_share: float
    steps: list[Step] = []


class Burst(msgspec.Struct, frozen=True):
    """Thousands of events that are due at one moment, `at_seconds`, amid quiet traffic.

    `inside` are their delays; `before`, `beside` and `after` those of the quiet traffic that is visible by
    then, that is on its way while the burst is worked off, and that comes later; None for hardly any.
    """

    size: int
    at_seconds: float
    catch_up_seconds: float
    inside: Delays
    before: Delays | None
    beside: Delays | None
    after: Delays | None

    @property
    def originals_per_second(self) -> float:
        """How fast it was worked off."""
        return self.inside.number / self.catch_up_seconds


class Moment(msgspec.Struct, frozen=True, array_like=True):
    """The delays of what was due in a short while that begins `at_seconds`."""

    at_seconds: float
    median_ms: float
    worst_ms: float


class Bursts(msgspec.Struct):
    """All bursts, and the delays over the whole time."""

    machine: Machine
    seed: int
    copied_share: float
    quiet_per_second: float
    late_ms: float
    bursts: list[Burst]
    moments: list[Moment]


class Latency(msgspec.Struct):
    """Both, where they were measured."""

    rising: Rising | None = None
    bursts: Bursts | None = None


def write(latency: Latency, file: Path) -> None:
    """Write `latency` as JSON, over what is there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(latency), indent=1) + b"\n")


def read(file: Path) -> Latency:
    """Read what `write` wrote. Raises `OSError` or `msgspec.MsgspecError`."""
    return msgspec.json.decode(file.read_bytes(), type=Latency)
