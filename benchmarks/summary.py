"""Medians and spreads of what was measured. Pure; called by whatever shows figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.contenders import NAIVE, UPSERTD
from benchmarks.results import PARTS, Drain, Results


@dataclass(frozen=True, slots=True)
class Spread:
    """A median, and the least and the greatest value beside it."""

    median: float
    least: float
    greatest: float

    def text(self, digits: int = 0) -> str:
        """Such as `63 (61-70)`."""
        return f"{self.median:,.{digits}f} ({self.least:,.{digits}f}–{self.greatest:,.{digits}f})"  # noqa: RUF001 -- a range


def spread(values: Iterable[float]) -> Spread:
    """The spread of at least one value."""
    numbers = sorted(values)
    return Spread(median(numbers), numbers[0], numbers[-1])


def cpu_text(drain: Drain) -> str:
    """For a line of progress: `63.1 CPU us/event (client 30.2 database 25.4 redis 4.5 broker 3.0)`."""
    parts = " ".join(f"{part} {drain.cpu_us(part):,.1f}" for part in drain.cpu_seconds)
    return f"{drain.cpu_us_sum:7,.1f} CPU us/event ({parts})"


@dataclass(frozen=True, slots=True)
class Side:
    """All rounds of one contender in one scenario. CPU is in microseconds per event."""

    drains: Sequence[Drain]

    @property
    def events_per_second(self) -> Spread:
        return self._spread(lambda drain: drain.events_per_second)

    @property
    def cpu_us(self) -> Spread:
        return self._spread(lambda drain: drain.cpu_us_sum)

    @property
    def cpu_us_by_part(self) -> dict[str, float]:
        """The median of each part; they need not add up to the median of the sums."""
        return {part: median(drain.cpu_us(part) for drain in self.drains) for part in PARTS}

    @property
    def statements_per_event(self) -> Spread:
        return self._spread(lambda drain: drain.statements_per_event)

    @property
    def own_statements_per_event(self) -> float | None:
        """As the consumer counts them, None where it does not."""
        counted = [
            drain.own_statements / drain.events for drain in self.drains if drain.own_statements is not None
        ]
        return median(counted) if counted else None

    @property
    def peak_connections(self) -> int:
        return max(drain.peak_connections for drain in self.drains)

    def _spread(self, value: Callable[[Drain], float]) -> Spread:
        return spread(value(drain) for drain in self.drains)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A scenario; `naive` is empty where the naive consumer did not run it."""

    scenario: str
    upsertd: Side
    naive: Side

    @property
    def ratio(self) -> Spread | None:
        """How many times less CPU upsertd takes, of the rounds that both have finished."""
        ours = {drain.round: drain.cpu_us_sum for drain in self.upsertd.drains}
        theirs = {drain.round: drain.cpu_us_sum for drain in self.naive.drains}
        both = ours.keys() & theirs.keys()
        return spread(theirs[each] / ours[each] for each in both) if both else None


def compare(results: Results) -> list[Comparison]:
    """One comparison for each scenario that upsertd has finished, in the order in which they were run."""
    scenarios = dict.fromkeys(drain.scenario for drain in results.drains)
    pairs = ((name, _side(results, name, UPSERTD), _side(results, name, NAIVE)) for name in scenarios)
    return [Comparison(*pair) for pair in pairs if pair[1].drains]


def _side(results: Results, scenario: str, contender: str) -> Side:
    wanted = (scenario, contender)
    return Side([drain for drain in results.drains if (drain.scenario, drain.contender) == wanted])
