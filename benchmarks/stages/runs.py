"""Rounds of all scenarios: each as it is, with its stages told apart, and on a server that times statements.

Called by `__main__`. The first two take turns in coming first; their ratio is what measuring costs.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.contenders import UPSERTD, Upsertd
from benchmarks.drain import Scenario, drain, load_for
from benchmarks.load import Generator, Load
from benchmarks.results import Drain
from benchmarks.servers import Servers
from benchmarks.stage import Stage
from benchmarks.stages.results import FILE_VARIABLE, Results, Run, Staged
from benchmarks.stages.server import Timed, Timing

PROGRAM = (sys.executable, "-m", "benchmarks.stages.consumer")


@dataclass(frozen=True, slots=True)
class Theatre:
    """The usual servers, and those with the database that times its statements."""

    usual: Servers
    timing: Servers


def run(theatre: Theatre, scenarios: Sequence[Scenario], results: Results) -> Iterator[str]:
    """Run all rounds and add each run to `results`; yields a line about each."""
    generators = {each.kind: Generator(each.kind, results.seed) for each in scenarios}
    for number in range(1, results.rounds + 1):
        for scenario in scenarios:
            load = load_for(UPSERTD, generators[scenario.kind], scenario, results.events)
            results.runs.append(_run(theatre, scenario, load, number))
            yield _line(results.runs[-1], results.rounds)


def _run(theatre: Theatre, scenario: Scenario, load: Load, number: int) -> Run:
    if number % 2:
        plain = drain(theatre.usual, UPSERTD, scenario, load, number)
        followed, staged = _follow(theatre.usual, scenario, load, number)
    else:
        followed, staged = _follow(theatre.usual, scenario, load, number)
        plain = drain(theatre.usual, UPSERTD, scenario, load, number)
    with Timing(theatre.timing) as timing:
        timed = drain(theatre.timing, UPSERTD, scenario, load, number, new=lambda stage: Timed(stage, timing))
    return Run(
        scenario.name, number, plain, followed, staged, timed, timing.kinds, timing.connections_cpu_seconds
    )


def _follow(servers: Servers, scenario: Scenario, load: Load, number: int) -> tuple[Drain, Staged]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "stages.json"

        def new(stage: Stage) -> Upsertd:
            return Upsertd(stage, {FILE_VARIABLE: str(file)}, PROGRAM)

        drained = drain(servers, UPSERTD, scenario, load, number, new=new)
        return drained, msgspec.json.decode(file.read_bytes(), type=Staged)


def _line(run: Run, rounds: int) -> str:
    plain, timed = run.plain, run.timed
    return (
        f"{run.round}/{rounds} {run.scenario:18}"
        f" client {plain.cpu_us('client'):5.1f} CPU us/event, followed {run.followed.cpu_us('client'):5.1f};"
        f" database {plain.cpu_us('database'):5.1f}, timed {timed.cpu_us('database'):5.1f}"
    )
