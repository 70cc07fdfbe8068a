"""Runs both sides by turns: A B, then B A, and so on. Called by `__main__`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from benchmarks.compare.python import Python
from benchmarks.compare.results import A, B, Compared
from benchmarks.compare.trees import Tree
from benchmarks.contenders import UPSERTD, Upsertd
from benchmarks.drain import Scenario, drain, load_for
from benchmarks.load import Generator
from benchmarks.results import Drain
from benchmarks.servers import Servers
from benchmarks.stage import Stage
from benchmarks.summary import cpu_text


@dataclass(frozen=True, slots=True)
class Runner:
    """One side, ready to run: its servers know the schema of its tree."""

    name: str
    tree: Tree
    settings: Mapping[str, str]
    servers: Servers
    python: Python = field(default_factory=Python)

    def run(self, scenario: Scenario, generator: Generator, events: int, number: int) -> Drain:
        """Work off one backlog."""
        load = load_for(UPSERTD, generator, scenario, events)
        return drain(self.servers, self.name, scenario, load, number, new=self._consumer)

    def _consumer(self, stage: Stage) -> Upsertd:
        # The folder of its tree comes before what is installed.
        settings = {**self.settings, "PYTHONPATH": str(self.tree.folder)}
        return Upsertd(stage, settings, [self.python.program, "-m", "service"])


def runners(servers: Servers, sides: Sequence[tuple[Tree, Mapping[str, str], bytes, Python]]) -> list[Runner]:
    """A and B; each side is a tree, settings, a backup of the tree's own schema, and a Python."""
    return [
        Runner(name, tree, settings, replace(servers, schema=schema), python)
        for name, (tree, settings, schema, python) in zip((A, B), sides, strict=True)
    ]


def run(both: Sequence[Runner], scenarios: Sequence[Scenario], compared: Compared) -> Iterator[str]:
    """Run all rounds and add each drain to `compared`; yields a line about each."""
    generators = {each.kind: Generator(each.kind, compared.seed) for each in scenarios}
    for number in range(1, compared.rounds + 1):
        for scenario in scenarios:
            for runner in both if number % 2 else reversed(both):
                drained = runner.run(scenario, generators[scenario.kind], compared.events, number)
                compared.drains.append(drained)
                yield _line(drained, compared.rounds)


def _line(drained: Drain, rounds: int) -> str:
    return (
        f"{drained.round}/{rounds} {drained.scenario:18} {drained.contender} {cpu_text(drained)}"
        f" {drained.events_per_second:8,.0f} events/s {drained.statements_per_event:.4f} statements/event"
    )
