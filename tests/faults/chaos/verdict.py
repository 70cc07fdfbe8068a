"""What an act has left behind: lost, doubled, and every violation that the judges of `tests.e2e` list.

Called by `run` when the faults have healed, the topics are drained and the replicas have ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from tests.e2e import audit
from tests.e2e.audit import Write
from tests.e2e.judge import place_of
from tests.e2e.messages import TABLES, Place
from tests.e2e.oracle import Model
from tests.e2e.stage import Stage
from tests.e2e.world import connect, select


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
    with connect(stage.world) as connection:
        marks = [place_of(row) for row in select(connection, "SELECT * FROM processed_events")]
        letters = [place_of(row) for row in select(connection, "SELECT * FROM dead_letters")]
    return Verdict(
        count_lost(stage.model, [*marks, *letters]),
        count_doubled(marks, letters, audit.read(stage.world)),
        tuple(violations),
    )


def count_lost(model: Model, seen: Iterable[Place]) -> int:
    """Records that must have an outcome and have none."""
    return len((model.marks.keys() | model.letters.keys()) - set(seen))


def count_doubled(marks: Sequence[Place], letters: Sequence[Place], writes: Sequence[Write]) -> int:
    """Outcomes too many: of a record, of an event id in all that was ever written, of a row by one record."""
    ids = [write.side["event_id"] for write in writes if _is(write, "processed_events", "INSERT")]
    # A row says which record it was last written by; another write by the same record is its second.
    rows = [
        (write.table, *(write.side[name] for name in ("id", "source_partition", "source_offset")))
        for write in writes
        if write.table in TABLES.values() and write.changed
    ]
    return sum(map(_repeated, (marks, letters, ids, rows)))


def _is(write: Write, table: str, action: str) -> bool:
    return (write.table, write.action) == (table, action)


def _repeated(things: Sequence[Hashable]) -> int:
    return sum(number - 1 for number in Counter(things).values())
