"""How many times as much B takes as A, and whether the rounds agree on it. Pure; called by `report`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.compare.results import A, B, Compared
from benchmarks.results import PARTS, Drain
from benchmarks.summary import Spread, spread

SUM = "all parts"
MEASURES = (SUM, *PARTS)


@dataclass(frozen=True, slots=True)
class Pair:
    """One measure in one scenario, of the rounds that both sides have finished; `ratios` are B/A by round."""

    scenario: str
    measure: str
    a: Spread
    b: Spread
    ratios: Sequence[float]

    @property
    def ratio(self) -> Spread:
        return spread(self.ratios)

    @property
    def word(self) -> str:
        """What all rounds say of B: `less` or `more`; `?` where their spread includes 1, and of one round."""
        # As it is printed: the clock's ticks make no finer difference.
        if len(self.ratios) == 1 or round(self.ratio.least, 2) <= 1 <= round(self.ratio.greatest, 2):
            return "?"
        return "less" if self.ratio.median < 1 else "more"


def pairs(compared: Compared) -> list[Pair]:
    """Each measure of each scenario that has a round of both, in the order in which they were run."""
    return [
        _pair(scenario, measure, rounds)
        for scenario, rounds in _rounds(compared).items()
        for measure in MEASURES
        # A part may take no tick of the clock in a short run.
        if all(_cpu_us(a, measure) for a, _ in rounds)
    ]


def verdict(pair: Pair) -> str:
    """What the rounds of a scenario say, in words."""
    ratio, rounds = pair.ratio, len(pair.ratios)
    figures = f"B takes {ratio.text(2)} times the CPU time of A"
    if rounds == 1:
        return f"{pair.scenario}: {figures}, in the only round: one round says nothing"
    if pair.word == "?":
        return f"{pair.scenario}: {figures}; the spread includes 1: no difference is shown"
    return (
        f"{pair.scenario}: {figures}; the spread does not include 1: {pair.word} in each of {rounds} rounds"
        f" (chance alone does that once in {2 ** (rounds - 1)})"
    )


def _pair(scenario: str, measure: str, rounds: Sequence[tuple[Drain, Drain]]) -> Pair:
    of_a, of_b = ([_cpu_us(side, measure) for side in each] for each in zip(*rounds, strict=True))
    ratios = [b / a for a, b in zip(of_a, of_b, strict=True)]
    return Pair(scenario, measure, spread(of_a), spread(of_b), ratios)


def _cpu_us(drain: Drain, measure: str) -> float:
    return drain.cpu_us_sum if measure == SUM else drain.cpu_us(measure)


def _rounds(compared: Compared) -> dict[str, list[tuple[Drain, Drain]]]:
    """Both drains of each round, by scenario."""
    found = {(drain.scenario, drain.round, drain.contender): drain for drain in compared.drains}
    both: dict[str, list[tuple[Drain, Drain]]] = {}
    for scenario, number, side in found:
        if side == A and (b := found.get((scenario, number, B))):
            both.setdefault(scenario, []).append((found[scenario, number, A], b))
    return both
