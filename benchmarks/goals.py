"""What was to be reached beside what was measured. Called by `python -m benchmarks goals`.

Absolute figures come from the results of `benchmarks`, those beside others from `benchmarks.peers`, where all
worked off the same topic in the same round. Medians decide; what was not measured is not reached.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import sections
from benchmarks.peers.debezium import DEBEZIUM
from benchmarks.peers.loading import LOAD_DATA
from benchmarks.peers.results import Results as Peers
from benchmarks.peers.summary import GOALS, lines
from benchmarks.results import Paced, Results
from benchmarks.summary import Spread, compare, spread
from benchmarks.table import Cells, markdown

COMMAND = "python -m benchmarks goals build/benchmark.json build/peers.json"
HEAD = ("load", "figure", "goal", "measured", "reached")
# Scenario of `benchmarks`, that of `benchmarks.peers`, what it is called, CPU microseconds an event.
_LOADS = (
    ("customers-0", "customers-0", "unique customers", 40),
    ("mix-0", "mix-0", "the mix, orders with four lines", 80),
    ("customers-85-warm", "customers-85", "85 % duplicates, warm cache", 18),
)
_PEERS = {LOAD_DATA: "of LOAD DATA, by CPU", DEBEZIUM: "times Debezium's second half, by CPU"}


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure; `measured` is None where it was not. `at_least`: more is better."""

    load: str
    figure: str
    wanted: float
    measured: Spread | None
    at_least: bool = False

    @property
    def reached(self) -> bool:
        """Whether the median is on the right side."""
        if self.measured is None:
            return False
        median = self.measured.median
        return median >= self.wanted if self.at_least else median <= self.wanted


def goals(results: Results, peers: Peers | None) -> list[Goal]:
    """All goals, with what was measured of each."""
    return [*_costs(results, peers), *_paced(results)]


def rows(reached: Sequence[Goal]) -> list[Cells]:
    """A row for each goal; the name of a load stands once."""
    seen: set[str] = set()
    return [_cells(goal, seen) for goal in reached]


def write(reached: Sequence[Goal]) -> Path:
    """Write the section `goals` of docs/performance.md; returns the page."""
    return sections.write("goals", COMMAND, markdown(HEAD, rows(reached)).splitlines())


def _costs(results: Results, peers: Peers | None) -> Iterator[Goal]:
    cpu = {each.scenario: each.upsertd.cpu_us for each in compare(results)}
    for scenario, beside, load, cpu_us in _LOADS:
        yield Goal(load, "CPU µs per event, all servers counted", cpu_us, cpu.get(scenario))
        for goal in GOALS:
            if goal.scenario == beside:
                ratio = _ratio(peers, beside, goal.contender)
                yield Goal(load, _PEERS[goal.contender], goal.at_least, ratio, at_least=True)


def _paced(results: Results) -> Iterator[Goal]:
    plays = {play.play: play for play in results.paced}
    latency, economy = "100 messages/s, for latency", "the same, for economy"
    yield Goal(latency, "p50, ms", 8, _single(plays, "latency", "delay_p50_ms"))
    yield Goal(latency, "p99, ms", 40, _single(plays, "latency", "delay_p99_ms"))
    yield Goal(economy, "statements/s", 45, _single(plays, "economy", "statements_per_second"))
    yield Goal(economy, "connections", 3, _single(plays, "economy", "peak_connections"))


def _single(plays: dict[str, Paced], name: str, figure: str) -> Spread | None:
    return spread([float(getattr(plays[name], figure))]) if name in plays else None


def _ratio(peers: Peers | None, scenario: str, contender: str) -> Spread | None:
    """How many times upsertd's CPU time a peer takes, round by round; of second halves where it compiles."""
    for line in lines(peers) if peers else ():
        is_meant = line.is_warm == (contender == DEBEZIUM)
        if (line.scenario, line.contender) == (scenario, contender) and is_meant:
            return line.cpu_ratio
    return None


def _cells(goal: Goal, seen: set[str]) -> Cells:
    load = "" if goal.load in seen else goal.load
    seen.add(goal.load)
    wanted = f"{'≥' if goal.at_least else '≤'} {goal.wanted:g}"
    if goal.measured is None:
        return [load, goal.figure, wanted, "", "not measured"]
    return [load, goal.figure, wanted, _text(goal.measured), "yes" if goal.reached else "no"]


def _text(measured: Spread) -> str:
    """The median, with the spread where there is one."""
    digits = 0 if measured.median == round(measured.median) else 1 if measured.median >= 4 else 2
    single = measured.least == measured.greatest
    return f"{measured.median:,.{digits}f}" if single else measured.text(digits)
