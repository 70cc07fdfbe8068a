"""Which failpoints are tried, and who runs into them: nothing is left out, nothing is out of order."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tests.faults.failpoints.cases import BATCH_SIZES, Case, all_pairs, each_step, lives
from tests.faults.failpoints.kinds import Kind
from tests.faults.failpoints.pairs import pairs_of, pairwise
from tests.faults.failpoints.steps import STEPS, Phase

_SEEDS = st.integers(0, 2**32)
_SMALL = st.integers(0, 3)
_ROWS = st.lists(st.tuples(_SMALL, _SMALL, _SMALL), unique=True)


@given(_ROWS, _SEEDS)
def test_every_pair_is_chosen(rows: list[tuple[int, int, int]], seed: int) -> None:
    """A choice holds every pair that any of the combinations holds, and only combinations that there are."""
    chosen = pairwise(rows, seed)
    assert {pair for row in chosen for pair in pairs_of(row)} == {
        pair for row in rows for pair in pairs_of(row)
    }
    assert set(chosen) <= set(rows)


def test_a_choice_is_small() -> None:
    """Of 1,000 combinations of three values, little more are chosen than the 100 that it takes."""
    rows = [(one, two, three) for one in range(10) for two in range(10) for three in range(10)]
    assert len(pairwise(rows, 0)) < 160


def test_the_matrix_holds_every_step_with_each_of_its_kinds() -> None:
    """A step meets every kind of fault that it can meet, and every batch size; so does each kind."""
    cases = all_pairs(7)
    assert {(case.step_name, case.kind) for case in cases} == {
        (step.name, kind) for step in STEPS.values() for kind in step.kinds
    }
    assert {(case.step_name, case.batch_records) for case in cases} == {
        (name, size) for name in STEPS for size in BATCH_SIZES
    }
    assert {(case.kind, case.batch_records) for case in cases} == {
        (kind, size) for kind in Kind for size in BATCH_SIZES
    }


def test_the_short_part_holds_every_step_with_a_crash_and_an_error() -> None:
    """What the suite runs leaves no step, no kind of fault and no batch size out."""
    cases = each_step(7)
    for name, step in STEPS.items():
        own = [case for case in cases if case.step_name == name]
        assert Kind.CRASH in {case.kind for case in own}
        assert {case.kind for case in own} <= set(step.kinds)
        assert len(own) == 2
    assert {case.kind for case in cases} == set(Kind)
    assert {case.batch_records for case in cases} == set(BATCH_SIZES)


@given(st.sets(st.sampled_from(all_pairs(7))), st.sampled_from(sorted(BATCH_SIZES)), _SEEDS)
def test_each_case_is_run_into_once(cases: set[Case], batch_records: int, seed: int) -> None:
    """The lives of a chain have each of its cases once, an ending only at the end, claims before batches."""
    planned = lives(sorted(cases), batch_records, seed)
    points = [(each.step_name, each.kind) for life in planned for each in life.failpoints]
    wanted = [(case.step_name, case.kind) for case in cases if case.batch_records == batch_records]
    assert Counter(points) == Counter(wanted)
    for life in planned:
        assert not any(point.kind.ending for point in life.failpoints[:-1])
        claims = [point.step.phase.is_claim for point in life.failpoints if not point.kind.ending]
        assert claims == sorted(claims, reverse=True)


@given(st.sets(st.sampled_from(all_pairs(7))), _SEEDS)
def test_rows_are_made_first(cases: set[Case], seed: int) -> None:
    """Partitions that have no row are claimed by the first life, before anything else."""
    phases = [[each.step.phase for each in life.failpoints] for life in lives(sorted(cases), 7, seed)]
    assert not any(Phase.NEW_CLAIM in own for own in phases[1:])
    assert not phases or Phase.NEW_CLAIM not in phases[0] or set(phases[0]) == {Phase.NEW_CLAIM}
