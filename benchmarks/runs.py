"""The whole benchmark: rounds of all scenarios, both contenders by turns, then the reference scenario.

Called by `__main__`. The turns change from round to round, so that neither contender always comes second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.contenders import NAIVE, NAMES
from benchmarks.drain import SCENARIOS, Scenario, drain, load_for
from benchmarks.load import ENTITIES, Generator
from benchmarks.machine import machine
from benchmarks.paced import KIND, Play, pace, plays
from benchmarks.results import Drain, Paced, Results, Setup
from benchmarks.servers import Servers
from benchmarks.summary import cpu_text


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is run. `only`: parts of the names of what is run, empty for all.

    The naive consumer takes part in the first `naive_rounds`, and not where the cache is cold: it needs most
    of the time, and what it shows is too large to need more.
    """

    rounds: int
    naive_rounds: int
    events: int
    naive_events: int
    paced_seconds: float
    economy_linger_ms: int
    seed: int
    only: tuple[str, ...] = ()

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        """The drains to run."""
        return tuple(each for each in SCENARIOS if self._wanted(each.name))

    @property
    def plays(self) -> tuple[Play, ...]:
        """How to play the reference scenario."""
        return tuple(each for each in plays(self.economy_linger_ms) if self._wanted(f"reference-{each.name}"))

    def turns(self, scenario: Scenario, number: int) -> list[str]:
        """Who drains a scenario in this round, in which order."""
        naive_too = number <= self.naive_rounds and not scenario.cold
        names = [name for name in NAMES if naive_too or name != NAIVE]
        return names if number % 2 else names[::-1]

    def _wanted(self, name: str) -> bool:
        return not self.only or any(part in name for part in self.only)


def begin(servers: Servers, plan: Plan) -> Results:
    """Results without any run: what is measured, on what, with what."""
    sizes = {kind: Generator(kind, plan.seed).mean_bytes() for kind in ENTITIES}
    return Results(
        Setup(
            machine=machine(servers.versions()),
            rounds=plan.rounds,
            naive_rounds=min(plan.naive_rounds, plan.rounds),
            events=plan.events,
            naive_events=plan.naive_events,
            seed=plan.seed,
            mean_event_bytes=sizes,
        )
    )


def run(servers: Servers, plan: Plan, results: Results) -> Iterator[str]:
    """Run all of `plan` and add it to `results`; yields a line about each run."""
    generators = {kind: Generator(kind, plan.seed) for kind in ENTITIES}
    for drained in _drain_all(servers, plan, generators):
        results.drains.append(drained)
        yield _line_of_drain(drained, plan.rounds)
    for paced in _pace_all(servers, plan, generators[KIND]):
        results.paced.append(paced)
        yield _line_of_paced(paced)


def _pace_all(servers: Servers, plan: Plan, generator: Generator) -> Iterator[Paced]:
    for play in plan.plays:
        yield pace(servers, play, generator, plan.paced_seconds)


def _drain_all(servers: Servers, plan: Plan, generators: dict[str, Generator]) -> Iterator[Drain]:
    for number in range(1, plan.rounds + 1):
        for scenario in plan.scenarios:
            for name in plan.turns(scenario, number):
                events = plan.naive_events if name == NAIVE else plan.events
                load = load_for(name, generators[scenario.kind], scenario, events)
                yield drain(servers, name, scenario, load, number)


def _line_of_drain(drained: Drain, rounds: int) -> str:
    return (
        f"{drained.round}/{rounds} {drained.scenario:18} {drained.contender:8} {cpu_text(drained)}"
        f" {drained.events_per_second:8,.0f} events/s {drained.statements_per_event:6.3f} statements/event"
    )


def _line_of_paced(paced: Paced) -> str:
    linger = "" if paced.linger_ms is None else f"linger {paced.linger_ms} ms"
    return (
        f"reference {paced.play:8} {linger:15} {paced.statements_per_second:6.1f} statements/s"
        f" {paced.peak_connections} connections, delay p50 {paced.delay_p50_ms:.1f} ms"
        f" p99 {paced.delay_p99_ms:.1f} ms, client {paced.client_cpu_us:,.0f} CPU us/message"
    )
