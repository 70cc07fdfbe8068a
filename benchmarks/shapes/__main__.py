"""`python -m benchmarks.shapes`: a command for each shape, `all`, and `report`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from benchmarks import json_file
from benchmarks.machine import machine
from benchmarks.process import ConsumerFailed
from benchmarks.servers import open_servers
from benchmarks.shapes import report as section
from benchmarks.shapes import variants
from benchmarks.shapes.results import Shape, Shapes
from benchmarks.shapes.runs import run
from benchmarks.shapes.table import text
from benchmarks.shapes.variants import HOT_KEYS, LARGE_RECORDS, REPLAY_STORM, Variant
from benchmarks.verify import WrongResult
from tests.servers import ServerFailed, ServerMissing

_OUT = Path("build/shapes.json")
_ROUNDS, _EVENTS, _POPULATION, _MEGABYTES = 3, 20_000, 10_000, 80
_EXPONENTS = (0.0, 1.0, 1.5)
_SIZES = (1_000, 10_000, 100_000)

Command = TypeVar("Command", bound=Callable[..., Any])


def _common(command: Command) -> Command:
    """The options that every shape has."""
    out = click.Path(dir_okay=False, path_type=Path)
    for option in (
        click.option("--out", type=out, default=_OUT, show_default=True, help="Other shapes in it are kept."),
        click.option("--seed", default=1, show_default=True),
        click.option("--events", type=click.IntRange(1000), default=_EVENTS, show_default=True),
        click.option("--rounds", type=click.IntRange(1), default=_ROUNDS, show_default=True),
    ):
        command = option(command)
    return command


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""\b
Examples:
  python -m benchmarks.shapes all                        all of it, four minutes
  python -m benchmarks.shapes hot-keys --s 0.8 --s 1.2
  python -m benchmarks.shapes large-records --bytes 50000 --rounds 5
  python -m benchmarks.shapes report build/shapes.json""",
)
def main() -> None:
    """Measure what loads of other shapes cost, on real servers: CPU time of an event, by part."""


@main.command(REPLAY_STORM)
@_common
def replay_storm(*, rounds: int, events: int, seed: int, out: Path) -> None:
    """The whole topic once more, by the same group: nothing but duplicates.

    Produced again with a warm cache and with an emptied one, and read again after `upsertd positions reset`.
    """
    _measure({REPLAY_STORM: variants.replay_storm(seed, events)}, rounds, seed, out)


@main.command(HOT_KEYS)
@click.option(
    "--s",
    "exponents",
    multiple=True,
    type=click.FloatRange(0),
    default=_EXPONENTS,
    show_default=True,
    help="Zipf's exponent, 0 for keys that are all alike; may be given several times.",
)
@click.option(
    "--records", type=click.IntRange(10), default=_POPULATION, show_default=True, help="How many keys."
)
@_common
def hot_keys(
    *, exponents: Sequence[float], records: int, rounds: int, events: int, seed: int, out: Path
) -> None:  # fmt: skip
    """Events of few records, some much more often than others."""
    _measure({HOT_KEYS: variants.hot_keys(seed, events, records, exponents)}, rounds, seed, out)


@main.command(LARGE_RECORDS)
@click.option(
    "--bytes",
    "sizes",
    multiple=True,
    type=click.IntRange(600, 900_000),
    default=_SIZES,
    show_default=True,
    help="Length of an event; may be given several times.",
)
@click.option(
    "--megabytes",
    type=click.IntRange(1),
    default=_MEGABYTES,
    show_default=True,
    help="How much of each size, --events at most.",
)
@_common
def large_records(
    *, sizes: Sequence[int], megabytes: int, rounds: int, events: int, seed: int, out: Path
) -> None:  # fmt: skip
    """Customers whose JSON column is padded."""
    _measure({LARGE_RECORDS: variants.large_records(seed, events, megabytes, sizes)}, rounds, seed, out)


@main.command("all")
@_common
def everything(*, rounds: int, events: int, seed: int, out: Path) -> None:
    """All shapes, one after the other on the same servers."""
    shapes = {
        REPLAY_STORM: variants.replay_storm(seed, events),
        HOT_KEYS: variants.hot_keys(seed, events, _POPULATION, _EXPONENTS),
        LARGE_RECORDS: variants.large_records(seed, events, _MEGABYTES, _SIZES),
    }
    _measure(shapes, rounds, seed, out)


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def report(file: Path) -> None:
    """Print the tables of FILE and write the section `shapes` of docs/performance.md and its picture."""
    try:
        shapes = json_file.read(file, Shapes)
    except msgspec.MsgspecError as error:
        raise click.BadParameter(f"{file} is not what `benchmarks.shapes` has written: {error}") from error
    for name, shape in shapes.shapes.items():
        click.echo(text(name, shape) + "\n")
    for written in section.write(shapes):
        click.echo(f"written: {written}")


def _measure(wanted: dict[str, list[Variant]], rounds: int, seed: int, out: Path) -> None:
    kept = json_file.read(out, Shapes) if out.exists() else Shapes()
    try:
        with open_servers() as servers:
            for name, each in wanted.items():
                shape = kept.shapes[name] = Shape(machine(servers.versions()), rounds, seed)
                for line in run(servers, name, each, shape):
                    click.echo(line)
                    json_file.write(kept, out)
    except (ConsumerFailed, ServerFailed, ServerMissing, WrongResult) as error:
        click.echo(f"failed: {error}", err=True)
        sys.exit(1)
    for name in wanted:
        click.echo(f"\n{text(name, kept.shapes[name])}")
    click.echo(f"written: {out}")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.shapes")
