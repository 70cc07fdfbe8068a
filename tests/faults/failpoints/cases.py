"""What is tried: which step meets which kind of fault at which batch size, and who runs into what.

Pure and seeded. A case becomes a failpoint; the failpoints of one batch size become the lives of one chain,
because a life ends with its first ending fault and a process has one batch size. Called by `matrix`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import cycle
from typing import NamedTuple

from tests.faults.failpoints.kinds import Kind
from tests.faults.failpoints.pairs import pairwise
from tests.faults.failpoints.plan import Failpoint
from tests.faults.failpoints.steps import STEPS, Phase
from tests.faults.failpoints.visit import Life

# The size of a batch, and how many records one must have at least to count as such.
BATCH_SIZES = {1: 1, 7: 7, 400: 200}
# Claims come first in a life, new ones first of all.
_PHASES = tuple(Phase)


class Case(NamedTuple):
    """One of the things that can be tried."""

    step_name: str
    kind: Kind
    batch_records: int


def all_pairs(seed: int) -> list[Case]:
    """Each step with each of its kinds, and both with each batch size."""
    cases = [
        Case(step.name, kind, size) for step in STEPS.values() for kind in step.kinds for size in BATCH_SIZES
    ]
    return pairwise(cases, seed)


def each_step(seed: int) -> list[Case]:
    """Each step with a crash and with one error; each kind and each batch size are there many times."""
    sizes = cycle(random.Random(seed).sample(list(BATCH_SIZES), len(BATCH_SIZES)))
    errors = cycle(kind for kind in Kind if not kind.ending)
    cases: list[Case] = []
    for name, step in STEPS.items():
        cases.append(Case(name, Kind.CRASH, next(sizes)))
        error = next((kind for kind in (next(errors) for _ in Kind) if kind in step.kinds), None)
        cases.append(Case(name, error or Kind.CUT_OFF, next(sizes)))
    return cases


def lives(cases: Sequence[Case], batch_records: int, seed: int) -> list[Life]:
    """The lives of the chain of one batch size; each case is a failpoint of one of them.

    The first one claims partitions that have no row yet, and only it. The others have an ending fault each,
    and their share of the errors before it.
    """
    rng = random.Random(seed)
    points = [_failpoint(case, rng) for case in cases if case.batch_records == batch_records]
    rng.shuffle(points)
    first = [point for point in points if point.step.phase is Phase.NEW_CLAIM]
    later = [point for point in points if point.step.phase is not Phase.NEW_CLAIM]
    errors = [point for point in later if not point.kind.ending]
    shares = [[point] for point in later if point.kind.ending] or [[]]
    for share, error in zip(cycle(shares), errors, strict=False):
        share.append(error)
    return [Life(batch_records, _in_order(each)) for each in (first, *shares) if each]


def _failpoint(case: Case, rng: random.Random) -> Failpoint:
    phase = STEPS[case.step_name].phase
    if phase.is_claim or phase is Phase.RETRY:
        return Failpoint(case.step_name, case.kind)
    # Not always at the first one: in a batch with a culprit, later ones come while it is looked for.
    skip = rng.randrange(3) if phase is Phase.BATCH and case.batch_records < 100 else 0
    return Failpoint(case.step_name, case.kind, BATCH_SIZES[case.batch_records], skip)


def _in_order(points: Sequence[Failpoint]) -> tuple[Failpoint, ...]:
    return tuple(sorted(points, key=lambda point: (point.kind.ending, _PHASES.index(point.step.phase))))
