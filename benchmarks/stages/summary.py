"""Means of all rounds of a scenario, per event. Pure; called by `report` and `picture`.

Means, not medians: so the stages add up to their sum.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from statistics import fmean

from benchmarks.load import ENTITIES, PARTITIONS
from benchmarks.stages.names import STAGES, WAITS
from benchmarks.stages.results import Kind, Results, Run
from benchmarks.stages.statements import KINDS
from benchmarks.summary import Spread, spread

NO_STATEMENTS = Kind(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Summary:
    """All rounds of one scenario. Times are microseconds per event."""

    scenario: str
    runs: Sequence[Run]

    def cpu_us(self, stages: Collection[str] = STAGES) -> float:
        """CPU time of the client in these stages."""
        return self._mean(
            lambda run: sum(taken.cpu_seconds for name, taken in run.staged.stages.items() if name in stages)
        )

    def waited_us(self, stages: Collection[str] = WAITS) -> float:
        """What lanes have waited in these stages, all lanes together."""
        return self._mean(
            lambda run: sum(
                taken.waited_seconds for name, taken in run.staged.stages.items() if name in stages
            )
        )

    @property
    def lanes_us(self) -> float:
        """The time that all lanes together had for an event, the moments behind the last one included."""
        lanes = PARTITIONS * len(ENTITIES[self.scenario.partition("-")[0]])
        return self._mean(lambda run: lanes * run.staged.seconds)

    def part_us(self, part: str) -> float:
        """CPU time of one part, as the service is: nothing wrapped, no statement timed."""
        return fmean(run.plain.cpu_us(part) for run in self.runs)

    @property
    def connections_us(self) -> float:
        """CPU time of the database's connections, on the server that times statements."""
        return self._mean(lambda run: run.connections_cpu_seconds)

    @property
    def timed_database_us(self) -> float:
        """CPU time of the whole database, on that server."""
        return fmean(run.timed.cpu_us("database") for run in self.runs)

    def server_us(self, kind: str) -> float:
        """Wall time of statements of this kind inside the server."""
        return self._mean(lambda run: run.kinds.get(kind, NO_STATEMENTS).seconds)

    def statements_per_1000(self, kind: str) -> float:
        """Statements of this kind for a thousand events."""
        return self._mean(lambda run: run.kinds.get(kind, NO_STATEMENTS).statements) / 1e3

    @property
    def rows_examined(self) -> float:
        """Rows that the server has looked at for an event."""
        return self._mean(lambda run: sum(kind.rows_examined for kind in run.kinds.values())) / 1e6

    @property
    def rows_affected(self) -> float:
        """Rows that an event has changed."""
        return self._mean(lambda run: sum(kind.rows_affected for kind in run.kinds.values())) / 1e6

    @property
    def events_per_batch(self) -> float:
        """How many events were in a batch."""
        return fmean(run.followed.events / (run.followed.batches or 1) for run in self.runs)

    @property
    def looks_per_1000(self) -> float:
        """How often the clock was looked at for a thousand events."""
        return self._mean(lambda run: run.staged.changes) / 1e3

    @property
    def cost_of_following(self) -> Spread:
        """The client's CPU time with its stages told apart, divided by that without."""
        return spread(run.followed.cpu_us("client") / run.plain.cpu_us("client") for run in self.runs)

    def _mean(self, seconds: Callable[[Run], float]) -> float:
        """Microseconds (millionths) per event."""
        return fmean(seconds(run) / run.plain.events for run in self.runs) * 1e6


def summaries(results: Results) -> list[Summary]:
    """One for each scenario, in the order in which they were run."""
    names = dict.fromkeys(run.scenario for run in results.runs)
    return [Summary(name, [run for run in results.runs if run.scenario == name]) for name in names]


def kinds_seen(found: Sequence[Summary]) -> list[str]:
    """The kinds of statements that were run at all, in the order of a transaction."""
    return [name for name in KINDS if any(name in run.kinds for each in found for run in each.runs)]
