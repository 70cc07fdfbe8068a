"""`python -m benchmarks.limits`: measures what an event moves and what a log commits; `report` writes it."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from benchmarks import json_file
from benchmarks.growth.backlog import warm_servers
from benchmarks.limits import backlogs, commits
from benchmarks.limits import report as section
from benchmarks.limits.results import Limits
from benchmarks.limits.tables import text
from benchmarks.load import Generator
from benchmarks.machine import machine
from benchmarks.process import ConsumerFailed
from benchmarks.servers import open_servers
from benchmarks.verify import WrongResult
from tests.servers import ServerFailed, ServerMissing

_OUT = Path("build/limits.json")
_File = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""\b
Examples:
  python -m benchmarks.limits                     all of it, a minute and a half
  python -m benchmarks.limits --rounds 1 --events 5000 --commit-seconds 1
  python -m benchmarks.limits report build/limits.json""",
)
@click.option("--rounds", type=click.IntRange(1), default=2, show_default=True)
@click.option("--events", type=click.IntRange(1000), default=40_000, show_default=True)
@click.option(
    "--commit-seconds",
    type=click.FloatRange(0.1),
    default=3,
    show_default=True,
    help=f"For each of {', '.join(map(str, commits.CONNECTIONS))} connections.",
)
@click.option("--seed", default=1, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=_OUT, show_default=True)
@click.pass_context
def main(
    context: click.Context, *, rounds: int, events: int, commit_seconds: float, seed: int, out: Path
) -> None:
    """Measure what bounds the service beyond one machine, on real servers of its own.

    Bytes of an event over the network, into log and data files and into Redis, what its mark and its row
    take, and how many commits a second the database's log takes.
    """
    if context.invoked_subcommand is None:
        _measure(rounds, events, commit_seconds, seed, out)


@main.command()
@click.argument("file", type=_File)
@click.option("--page", type=_File, help="Another page than docs/scaling.md.")
def report(file: Path, page: Path | None) -> None:
    """Print the tables of FILE and write the section `limits` of docs/scaling.md."""
    try:
        limits = json_file.read(file, Limits)
    except msgspec.MsgspecError as error:
        raise click.BadParameter(f"{file} is not what `benchmarks.limits` has written: {error}") from error
    if not (limits.worked and limits.commits):
        raise click.BadParameter(f"{file} is of a run that was broken off")
    click.echo(text(limits))
    click.echo(f"written: {section.write(limits, page)}")


def _measure(rounds: int, events: int, commit_seconds: float, seed: int, out: Path) -> None:
    event_bytes = Generator(backlogs.KIND, seed).mean_bytes()
    try:
        with open_servers() as servers:
            limits = Limits(machine(servers.versions()), rounds, seed, event_bytes)
            warm_servers(servers, seed)
            for lines in (
                backlogs.run(servers, limits, events),
                commits.run(servers, limits, commits.CONNECTIONS, commit_seconds),
            ):
                for line in lines:
                    click.echo(line)
                    json_file.write(limits, out)  # what an interrupted benchmark has measured is kept
    except (ConsumerFailed, ServerFailed, ServerMissing, WrongResult) as error:
        click.echo(f"failed: {error}", err=True)
        sys.exit(1)
    click.echo(f"\n{text(limits)}\nwritten: {out}")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.limits")
