"""Medians, spreads and ratios of the peers' runs. Pure; called by `report` and `picture`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.contenders import NAIVE, UPSERTD
from benchmarks.peers.debezium import DEBEZIUM
from benchmarks.peers.loading import LOAD_DATA
from benchmarks.peers.results import Results, Run, Stretch, cpu_us, cpu_us_sum
from benchmarks.summary import Spread, spread

Choose = Callable[[Run], Stretch]


def _whole(run: Run) -> Stretch:
    return run.whole


def _warm(run: Run) -> Stretch:
    return run.warm


@dataclass(frozen=True, slots=True)
class Line:
    """A contender in one scenario, beside upsertd in the same rounds; ratios are the contender's ÷ upsertd's.

    `is_warm`: the second half of both alone.
    """

    scenario: str
    contender: str
    is_warm: bool
    stretches: Sequence[Stretch]
    beside: Sequence[Stretch]

    @property
    def cpu_us(self) -> Spread:
        """Microseconds per event, of all parts."""
        return spread(map(cpu_us_sum, self.stretches))

    def cpu_us_of(self, part: str) -> float:
        """The median of one part."""
        return median(cpu_us(stretch, part) for stretch in self.stretches)

    @property
    def events_per_second(self) -> Spread:
        return spread(map(_events_per_second, self.stretches))

    @property
    def cpu_ratio(self) -> Spread | None:
        """Round by round; None where upsertd did not run."""
        return _ratio(cpu_us_sum, self.stretches, self.beside)

    @property
    def speed_ratio(self) -> Spread | None:
        """Events per second, round by round; None where upsertd did not run."""
        return _ratio(_events_per_second, self.stretches, self.beside)


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio to upsertd's CPU time that is aimed at."""

    scenario: str
    contender: str
    at_least: float


# As issue 6 has them.
GOALS = (
    Goal("customers-0", LOAD_DATA, 0.6),
    Goal("mix-0", LOAD_DATA, 0.5),
    Goal("customers-0", DEBEZIUM, 2),
    Goal("customers-85", DEBEZIUM, 4),
)
# Contender, and whether its second half alone; in the order of the tables.
_LINES = ((LOAD_DATA, False), (UPSERTD, False), (DEBEZIUM, False), (DEBEZIUM, True), (NAIVE, False))


def lines(results: Results) -> list[Line]:
    """Every line that there are runs for, scenario by scenario."""
    scenarios = dict.fromkeys(run.scenario for run in results.runs)
    made = (_line(results, scenario, *line) for scenario in scenarios for line in _LINES)
    return [line for line in made if line.stretches]


def goal_of(line: Line) -> Goal | None:
    """The goal that this line is measured by."""
    wanted = (line.scenario, line.contender)
    return next((goal for goal in GOALS if (goal.scenario, goal.contender) == wanted), None)


def _line(results: Results, scenario: str, contender: str, is_warm: bool) -> Line:
    choose = _warm if is_warm else _whole
    theirs = _by_round(results, scenario, contender, choose)
    ours = _by_round(results, scenario, UPSERTD, choose)
    # A round that was interrupted is left out, so that the two stand beside each other.
    rounds = [number for number in theirs if number in ours] or list(theirs)
    beside = [ours[number] for number in rounds if number in ours]
    return Line(scenario, contender, is_warm, [theirs[number] for number in rounds], beside)


def _by_round(results: Results, scenario: str, contender: str, choose: Choose) -> dict[int, Stretch]:
    wanted = (scenario, contender)
    return {run.round: choose(run) for run in results.runs if (run.scenario, run.contender) == wanted}


def _ratio(
    value: Callable[[Stretch], float], theirs: Sequence[Stretch], ours: Sequence[Stretch]
) -> Spread | None:
    if not ours:
        return None
    return spread(value(each) / value(other) for each, other in zip(theirs, ours, strict=True))


def _events_per_second(stretch: Stretch) -> float:
    return stretch.events / stretch.seconds
