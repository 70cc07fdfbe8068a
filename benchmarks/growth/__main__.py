"""`python -m benchmarks.growth`: a command for each part, `all`, and `report`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from benchmarks.growth import lanes as lane_runs
from benchmarks.growth import layout_runs
from benchmarks.growth import marks as mark_runs
from benchmarks.growth import replicas as replica_runs
from benchmarks.growth import report as section
from benchmarks.growth import takeover as takeover_runs
from benchmarks.growth.backlog import warm_servers
from benchmarks.growth.event_ids import KINDS
from benchmarks.growth.numbers import Number, Numbers
from benchmarks.growth.results import Growth, Lanes, Layouts, Marks, Replicas, Takeovers, read, write
from benchmarks.growth.tables import text
from benchmarks.machine import machine
from benchmarks.process import ConsumerFailed
from benchmarks.servers import DATABASE_OPTIONS, Servers, open_servers
from benchmarks.verify import WrongResult
from tests.servers import ServerFailed, ServerMissing

_OUT = Path("build/growth.json")
_CURVES = ("uuid7", "uuid4")

Command = TypeVar("Command", bound=Callable[..., Any])
Part = Callable[[Servers, Growth], Iterator[str]]


def _common(command: Command) -> Command:
    """The options that every part has."""
    out = click.Path(dir_okay=False, path_type=Path)
    command = click.option("--seed", default=1, show_default=True)(command)
    help_text = "What other parts have measured in it is kept."
    return click.option("--out", type=out, default=_OUT, show_default=True, help=help_text)(command)


def _rounds(default: int) -> Callable[[Command], Command]:
    return click.option("--rounds", type=click.IntRange(1), default=default, show_default=True)


def _events(default: int) -> Callable[[Command], Command]:
    help_text = "How many each run handles."
    return click.option(
        "--events", type=click.IntRange(1000), default=default, show_default=True, help=help_text
    )


def _pool(default: int) -> Callable[[Command], Command]:
    size, help_text = click.IntRange(16), "The database's buffer pool."
    return click.option("--pool-mb", type=size, default=default, show_default=True, help=help_text)


_kinds = click.Choice(list(KINDS))


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""\b
Examples:
  python -m benchmarks.growth all                          all of it, twenty minutes
  python -m benchmarks.growth marks --marks 0,1M,50M --ids uuid4
  python -m benchmarks.growth lanes --partitions 3,200 --rounds 5
  python -m benchmarks.growth takeover --session-timeouts 6,10,30
  python -m benchmarks.growth report build/growth.json""",
)
def main() -> None:
    """Measure how the cost of an event grows with marks, partitions and replicas, on real servers."""


@main.command()
@click.option(
    "--marks",
    "numbers",
    type=Numbers(least=0),
    default="0,1M,5M,20M",
    show_default=True,
    help="How many marks the table holds before; a million takes a quarter of a gigabyte and some seconds.",
)
@click.option(
    "--ids", multiple=True, type=_kinds, default=_CURVES, show_default=True, help="Measured at each number."
)
@click.option(
    "--other-ids",
    multiple=True,
    type=_kinds,
    default=tuple(name for name in KINDS if name not in _CURVES),
    show_default=True,
    help="Measured at the two smallest numbers.",
)
@_pool(128)
@_rounds(3)
@_events(15_000)
@_common
def marks(
    *,
    numbers: Sequence[int],
    ids: Sequence[str],
    other_ids: Sequence[str],
    pool_mb: int,
    rounds: int,
    events: int,
    seed: int,
    out: Path,
) -> None:
    """An event by the number of marks, with ids in the order of time and with random ones."""

    options = mark_runs.pool_options(pool_mb)
    wanted = mark_runs.points(numbers, ids, [name for name in other_ids if name not in ids])

    def part(servers: Servers, growth: Growth) -> Iterator[str]:
        growth.marks = Marks(machine(servers.versions(), options), pool_mb, rounds, events)
        warm_servers(servers, seed)
        yield from mark_runs.fill(servers, wanted, growth.marks)
        yield from mark_runs.run(servers, wanted, growth.marks, seed)

    _measure(part, out, options)


