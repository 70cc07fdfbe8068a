"""The stages as tables: for a terminal, and as a section of docs/performance.md. Called by `__main__`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks import sections
from benchmarks.machine import told
from benchmarks.results import PARTS
from benchmarks.stages import picture
from benchmarks.stages.names import MEANINGS, STAGES, WAITS
from benchmarks.stages.results import Results
from benchmarks.stages.summary import Summary, kinds_seen, summaries
from benchmarks.table import Cells, markdown, plain

NAME = "stages"
CPU_PICTURE, WAITS_PICTURE = "stages-cpu.svg", "stages-waits.svg"

CPU_TITLE = "CPU time, µs per event"
WAITS_TITLE = "What lanes wait for, µs per event, all lanes together"
SERVER_TITLE = (
    "Time inside the database, µs per event, all connections together (statements per 1,000 events)"
)


def text(results: Results) -> str:
    """The tables for a terminal."""
    found = summaries(results)
    tables = ((CPU_TITLE, cpu_rows), (WAITS_TITLE, waits_rows), (SERVER_TITLE, server_rows))
    single = ["One round: a look, not a measurement."] if results.rounds == 1 else []
    return "\n\n".join(
        [*single, *(f"{title}\n{plain(head(found), list(rows(found)))}" for title, rows in tables)]
    )


def write(results: Results, command: str) -> Iterator[Path]:
    """Write the section of docs/performance.md and its pictures; yields what was written."""
    found = summaries(results)
    for name, drawn in ((CPU_PICTURE, picture.draw_cpu(found)), (WAITS_PICTURE, picture.draw_waits(found))):
        file = sections.IMAGES / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(drawn, encoding="utf-8")
        yield file
    yield sections.write(NAME, command, section(results))


def section(results: Results) -> list[str]:
    """The lines of the section."""
    found = summaries(results)
    how = f"{results.rounds} rounds, means", f"{results.events:,} events a run", f"seed {results.seed}"
    return [
        *sections.paragraph(f"Measured: {told(results.machine, *how)}."),
        *_part(CPU_TITLE, CPU_PICTURE, markdown(_head_with_meaning(found), list(_with_meaning(found))), _CPU),
        *_part(WAITS_TITLE, WAITS_PICTURE, markdown(head(found), list(waits_rows(found))), _WAITS),
        *_part(SERVER_TITLE, None, markdown(head(found), list(server_rows(found))), _SERVER),
    ]


def head(found: Sequence[Summary]) -> Cells:
    """The first row of every table."""
    return ("", *(each.scenario for each in found))


def cpu_rows(found: Sequence[Summary]) -> Iterator[Cells]:
    """The client's stages, their sum, and the other parts."""
    for stage in STAGES:
        yield _row(stage, (each.cpu_us([stage]) for each in found), digits=2)
    yield _row("client, all stages", (each.cpu_us() for each in found))
    yield _row("client, nothing wrapped", (each.part_us("client") for each in found))
    yield ("wrapped / not", *(each.cost_of_following.text(2) for each in found))
    yield _row("looks at the clock per 1,000 events", (each.looks_per_1000 for each in found), digits=0)
    for part in PARTS[1:]:
        yield _row(part, (each.part_us(part) for each in found))


def waits_rows(found: Sequence[Summary]) -> Iterator[Cells]:
    """Where lanes wait, and how much time they had."""
    for stage in WAITS:
        yield _row(stage, (each.waited_us([stage]) for each in found))
    yield _row("all waiting", (each.waited_us() for each in found))
    yield _row("all time of all lanes", (each.lanes_us for each in found))
    yield _row("events a batch", (each.events_per_batch for each in found), digits=0)


def server_rows(found: Sequence[Summary]) -> Iterator[Cells]:
    """The kinds of statements in the order of a transaction, and the CPU time beside them."""
    kinds = kinds_seen(found)
    for kind in kinds:
        yield (kind, *(_time_and_number(each, kind) for each in found))
    yield _row("all statements", (sum(map(each.server_us, kinds)) for each in found))
    yield _row("CPU time of the connections", (each.connections_us for each in found))
    yield _row("CPU time of the database", (each.timed_database_us for each in found))
    yield _row("rows examined per event", (each.rows_examined for each in found), digits=2)
    yield _row("rows written per event", (each.rows_affected for each in found), digits=2)


def _row(name: str, values: Iterable[float], digits: int = 1) -> Cells:
    return (name, *(f"{value:,.{digits}f}" for value in values))


def _time_and_number(each: Summary, kind: str) -> str:
    number = each.statements_per_1000(kind)
    return f"{each.server_us(kind):.2f}" + (f" ({number:.1f})" if number else "")


def _head_with_meaning(found: Sequence[Summary]) -> Cells:
    return (*head(found), "what it is")


def _with_meaning(found: Sequence[Summary]) -> Iterator[Cells]:
    for row in cpu_rows(found):
        yield (*row, MEANINGS.get(row[0], ""))


def _part(title: str, image: str | None, table: str, words: str) -> list[str]:
    shown = ["", f"![{title}](images/{image})"] if image else []
    return ["", f"### {title}", *shown, "", table, "", *sections.paragraph(words)]


_CPU = (
    "The client is `upsertd run` with its parts wrapped from outside. When a stage begins or ends, a few"
    " times a batch and never for an event, the clock of the thread's CPU time is looked at, and what has"
    " passed is put to the innermost stage that was at work: so the stages add up to the CPU time of the"
    " process. A look takes a microsecond or two; *wrapped / not* compares the whole process with one"
    " without any of it, round by round. The other parts are those of the runs without."
)
_WAITS = (
    "Wall time in which a lane could not go on: from handing its turn to the event loop until it has it back,"
    " so a lane that waits while another one computes is in it. The lanes wait side by side: compared is the"
    " time of all of them. A lane that is through before the others waits in *fetch*. What is missing from"
    " the time of all lanes is work, theirs and the rest of the process's, and the moments behind the last"
    " event."
)
_SERVER = (
    "From MariaDB's performance schema, on a server of its own with `--performance-schema=ON`: **wall time**"
    " from a statement's arrival to its answer, so waiting for the disk (*commit*), for other transactions"
    " and for a core is in it. Rows are sent in bulk: *insert …* is what the storage engine takes for them,"
    " table by table, and *take rows in* is everything else of these statements, reading and converting"
    " values. The CPU time below is that of the same run: of the threads of the connections, and of the whole"
    " server with the threads that write pages and purge."
)
