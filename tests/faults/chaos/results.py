"""What a chaos run found, as it is written to a file and read by the report. Called by `run`.

Times are seconds since the run began, places of the timeline.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

# Between two looks at the positions.
_AT_ONCE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Injected:
    """One fault that was injected. `recovery_seconds` None: work did not go on.

    `since` says what the recovery is (`fault.Since`). `scene` is shared by faults that overlapped; theirs is
    counted from the last heal of them.
    """

    kind: str
    part: str
    scene: int
    replica: int
    injected_at: float
    healed_at: float
    since: str
    goal_seconds: float
    recovery_seconds: float | None
    alone: bool


def went_on(fault: Injected) -> str:
    """The recovery of one fault, in words."""
    seconds = fault.recovery_seconds
    if seconds is None:
        return "work did not go on"
    if seconds < _AT_ONCE_SECONDS:
        return "work went on at once"
    if fault.since == "injected":
        return f"no partition stood still for longer than {seconds:.1f} s"
    return f"work went on {seconds:.1f} s after it was healed"


@dataclass(frozen=True, slots=True)
class Point:
    """The load at one moment. `handled` None: the database did not answer."""

    at: float
    produced: int
    handled: int | None

    @property
    def lag(self) -> int | None:
        """Records that were produced and are not handled yet."""
        return None if self.handled is None else self.produced - self.handled


@dataclass(frozen=True, slots=True)
class Act:
    """One database and its topics, from empty to judged. `outcomes` are the oracle's, and SQL agrees."""

    seed: int
    began_at: float
    ended_at: float
    faults: tuple[Injected, ...]
    points: tuple[Point, ...]
    produced: int
    outcomes: Mapping[str, int]
    redelivered: int
    fenced: int
    lost: int
    doubled: int
    violations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Results:
    """A whole run."""

    seed: int
    began: str
    seconds: float
    replicas: int
    per_second: int
    acts: tuple[Act, ...]
    versions: Mapping[str, str]

    @property
    def faults(self) -> tuple[Injected, ...]:
        return tuple(fault for act in self.acts for fault in act.faults)

    @property
    def violations(self) -> tuple[str, ...]:
        return tuple(
            f"act {number}: {line}" for number, act in enumerate(self.acts, 1) for line in act.violations
        )

    @property
    def produced(self) -> int:
        return sum(act.produced for act in self.acts)

    @property
    def lost(self) -> int:
        return sum(act.lost for act in self.acts)

    @property
    def doubled(self) -> int:
        return sum(act.doubled for act in self.acts)

    @property
    def held(self) -> bool:
        """Whether something was tried and nothing was broken."""
        return bool(self.faults) and not (self.violations or self.lost or self.doubled)

    def outcome(self, name: str) -> int:
        """How many records ended so: applied, stale, duplicate or dead."""
        return sum(act.outcomes.get(name, 0) for act in self.acts)


@dataclass(frozen=True, slots=True)
class Recovery:
    """The recoveries of one kind of fault; `within` so many of them were within the goal."""

    kind: str
    since: str
    goal_seconds: float
    count: int
    within: int
    median_seconds: float
    worst_seconds: float


OVERLAPPING = "several at once"


def recoveries(faults: Sequence[Injected]) -> Iterator[Recovery]:
    """One for each kind that struck alone, in the order of their names, and one for those that overlapped."""
    alone = [fault for fault in faults if fault.alone]
    for kind in sorted({fault.kind for fault in alone}):
        yield _recovery(kind, [fault for fault in alone if fault.kind == kind])
    together = {fault.scene: fault for fault in faults if not fault.alone}
    if together:
        yield _recovery(OVERLAPPING, list(together.values()))


def _recovery(kind: str, faults: Sequence[Injected]) -> Recovery:
    seconds = [fault.recovery_seconds for fault in faults]
    known = [each if each is not None else float("inf") for each in seconds]
    within = sum(each <= fault.goal_seconds for each, fault in zip(known, faults, strict=True))
    first = faults[0]
    return Recovery(
        kind, first.since, first.goal_seconds, len(faults), within, statistics.median(known), max(known)
    )


def write(results: Results, file: Path) -> None:
    """Write them as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.encode(results))


def read(file: Path) -> Results:
    """Read what `write` wrote."""
    return msgspec.json.decode(file.read_bytes(), type=Results)
