"""Fuzzing for as long as one likes: inputs that teach something new are made small and handed over.

Called by `__main__`. New is an input with a feature (`judging.features`) that none before had: another
error, another message, another kind of value in a column, the quick or the careful reading.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random

from tests.faults.hostile.cases import Case
from tests.faults.hostile.judging import Complaint, Ending, features, judge
from tests.faults.hostile.mutating import broken_bytes, grown

# An event that small stays as it is: it shows more than one thing.
_SMALL_BYTES = 2_000


@dataclass(frozen=True, slots=True)
class Found:
    """An input that shows a feature for the first time."""

    shows: str
    case: Case
    ending: Ending


@dataclass(slots=True)
class Explorer:
    """Grows inputs, half of them from those that showed something; `known` are the features seen so far."""

    rng: Random
    known: set[str] = field(default_factory=set)
    endings: Counter[str] = field(default_factory=Counter)
    _seeds: list[Case] = field(default_factory=list)

    def learn(self, case: Case) -> None:
        """Take an input that is kept already: what it shows is not new."""
        self.known |= features(case, judge(case))
        self._seeds.append(case)

    def step(self) -> Iterator[Found]:
        """Judge one more input; raises `Complaint` with the input, made small."""
        case = self._next()
        try:
            ending = judge(case)
        except Complaint as complaint:
            small = smaller(case, partial(_complains, complaint))
            raise Complaint(f"{complaint}\n{small}") from complaint
        self.endings[ending.error_class or "event"] += 1
        new = sorted(features(case, ending) - self.known)
        if not new:
            return
        if ending.event is None or len(case.value or b"") > _SMALL_BYTES:
            case = smaller(case, lambda other: features(other, judge(other)) >= set(new))
        self.known.update(new)
        self._seeds.append(case)
        yield Found(new[0], case, judge(case))

    def _next(self) -> Case:
        if not self._seeds or self.rng.random() < 0.5:
            return grown(self.rng)
        case = self.rng.choice(self._seeds)
        table = self.rng.choice([case.table, case.table, "customers", "products", "orders"])
        value = None if case.value is None else broken_bytes(self.rng, case.value)
        return replace(case, table=table, value=value)


def smaller(case: Case, still: Callable[[Case], bool], tries: int = 1_500) -> Case:
    """The case with as many bytes of its value left out as `still` bears, after so many tries at most."""
    value = case.value or b""
    size = len(value) // 2
    while size:
        at = 0
        while at < len(value) and tries:
            tries -= 1
            fewer = value[:at] + value[at + size :]
            if still(replace(case, value=fewer)):
                value = fewer
            else:
                at += size
        size = size // 2 if tries else 0
    return case if case.value is None else replace(case, value=value)


def _complains(complaint: Complaint, case: Case) -> bool:
    try:
        judge(case)
    except Complaint as other:
        return str(other)[:20] == str(complaint)[:20]
    return False
