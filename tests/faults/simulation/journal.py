"""What happened in a history, line by line: printed for a seed that fails, kept quiet for all others.

Every part of a history writes here; lines are put into words only while somebody reads them. Also what was
injected and what became of the records, counted for the summary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable


class Journal:
    """The lines and counts of one history; `clock` gives seconds of its time."""

    def __init__(self, *, is_read: bool = False) -> None:
        self.is_read = is_read
        self.lines: list[str] = []
        self.faults: Counter[str] = Counter()
        self.crashes: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.claims: Counter[str] = Counter()
        self.known: Counter[str] = Counter()
        self.violations: list[str] = []
        self.records = self.calls = 0
        self.clock: Callable[[], float] = lambda: 0.0
        self.on_violation: Callable[[], None] = lambda: None

    def note(self, who: object, what: str, *more: object) -> None:
        """A line: who did what, with what."""
        if self.is_read:
            words = " ".join(map(str, more))
            self.lines.append(f"{self.clock():9.4f}  {who or 'world'!s:<10} {what} {words}".rstrip())

    def fault(self, kind: str, *more: object) -> None:
        """A fault was injected."""
        self.faults[kind] += 1
        self.note("FAULT", kind, *more)

    def violation(self, invariant: str, what: str) -> None:
        """A promise was broken: the history ends here."""
        self.violations.append(f"{invariant}: {what}")
        if self.is_read:
            self.lines.append(f"{self.clock():9.4f}  VIOLATION  {invariant}: {what}")
        self.on_violation()
