"""`python -m benchmarks.stages`: measures; `report` makes the section of docs/performance.md."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from benchmarks.drain import SCENARIOS, Scenario
from benchmarks.machine import machine
from benchmarks.process import ConsumerFailed
from benchmarks.servers import open_servers
from benchmarks.stages import report as reporting
from benchmarks.stages.results import Results, read, write
from benchmarks.stages.runs import Theatre, run
from benchmarks.stages.server import timing_servers
from benchmarks.verify import WrongResult
from tests.servers import ServerFailed, ServerMissing

_BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
_USUAL = ("customers-0", "customers-30-warm", "customers-85-warm", "mix-0")
_OUT = Path("build/stages.json")


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=f"""\b
Scenarios: {", ".join(_BY_NAME)}

\b
Examples:
  python -m benchmarks.stages                                 three minutes
  python -m benchmarks.stages --scenario mix-0 --rounds 1     half a minute
  python -m benchmarks.stages report build/stages.json""",
)
@click.option(
    "--scenario",
    "names",
    multiple=True,
    type=click.Choice(list(_BY_NAME)),
    metavar="NAME",
    default=_USUAL,
    show_default=True,
    help="May be given several times.",
)
@click.option("--rounds", type=click.IntRange(1), default=2, show_default=True)
@click.option("--events", type=click.IntRange(1000), default=40_000, show_default=True, help="In each run.")
@click.option("--seed", default=1, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=_OUT, show_default=True)
@click.pass_context
def main(
    context: click.Context, *, names: Sequence[str], rounds: int, events: int, seed: int, out: Path
) -> None:
    """Measure where the time of an event goes, stage by stage, in the client and in the database.

    Each scenario is run three times a round: as it is, with the service's parts wrapped to tell the stages
    apart, and on a MariaDB that times its statements.
    """
    if context.invoked_subcommand:
        return
    scenarios = [_BY_NAME[name] for name in dict.fromkeys(names)]
    try:
        results = _measure(scenarios, rounds, events, seed, out)
    except (ConsumerFailed, ServerFailed, ServerMissing, WrongResult) as error:
        click.echo(f"failed: {error}", err=True)
        sys.exit(1)
    click.echo(f"\n{reporting.text(results)}\nwritten: {out}")


@main.command(short_help="Print FILE and make the section of docs/performance.md.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def report(file: Path) -> None:
    """Print the tables of FILE; write the section `stages` of docs/performance.md and its pictures."""
    try:
        measured = read(file)
    except msgspec.MsgspecError as error:
        raise click.BadParameter(f"{file} is not what this has written: {error}") from error
    click.echo(reporting.text(measured))
    for written in reporting.write(measured, f"python -m benchmarks.stages report {file}"):
        click.echo(f"written: {written}")


def _measure(scenarios: Sequence[Scenario], rounds: int, events: int, seed: int, out: Path) -> Results:
    with open_servers() as usual, timing_servers(usual) as timing:
        results = Results(machine(usual.versions()), rounds, events, seed)
        for line in run(Theatre(usual, timing), scenarios, results):
            click.echo(line)
            write(results, out)  # what an interrupted measurement has measured is kept
    return results


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.stages")
