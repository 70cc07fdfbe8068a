"""What an act has left behind: lost, doubled, and every violation that the judges of `tests.e2e` list.

Called by `run` when the faults have healed, the topics are drained and the replicas have ended.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.e2e.stage import Stage
from tests.faults.outcomes import count_lost_and_doubled


@dataclass(frozen=True, slots=True)
class Verdict:
    """`lost` and `doubled` are numbers of records."""

    lost: int
    doubled: int
    violations: tuple[str, ...]


async def judged(stage: Stage, *, restored: bool) -> Verdict:
    """Judge a stage whose service has ended; `restored`: its database was put back at times."""
    violations: list[str] = []
    try:
        await stage.judge(resets=restored)
    except AssertionError as found:
        violations = str(found).splitlines()
    return Verdict(*count_lost_and_doubled(stage), tuple(violations))
