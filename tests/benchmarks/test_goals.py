"""What was measured beside what was to be reached."""

from __future__ import annotations

import pytest

from benchmarks.goals import COMMAND, Goal, goals, rows
from benchmarks.peers.debezium import DEBEZIUM
from benchmarks.peers.loading import LOAD_DATA
from benchmarks.peers.results import Results as Peers
from benchmarks.peers.results import Run, Setup, Stretch
from benchmarks.summary import spread
from tests.benchmarks.measured import MACHINE, drain, results


def peer(contender: str, *cpu_us: float) -> Run:
    """A run of unique customers in stretches that took so many microseconds an event."""
    stretches = [Stretch(1_000, 1, {"client": each * 1_000 / 1e6}) for each in cpu_us]
    return Run("customers-0", contender, 1, 0, stretches)


@pytest.fixture
def peers() -> Peers:
    """LOAD DATA takes half as much as upsertd; Debezium six times, and three times when it has compiled."""
    runs = [peer("upsertd", 30, 30), peer(LOAD_DATA, 15, 15), peer(DEBEZIUM, 270, 90)]
    return Peers(Setup(MACHINE, 1, 1_000, 0, 100, 1, {}, {}), runs)


@pytest.mark.parametrize(
    ("median", "at_least", "reached"),
    [
        pytest.param(40, False, True, id="at-most-reached"),
        pytest.param(41, False, False, id="at-most-missed"),
        pytest.param(40, True, True, id="at-least-reached"),
        pytest.param(39, True, False, id="at-least-missed"),
    ],
)
def test_the_median_decides(median: float, at_least: bool, reached: bool) -> None:
    """On the right side of the goal, or on it."""
    assert Goal("", "", 40, spread([0, median, 100]), at_least).reached is reached


def test_what_was_not_measured_is_not_reached() -> None:
    """It says so, and is no figure."""
    missed = goals(results(drain("upsertd", 1, 30)), None)
    assert [row[-1] for row in rows(missed)].count("not measured") == 6
    assert not any(goal.reached for goal in missed if goal.measured is None)


def test_peers_are_compared_where_they_are_fastest(peers: Peers) -> None:
    """Debezium by its second half, LOAD DATA as a whole."""
    ratios = [goal.measured for goal in goals(results(), peers) if goal.at_least and goal.measured]
    assert [each.median for each in ratios] == pytest.approx([0.5, 3])


def test_a_load_is_named_once(peers: Peers) -> None:
    """Its figures stand below each other."""
    named = [row[0] for row in rows(goals(results(drain("upsertd", 1, 30)), peers))]
    assert named[:4] == ["unique customers", "", "", "the mix, orders with four lines"]


def test_the_command_is_the_one_of_the_page() -> None:
    """What the page says makes it."""
    assert COMMAND.startswith("python -m benchmarks goals")