@main.command()
@click.option("--marks", "number", type=Number(), default="3M", show_default=True, help="Rows of each table.")
@_pool(64)
@_rounds(2)
@_events(10_000)
@_common
def layouts(
    *, number: int, pool_mb: int, rounds: int, events: int, seed: int, out: Path
) -> None:  # fmt: skip
    """Ways to keep marks, tried on throw-away tables, without the service."""

    options = mark_runs.pool_options(pool_mb)

    def part(servers: Servers, growth: Growth) -> Iterator[str]:
        growth.layouts = Layouts(machine(servers.versions(), options), pool_mb, rounds, number, events)
        yield from layout_runs.fill(servers, growth.layouts)
        yield from layout_runs.run(servers, growth.layouts, seed)

    _measure(part, out, options)


@main.command()
@click.option("--partitions", type=Numbers(), default="1,3,12,50,200", show_default=True)
@click.option("--idle-seconds", type=click.FloatRange(1), default=6, show_default=True)
@_rounds(2)
@_events(30_000)
@_common
def lanes(
    *, partitions: Sequence[int], idle_seconds: float, rounds: int, events: int, seed: int, out: Path
) -> None:  # fmt: skip
    """One replica by the number of partitions: start, idling, a backlog."""

    def part(servers: Servers, growth: Growth) -> Iterator[str]:
        growth.lanes = Lanes(machine(servers.versions()), rounds, events)
        warm_servers(servers, seed)
        yield from lane_runs.run(servers, partitions, growth.lanes, idle_seconds, seed)

    _measure(part, out)


@main.command()
@click.option("--replicas", "numbers", type=Numbers(), default="1,2,3,4", show_default=True)
@click.option("--partitions", type=click.IntRange(1), default=12, show_default=True)
@_rounds(2)
@_events(30_000)
@_common
def replicas(
    *, numbers: Sequence[int], partitions: int, rounds: int, events: int, seed: int, out: Path
) -> None:  # fmt: skip
    """A backlog by the number of replicas that share the partitions."""

    def part(servers: Servers, growth: Growth) -> Iterator[str]:
        growth.replicas = Replicas(machine(servers.versions()), rounds, events, partitions)
        warm_servers(servers, seed)
        yield from replica_runs.run(servers, numbers, growth.replicas, seed)

    _measure(part, out)


@main.command()
@click.option(
    "--session-timeouts",
    "timeouts",
    type=Numbers(least=6),
    default="6,30",
    show_default=True,
    help="Seconds after which the group misses a replica that was killed.",
)
@click.option("--replicas", "number", type=click.IntRange(2), default=3, show_default=True)
@click.option("--partitions", type=click.IntRange(2), default=12, show_default=True)
@click.option(
    "--per-second", type=click.FloatRange(1), default=60, show_default=True, help="The trickle of events."
)
@_common
def takeover(
    *, timeouts: Sequence[int], number: int, partitions: int, per_second: float, seed: int, out: Path
) -> None:  # fmt: skip
    """How long events wait when one of several replicas is stopped, or killed."""

    def part(servers: Servers, growth: Growth) -> Iterator[str]:
        growth.takeovers = Takeovers(machine(servers.versions()), number, partitions, per_second)
        yield from takeover_runs.run(servers, takeover_runs.leavings(timeouts), growth.takeovers, seed)

    _measure(part, out)


@main.command("all")
@_common
@click.pass_context
def everything(context: click.Context, *, out: Path, seed: int) -> None:
    """All parts, one after the other, with their defaults."""
    for command in (marks, layouts, lanes, replicas, takeover):
        click.echo(f"--- {command.name}")
        context.invoke(command, out=out, seed=seed)


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--page",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Another page than docs/performance.md; its pictures lie in images beside it.",
)
def report(file: Path, page: Path | None) -> None:
    """Print the tables of FILE and write the sections `growth` and `lanes` with their pictures."""
    try:
        growth = read(file)
    except msgspec.MsgspecError as error:
        raise click.BadParameter(f"{file} is not what `benchmarks.growth` has written: {error}") from error
    click.echo(text(growth))
    for written in section.write(growth, page):
        click.echo(f"written: {written}")


def _measure(part: Part, out: Path, database_options: Sequence[str] = DATABASE_OPTIONS) -> None:
    """Run `part` on servers of its own; ends the process with 1 when it fails."""
    growth = read(out) if out.exists() else Growth()
    try:
        with open_servers(database_options=database_options) as servers:
            for line in part(servers, growth):
                click.echo(line)
                write(growth, out)  # what an interrupted benchmark has measured is kept
    except (ConsumerFailed, ServerFailed, ServerMissing, WrongResult) as error:
        click.echo(f"failed: {error}", err=True)
        sys.exit(1)
    click.echo(f"\n{text(growth)}\nwritten: {out}")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.growth")
