"""`python -m benchmarks` (`make bench`): runs the benchmark; `report` makes pages of what was measured."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

import click
import msgspec

from benchmarks import page, results
from benchmarks.paced import ECONOMY_LINGER_MS
from benchmarks.process import ConsumerFailed
from benchmarks.runs import Plan, begin, run
from benchmarks.servers import ADDRESS_VARIABLES, open_servers
from benchmarks.table import table
from benchmarks.verify import WrongResult
from tests.servers import ServerFailed, ServerMissing

_DOCS = Path(__file__).parents[1] / "docs"
_OUT = Path("build/benchmark.json")


class _Size(NamedTuple):
    """How much is run where the options say nothing else."""

    rounds: int
    events: int
    naive_events: int
    seconds: int


_WHOLE = _Size(rounds=5, events=40_000, naive_events=800, seconds=60)
_QUICK = _Size(rounds=1, events=10_000, naive_events=300, seconds=10)
_QUICK_ONLY = ("customers-0", "customers-85-warm", "mix-30-warm", "reference")


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  python -m benchmarks                          all of it, a quarter of an hour
  python -m benchmarks --quick                  one small round, two minutes
  python -m benchmarks --only customers-85 --rounds 3
  python -m benchmarks --only reference --economy-linger-ms 500
  python -m benchmarks report build/benchmark.json""",
)
@click.option("--rounds", type=click.IntRange(1), help=f"Rounds of all scenarios; {_WHOLE.rounds}.")
@click.option(
    "--events", type=click.IntRange(1000), help=f"Events that upsertd drains in a run; {_WHOLE.events}."
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
        events=events or size.events,
        naive_events=naive_events or size.naive_events,
        paced_seconds=seconds or size.seconds,
        economy_linger_ms=economy_linger_ms,
        seed=seed,
        only=only or (_QUICK_ONLY if quick else ()),
    )
    _run(plan, out)


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def report(file: Path) -> None:
    """Print the table of FILE and write docs/benchmark.md and its picture."""
    try:
        measured = results.read(file)
    except msgspec.MsgspecError as error:
        raise click.BadParameter(f"{file} is not what a benchmark has written: {error}") from error
    click.echo(table(measured))
    for written in page.write(measured, _DOCS):
        click.echo(f"written: {written.relative_to(_DOCS.parent)}")


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
                results.write(measured, out)  # what an interrupted benchmark has measured is kept
    except (ConsumerFailed, ServerFailed, ServerMissing, WrongResult) as error:
        click.echo(f"failed: {error}", err=True)
        sys.exit(1)
    click.echo(f"\n{table(measured)}\nwritten: {out}")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
