"""Drains all variants of a shape round by round, forwards and backwards by turns. Called by `__main__`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from benchmarks.contenders import UPSERTD
from benchmarks.drain import Scenario, drain
from benchmarks.load import Load
from benchmarks.servers import Servers
from benchmarks.shapes import loads
from benchmarks.shapes.results import Run, Shape
from benchmarks.shapes.variants import Variant
from benchmarks.summary import cpu_text

# Of its fields only the entities count here: each variant makes its own backlog.
_SCENARIO = Scenario(loads.ENTITY, 0)


def run(servers: Servers, name: str, variants: Sequence[Variant], shape: Shape) -> Iterator[str]:
    """Run all rounds and add each run to `shape`; yields a line about each."""
    for number in range(1, shape.rounds + 1):
        for variant in variants if number % 2 else reversed(variants):
            done = _run(servers, name, variant, number)
            shape.runs.append(done)
            yield _line(name, done, shape.rounds)


def _run(servers: Servers, name: str, variant: Variant, number: int) -> Run:
    load = variant.load
    drained = drain(servers, UPSERTD, _SCENARIO, load, number, make_backlog=variant.make_backlog)
    named = replace(drained, scenario=f"{name}: {variant.name}")
    return Run(variant.name, _mean_bytes(load), loads.records(load), named)


def _mean_bytes(load: Load) -> int:
    return sum(len(message.value) for message in load.measured) // len(load.measured)


def _line(name: str, done: Run, rounds: int) -> str:
    drained = done.drain
    return (
        f"{drained.round}/{rounds} {name} {done.variant:20} {cpu_text(drained)}"
        f" {drained.events_per_second:8,.0f} events/s {drained.statements_per_event:.4f} statements/event"
    )
