"""Schedules are drawn from their seed alone, and leave no kind of fault out."""

from __future__ import annotations

from collections import Counter
from itertools import islice

from tests.faults.chaos.fault import Part
from tests.faults.chaos.faults import BY_NAME, KINDS
from tests.faults.chaos.schedule import Scene, draw


def scenes(seed: int, number: int = 200) -> list[Scene]:
    return list(islice(draw(seed), number))


def test_a_seed_repeats_its_schedule() -> None:
    """The same faults at the same times."""
    assert scenes(7) == scenes(7)
    assert scenes(7) != scenes(8)


def test_every_kind_strikes_alone_before_any_does_again() -> None:
    """However short the run: as many kinds as it has scenes."""
    alone = [scene.faults[0].kind.name for scene in scenes(7) if len(scene.faults) == 1]
    first, second = alone[: len(KINDS)], alone[len(KINDS) : 2 * len(KINDS)]
    assert Counter(first) == Counter(second) == Counter(BY_NAME.keys())


def test_faults_that_overlap_are_of_different_parts() -> None:
    """Two ways to break one server at once would heal each other."""
    together = [scene for scene in scenes(7) if len(scene.faults) > 1]
    assert together
    for scene in together:
        parts = [planned.kind.part for planned in scene.faults]
        assert len(parts) == len(set(parts))


def test_every_part_has_faults() -> None:
    """Nothing that the service leans on is spared."""
    assert {kind.part for kind in KINDS} == set(Part)
    assert len(BY_NAME) == len(KINDS)
