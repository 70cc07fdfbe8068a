"""The simulation finds bugs: each one that is planted, in a few hundred histories at most."""

from __future__ import annotations

import pytest

from tests.faults.simulation.plants import BUGS, Bug, hunt

# The rarest takes 76 histories from the first seed.
HISTORIES = 500


@pytest.mark.parametrize("bug", [pytest.param(bug, id=bug.name) for bug in BUGS])
def test_planted_bug_is_found(bug: Bug) -> None:
    """A history reports one of the invariants that the bug breaks."""
    found = hunt(bug, HISTORIES, stop_at_violation=True)
    print(f"{bug.name}: found in history {found.histories}: {found.what}")
    assert found.seed is not None
