"""The peers' figures as tables, in plain text and for docs/performance.md. Called by `__main__`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from string import Template

from benchmarks.contenders import NAIVE, UPSERTD
from benchmarks.machine import told
from benchmarks.peers.debezium import DEBEZIUM
from benchmarks.peers.loading import EVENTS_PER_TRANSACTION, LOAD_DATA
from benchmarks.peers.results import Results, Setup
from benchmarks.peers.summary import Line, goal_of, lines
from benchmarks.results import PARTS
from benchmarks.sections import paragraph
from benchmarks.summary import Spread
from benchmarks.table import Cells, markdown, plain

PICTURE = "peers.svg"
LABELS = {
    LOAD_DATA: "LOAD DATA, the limit",
    UPSERTD: "upsertd",
    DEBEZIUM: "Debezium's sink",
    NAIVE: "naive consumer",
}
LOADS = {
    "customers-0": "unique customers",
    "mix-0": "the mix, unique",
    "customers-85": "customers, 85 % duplicates",
}
HEAD = ("load", "who", "CPU µs/event", *PARTS, "CPU ÷ upsertd's", "goal", "events/s", "÷ upsertd's")


def text(results: Results) -> str:
    """The table of everything, for a terminal."""
    single = ["One round: a look, not a measurement.", ""] if results.setup.rounds == 1 else []
    return "\n".join([*single, plain(HEAD, list(rows(results)))])


def section(results: Results) -> list[str]:
    """The section of docs/performance.md; its words are in `section.md` beside this file."""
    setup = results.setup
    template = Template(Path(__file__).with_name("section.md").read_text(encoding="utf-8"))
    sizes = (f"{size} bytes an event ({kind})" for kind, size in setup.mean_event_bytes.items())
    return template.substitute(
        measured="\n".join(paragraph(f"Measured: {told(setup.machine, f'seed {setup.seed}')}.")),
        picture=PICTURE,
        figures=markdown(HEAD, list(rows(results))),
        rounds=setup.rounds,
        warm_up=f"{setup.warm_up:,}",
        events=f"{setup.events:,}",
        naive_events=f"{setup.naive_events:,}",
        bytes=", ".join(sizes),
        per_transaction=f"{EVENTS_PER_TRANSACTION:,}",
        settings="\n".join(_settings(setup)),
    ).splitlines()


def rows(results: Results) -> Iterator[Cells]:
    """One row for each line; the load is named once."""
    named = ""
    for line in lines(results):
        load = LOADS.get(line.scenario, line.scenario)
        yield ("" if load == named else load, *_cells(line))
        named = load


def _cells(line: Line) -> Cells:
    second = ", second half" if line.is_warm else ""
    parts = [f"{line.cpu_us_of(part):,.0f}" for part in PARTS]
    return (
        LABELS[line.contender] + second,
        line.cpu_us.text(_digits(line.cpu_us)),
        *parts,
        _ratio(line, line.cpu_ratio),
        _goal(line),
        line.events_per_second.text(),
        _ratio(line, line.speed_ratio),
    )


def _ratio(line: Line, ratio: Spread | None) -> str:
    if line.contender == UPSERTD or ratio is None:
        return ""
    return ratio.text(0 if ratio.median >= 20 else 2)


def _goal(line: Line) -> str:
    goal = goal_of(line)
    if goal is None or line.cpu_ratio is None:
        return ""
    reached = "" if line.cpu_ratio.median >= goal.at_least else ", missed"
    return f"≥ {goal.at_least:g}{reached}"


def _digits(value: Spread) -> int:
    return 0 if value.median >= 100 else 1


def _settings(setup: Setup) -> Iterator[str]:
    """A point of the list."""
    told_settings = ", ".join(f"`{name}={value}`" for name, value in setup.debezium_settings.items())
    first, *rest = paragraph(f"Debezium's settings, where they are not the defaults: {told_settings}.")
    yield f"- {first}"
    for line in rest:
        yield f"  {line}"
