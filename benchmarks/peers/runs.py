"""All rounds of the peers: who works off what, in which order, and whether the tables are right afterwards.

Called by `__main__`. The turns change from round to round, so that nobody always comes first. Each run has a
stage of its own: new topics with the same records in the same partitions, a new database on the same server.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.contenders import NAIVE, UPSERTD, Naive, Upsertd, counted_at_end
from benchmarks.load import APART, ENTITIES, Generator, Load, Message
from benchmarks.peers import debezium, loading, rows
from benchmarks.peers.checking import check_rows
from benchmarks.peers.connect_jars import ConnectJars
from benchmarks.peers.debezium import DEBEZIUM, Debezium
from benchmarks.peers.loading import LOAD_DATA
from benchmarks.peers.measuring import Marking, halves, loaded, work_off
from benchmarks.peers.results import Run, Stretch
from benchmarks.probe import Probe
from benchmarks.servers import Servers
from benchmarks.stage import Stage, staged
from benchmarks.verify import verify

NAMES = (UPSERTD, DEBEZIUM, LOAD_DATA, NAIVE)
SCENARIOS = ("customers-0", "mix-0", "customers-85")
# The naive consumer compiles nothing while it runs, and keeps nothing in memory.
_NAIVE_WARM_UP = 150


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is run. `warm_up`: events that are worked off before the measured ones, at the least."""

    rounds: int
    events: int
    warm_up: int
    naive_events: int
    seed: int
    scenarios: Sequence[str] = SCENARIOS
    contenders: Sequence[str] = NAMES
    # Other settings for Debezium: to try what they do.
    debezium_settings: Mapping[str, str] = field(default_factory=dict)


def run(servers: Servers, jars: ConnectJars, plan: Plan) -> Iterator[Run]:
    """Every round of every scenario. Raises `WrongResult`, `ConsumerFailed`."""
    generators = {kind: Generator(kind, plan.seed) for kind in ENTITIES}
    for number in range(1, plan.rounds + 1):
        for scenario in plan.scenarios:
            kind, percent = scenario.rsplit("-", 1)
            for name in _turns(plan.contenders, number):
                load = _load(plan, generators[kind], name, int(percent) / 100)
                stretches = _Runner(servers, jars, plan, kind, load).run(name)
                yield Run(scenario, name, number, load.copies, stretches)


def _turns(names: Sequence[str], number: int) -> Sequence[str]:
    turn = (number - 1) % len(names)
    return (*names[turn:], *names[:turn])


def _load(plan: Plan, generator: Generator, name: str, share: float) -> Load:
    if name == NAIVE:
        return generator.load(plan.naive_events, share, others=_NAIVE_WARM_UP)
    apart = generator.logs * (APART + 200)
    copied = round(plan.events * share)
    return generator.load(plan.events, share, others=max(apart, plan.warm_up - copied))


@dataclass(frozen=True, slots=True)
class _Runner:
    """One load, for whoever is to work it off."""

    servers: Servers
    jars: ConnectJars
    plan: Plan
    kind: str
    load: Load

    def run(self, name: str) -> list[Stretch]:
        runs: Mapping[str, Callable[[Stage, Probe], list[Stretch]]] = {
            UPSERTD: self._upsertd,
            NAIVE: self._naive,
            DEBEZIUM: self._debezium,
            LOAD_DATA: self._load_data,
        }
        with (
            staged(self.servers, ENTITIES[self.kind], with_schema=name != NAIVE) as stage,
            stage.probe() as probe,
        ):
            return runs[name](stage, probe)

    def _upsertd(self, stage: Stage, probe: Probe) -> list[Stretch]:
        consumer = Upsertd(stage, {})
        peer = Marking(consumer, probe)
        with consumer.process:
            stretches = work_off(stage, peer, self.load.prepared, self._halves())
            verify(probe, self.load, counted_at_end(consumer, self.load.events))
        check_rows(probe, self.load, str)
        return stretches

    def _naive(self, stage: Stage, probe: Probe) -> list[Stretch]:
        peer = Marking(Naive(stage, {}), probe)
        with peer.process:
            stretches = work_off(stage, peer, self.load.prepared, [self.load.measured])
        verify(probe, self.load, None)
        return stretches

    def _debezium(self, stage: Stage, probe: Probe) -> list[Stretch]:
        peer = Debezium(stage, probe, self.jars, self.plan.debezium_settings)
        with peer.process:
            stretches = work_off(stage, peer, self.load.prepared, self._halves())
        check_rows(probe, self.load, debezium.table)
        return stretches

    def _load_data(self, stage: Stage, probe: Probe) -> list[Stretch]:
        url = stage.servers.mariadb.url(stage.database)
        placed = list(rows.placed((*self.load.prepared, *self.load.measured)))
        before = len(self.load.prepared)
        with tempfile.TemporaryDirectory(prefix="upsertd-load-data-") as folder:
            prepared = loading.write_batches(_made(folder, "prepared"), stage.topics, placed[:before])
            measured = loading.write_batches(_made(folder, "measured"), stage.topics, placed[before:])
            loading.load(url, prepared)
            stretch = loaded(stage, len(self.load.measured), lambda: loading.load(url, measured))
        verify(probe, self.load, None)
        check_rows(probe, self.load, str)
        return [stretch]

    def _halves(self) -> list[Sequence[Message]]:
        prepared = {message.event_id for message in self.load.prepared}
        return halves(self.load.measured, lambda message: message.event_id not in prepared)


def _made(folder: str, name: str) -> Path:
    made = Path(folder) / name
    made.mkdir()
    return made
