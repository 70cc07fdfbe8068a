"""What a transaction may take for new without looking, judged by what those before it have met.

`sinks.sql` asks before a transaction and tells afterwards. Nothing is guessed: marks and rows have keys, and
one that is there after all turns the transaction back, to run again and look.
"""

from __future__ import annotations

from typing import NamedTuple

from service.core.types import Partition

# To be turned back costs about three times what looking at rows does. After so many new ones in a row, more
# than one large batch has, to spare it pays or costs next to nothing, whatever share of events changes rows.
NEW_ROWS = 3000


class LookUp(NamedTuple):
    """What a transaction looks for before it writes: marks by event id, rows by their key."""

    marks: bool
    rows: bool


EVERYTHING = LookUp(marks=True, rows=True)


class LookUps:
    """What the transactions of each partition met last.

    Marks are looked up where the last transaction has met one: the cache knows nearly all that are there.
    Rows are looked up until `NEW_ROWS` events one after the other had none: most events change one.
    """

    def __init__(self) -> None:
        self._meets_marks: set[Partition] = set()
        self._new_rows: dict[Partition, int] = {}

    def next(self, partition: Partition) -> LookUp:
        """What the next transaction of `partition` has to look for."""
        return LookUp(partition in self._meets_marks, self._new_rows.get(partition, 0) < NEW_ROWS)

    def note(self, partition: Partition, events: int, *, marks: bool, rows: bool) -> None:
        """A transaction of so many events was committed; it has met some marks, some rows."""
        if marks:
            self._meets_marks.add(partition)
        else:
            self._meets_marks.discard(partition)
        self._new_rows[partition] = 0 if rows else self._new_rows.get(partition, 0) + events
