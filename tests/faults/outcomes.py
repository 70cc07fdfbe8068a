"""Records whose outcome is missing, and outcomes too many: the two numbers of every run on real servers.

Asked when the topics are drained and the replicas have ended, by the failpoints and by the chaos runs. What
exactly is wrong, the judges of `tests.e2e` say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

from tests.e2e import audit
from tests.e2e.audit import Write
from tests.e2e.judge import place_of
from tests.e2e.messages import TABLES, Place
from tests.e2e.oracle import Model
from tests.e2e.stage import Stage
from tests.e2e.world import connect, select


def count_lost_and_doubled(stage: Stage) -> tuple[int, int]:
    """How many records of a stage have no outcome in SQL, and how many outcomes came again."""
    with connect(stage.world) as connection:
        marks = [place_of(row) for row in select(connection, "SELECT * FROM processed_events")]
        letters = [place_of(row) for row in select(connection, "SELECT * FROM dead_letters")]
    lost = count_lost(stage.model, [*marks, *letters])
    return lost, count_doubled(marks, letters, audit.read(stage.world))


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
