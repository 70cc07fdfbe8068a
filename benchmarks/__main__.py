"""`python -m benchmarks` (`make bench`): throughput and the reference scenario; lists all other benchmarks.

`report` makes sections of the docs of what was measured, `goals` puts it beside the goals.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

import click
import msgspec

from benchmarks import goals as standing
from benchmarks import json_file
from benchmarks import report as sections
from benchmarks.paced import ECONOMY_LINGER_MS
from benchmarks.peers.results import Results as Peers
from benchmarks.process import ConsumerFailed
from benchmarks.results import Results
from benchmarks.runs import Plan, begin, run
from benchmarks.servers import ADDRESS_VARIABLES, open_servers
from benchmarks.table import plain, table
from benchmarks.verify import WrongResult
from tests.servers import ServerFailed, ServerMissing

_OUT = Path("build/benchmark.json")
_File = click.Path(exists=True, dir_okay=False, path_type=Path)

# Every benchmark: what it is started by, and what it measures.
BENCHMARKS = {
    "benchmarks": "a backlog worked off, and 100 messages/s, beside a naive consumer; ten minutes",
    "benchmarks.stages": "where the time of an event goes, stage by stage",
    "benchmarks.peers": "the same topic by Debezium's JDBC sink, LOAD DATA and the naive consumer",
    "benchmarks.growth": "the cost of an event as marks, partitions and replicas grow; a take-over",
    "benchmarks.shapes": "a replay storm, hot keys, large records; `all`: four minutes",
    "benchmarks.latency": "delay under rising load until it saturates, and in bursts",
    "benchmarks.limits": "bytes and commits that bound the service beyond one machine; a minute and a half",
    "benchmarks.soak": "as long as you like: memory, connections and lag stay flat",
    "benchmarks.compare": "two commits by turns: the ratio of their costs; four minutes",
}


class _Size(NamedTuple):
    """How much is run where the options say nothing else."""

    rounds: int
    events: int
    naive_rounds: int
    naive_events: int
    seconds: int


_WHOLE = _Size(rounds=5, events=40_000, naive_rounds=2, naive_events=800, seconds=40)
_QUICK = _Size(rounds=1, events=10_000, naive_rounds=1, naive_events=300, seconds=10)
_QUICK_ONLY = ("customers-0", "customers-85-warm", "mix-30-warm", "reference")


class _Group(click.Group):
    """A group whose help lists the other benchmarks too."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_commands(ctx, formatter)
        with formatter.section("All benchmarks, each with --help, JSON under build/, and a report command"):
            formatter.write_dl([(f"python -m {module}", what) for module, what in BENCHMARKS.items()])


@click.group(
    cls=_Group,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""\b
Examples:
  python -m benchmarks                          all of it, ten minutes
  python -m benchmarks --quick                  one small round, two minutes
  python -m benchmarks --only customers-85 --rounds 3
  python -m benchmarks --only reference --economy-linger-ms 500
  python -m benchmarks report build/benchmark.json
  python -m benchmarks goals build/benchmark.json build/peers.json""",
)
@click.option("--rounds", type=click.IntRange(1), help=f"Rounds of all scenarios; {_WHOLE.rounds}.")
@click.option(
    "--events", type=click.IntRange(1000), help=f"Events that upsertd drains in a run; {_WHOLE.events}."
)
@click.option(
    "--naive-rounds",
    type=click.IntRange(0),
    help=f"Rounds with the naive consumer, warm caches only; {_WHOLE.naive_rounds}.",
)
@click.option(
    "--naive-events", type=click.IntRange(100), help=f"The naive consumer's; {_WHOLE.naive_events}."
)
@click.option(
    "--seconds", type=click.IntRange(5), help=f"Length of the reference scenario; {_WHOLE.seconds}."
)
@click.option("--economy-linger-ms", default=ECONOMY_LINGER_MS, show_default=True)
@click.option("--only", multiple=True, help="A part of the names of what is run: mix-85, reference.")
@click.option("--quick", is_flag=True, help="One small round: to see that it works, not to be quoted.")
@click.option("--seed", default=1, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=_OUT, show_default=True)
@click.pass_context
def main(
    context: click.Context,
    *,
    rounds: int | None,
    events: int | None,
    naive_rounds: int | None,
    naive_events: int | None,
    seconds: int | None,
    economy_linger_ms: int,
    only: tuple[str, ...],
    quick: bool,
    seed: int,
    out: Path,
) -> None:
    """Measure upsertd against a naive consumer on real servers of its own (Kafka, MariaDB, Redis)."""
    if context.invoked_subcommand:
        return
    size = _QUICK if quick else _WHOLE
    plan = Plan(
        rounds=rounds or size.rounds,
        naive_rounds=size.naive_rounds if naive_rounds is None else naive_rounds,
        events=events or size.events,
        naive_events=naive_events or size.naive_events,
        paced_seconds=seconds or size.seconds,
        economy_linger_ms=economy_linger_ms,
        seed=seed,
        only=only or (_QUICK_ONLY if quick else ()),
    )
    _run(plan, out)


@main.command()
@click.argument("file", type=_File)
def report(file: Path) -> None:
    """Print the table of FILE; write it and its picture into docs/performance.md and the README."""
    measured = _read(file)
    click.echo(table(measured))
    for written in sections.write(measured):
        click.echo(f"written: {written}")


@main.command()
@click.argument("file", type=_File)
@click.argument("peers", type=_File, required=False)
def goals(file: Path, peers: Path | None) -> None:
    """Put the results FILE and those of PEERS beside the goals; write that into docs/performance.md."""
    try:
        beside = json_file.read(peers, Peers) if peers else None
    except msgspec.MsgspecError as error:
        raise click.BadParameter(f"{peers} is not what `benchmarks.peers` has written: {error}") from error
    reached = standing.goals(_read(file), beside)
    click.echo(plain(standing.HEAD, standing.rows(reached)))
    click.echo(f"written: {standing.write(reached)}")


def _read(file: Path) -> Results:
    try:
        return json_file.read(file, Results)
    except msgspec.MsgspecError as error:
        raise click.BadParameter(f"{file} is not what a benchmark has written: {error}") from error


def _run(plan: Plan, out: Path) -> None:
    if not plan.scenarios and not plan.plays:
        raise click.UsageError("--only leaves nothing to run")
    if ignored := [name for name in ADDRESS_VARIABLES if name in os.environ]:
        click.echo(f"{', '.join(ignored)}: not used, a benchmark has servers of its own")
    try:
        with open_servers() as servers:
            measured = begin(servers, plan)
            for line in run(servers, plan, measured):
                click.echo(line)
                json_file.write(measured, out)  # what an interrupted benchmark has measured is kept
    except (ConsumerFailed, ServerFailed, ServerMissing, WrongResult) as error:
        click.echo(f"failed: {error}", err=True)
        sys.exit(1)
    click.echo(f"\n{table(measured)}\nwritten: {out}")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
