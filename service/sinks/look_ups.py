"""What a transaction may take for new without looking, judged by what those before it have met.

`sinks.sql` asks before a transaction and tells afterwards. Nothing is guessed: marks and rows have keys, and
one that is there after all turns the transaction back, to run again and look.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from service.core.types import Partition

# Looking ends when so many events, one after the other, had nothing to be found. To be turned back costs
# eight times what a look does: each time that it was wrong to end, the next end takes twice as long.
FIRST_STRETCH = 2000
LONGEST_STRETCH = 1_000_000


class LookUp(NamedTuple):
    """What a transaction looks for before it writes, or has met: marks by event id, rows by their key."""

    marks: bool
    rows: bool


EVERYTHING = LookUp(marks=True, rows=True)


class LookUps:
    """What the transactions of each partition have met; None is that of those without events.

    Marks are not looked up from the beginning: the cache knows nearly all that are there. Rows are: most
    events change one.
    """

    def __init__(self) -> None:
        self._marks = defaultdict[Partition | None, _Stretch](lambda: _Stretch(new_events=FIRST_STRETCH))
        self._rows = defaultdict[Partition | None, _Stretch](_Stretch)

    def next(self, partition: Partition | None) -> LookUp:
        """What the next transaction of `partition` has to look for."""
        return LookUp(self._marks[partition].is_short, self._rows[partition].is_short)

    def note(self, partition: Partition | None, events: int, looked: LookUp, met: LookUp) -> None:
        """A transaction of so many events was committed: what it looked for at first, what it has met."""
        self._marks[partition].note(events, looked=looked.marks, met=met.marks)
        self._rows[partition].note(events, looked=looked.rows, met=met.rows)

    def doubt(self, partition: Partition | None) -> None:
        """A transaction has failed: what it took for new may be the reason, so that the next one looks."""
        self._marks[partition].begin_again()
        self._rows[partition].begin_again()


class _Stretch:
    """Events one after the other of which all were new, and how many it takes not to look."""

    def __init__(self, new_events: int = 0) -> None:
        self._new_events = new_events
        self._wanted = FIRST_STRETCH

    @property
    def is_short(self) -> bool:
        return self._new_events < self._wanted

    def begin_again(self) -> None:
        self._new_events = 0

    def note(self, events: int, *, looked: bool, met: bool) -> None:
        self._new_events = 0 if met else self._new_events + events
        if met and not looked:
            self._wanted = min(2 * self._wanted, LONGEST_STRETCH)
