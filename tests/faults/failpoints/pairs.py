"""Some of many combinations that together hold every pair of values that any of them holds.

Greedy and seeded. Pure; `cases` chooses by it which step meets which kind of fault at which batch size.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations
from typing import TypeVar

Row = TypeVar("Row", bound=tuple[object, ...])
# Two values, each with its place in the row.
Pair = tuple[tuple[int, object], tuple[int, object]]


def pairwise(rows: Sequence[Row], seed: int) -> list[Row]:
    """A choice of `rows` in which every pair of values stands that stands in one of them.

    Each next one is among those that hold most of the pairs that are still missing; which, the seed decides.
    """
    shuffled = random.Random(seed).sample(rows, len(rows))
    missing = {pair for row in rows for pair in pairs_of(row)}
    chosen: list[Row] = []
    while missing:
        best = max(shuffled, key=lambda row: len(missing & pairs_of(row)))
        missing -= pairs_of(best)
        chosen.append(best)
    return chosen


def pairs_of(row: tuple[object, ...]) -> set[Pair]:
    """The pairs of a row's values."""
    return set(combinations(enumerate(row), 2))
