"""What a run found can be written, read and summed up; what is wrong is never summed away."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.chaos.__main__ import summary
from tests.faults.chaos.results import Act, Injected, Point, Recovery, Results, read, recoveries, write


def fault(kind: str, recovery: float | None, *, scene: int = 0, alone: bool = True) -> Injected:
    return Injected(kind, "database", scene, 0, 1.0, 2.0, "healed", 10.0, recovery, alone)


@pytest.fixture
def results() -> Results:
    """One act, two faults, nothing wrong."""
    faults = (fault("killed", 1.0), fault("killed", 3.0, scene=1))
    outcomes = {"applied": 5, "dead": 1}
    act = Act(1, 0.0, 9.0, faults, (Point(1.0, 6, 4), Point(2.0, 6, None)), 6, outcomes, 2, 0, 0, 0, ())
    return Results(7, "2026-01-01T00:00:00+00:00", 9.0, 3, 300, (act,), {"Python": "3.11"})


def test_what_is_written_is_read(results: Results, tmp_path: Path) -> None:
    """Every field, into folders that are made."""
    write(results, tmp_path / "new" / "chaos.json")
    assert read(tmp_path / "new" / "chaos.json") == results


def test_recoveries_by_kind() -> None:
    """Faults that overlapped count once, and apart: whose recovery it was is not to be seen."""
    faults = [
        fault("killed", 2.0),
        fault("killed", 14.0, scene=1),
        fault("killed", 4.0, scene=2, alone=False),
        fault("cut", 4.0, scene=2, alone=False),
    ]
    assert list(recoveries(faults)) == [
        Recovery("killed", "healed", 10.0, 2, 1, 8.0, 14.0),
        Recovery("several at once", "healed", 10.0, 1, 1, 4.0, 4.0),
    ]


def test_work_that_never_went_on_is_the_worst() -> None:
    """It is not left out of the figures."""
    [killed] = recoveries([fault("killed", None)])
    assert (killed.within, killed.worst_seconds) == (0, float("inf"))


def test_it_held(results: Results) -> None:
    """Faults, and nothing wrong after them."""
    assert results.held
    assert "2 faults, 0 lost, 0 doubled, 0 violations; seed 7" in summary(results)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"lost": 1}, id="lost"),
        pytest.param({"doubled": 1}, id="doubled"),
        pytest.param({"violations": ("I1",)}, id="violation"),
        pytest.param({"faults": ()}, id="nothing was tried"),
    ],
)
def test_it_did_not_hold(results: Results, wrong: dict[str, object]) -> None:
    """A single record, a single line, or no fault at all."""
    [act] = results.acts
    assert not replace(results, acts=(replace(act, **wrong),)).held  # type: ignore[arg-type]  # fields by name
