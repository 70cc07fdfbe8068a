"""What came of a run: faults by step and kind, how long each was felt, and what the records came to.

Made by `matrix`, shown by the command line, read by whoever writes reports.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from tests.e2e.stage import Stage
from tests.faults.failpoints.chain import Injected
from tests.faults.outcomes import count_lost_and_doubled


@dataclass(frozen=True, slots=True)
class Counts:
    """Records: produced, and by outcome; `lost` have none in SQL, `doubled` are writes that came again."""

    produced: int = 0
    applied: int = 0
    stale: int = 0
    duplicate: int = 0
    dead: int = 0
    lost: int = 0
    doubled: int = 0

    def __add__(self, other: Counts) -> Counts:
        names = self.__slots__
        return Counts(*(getattr(self, name) + getattr(other, name) for name in names))


@dataclass(frozen=True, slots=True)
class Summary:
    """One run. `planned` failpoints that are not among `injected` were never reached."""

    seed: int
    seconds: float
    planned: int
    injected: tuple[Injected, ...]
    counts: Counts
    violations: tuple[str, ...]

    @property
    def held(self) -> bool:
        """Whether every invariant held and every failpoint was reached."""
        return not self.violations and len(self.injected) == self.planned

    @property
    def by_step(self) -> Mapping[str, Mapping[str, int]]:
        """How often each step met each kind of fault."""
        steps: dict[str, Counter[str]] = {}
        for each in self.injected:
            steps.setdefault(each.failpoint.step_name, Counter())[each.failpoint.kind.value] += 1
        return steps

    @property
    def recovery_by_kind(self) -> Mapping[str, tuple[int, float, float]]:
        """For each kind of fault how many there were, and the median and the longest recovery in seconds."""
        kinds: dict[str, list[float]] = {}
        for each in self.injected:
            kinds.setdefault(each.failpoint.kind.value, []).append(each.recovery_seconds)
        return {kind: (len(felt), median(felt), max(felt)) for kind, felt in sorted(kinds.items())}


def count(stage: Stage) -> Counts:
    """What became of everything that was sent on a stage, by the tables and the list of all writes."""
    outcomes = stage.model.outcomes
    lost, doubled = count_lost_and_doubled(stage)
    return Counts(
        produced=len(stage.sent),
        applied=outcomes["applied"],
        stale=outcomes["stale"],
        duplicate=outcomes["duplicate"],
        dead=outcomes["dead"],
        lost=lost,
        doubled=doubled,
    )
