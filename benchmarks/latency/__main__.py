"""`python -m benchmarks.latency`: `rising` and `bursts` measure, `report` makes a section of a page."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from benchmarks.latency import bursts as bursting
from benchmarks.latency import report as section
from benchmarks.latency import rising as climbing
from benchmarks.latency.results import Bursts, Latency, Rising, Step, read, write
from benchmarks.latency.table import BURSTS_HEAD, RISING_HEAD, bursts_rows, kept_up, rising_rows
from benchmarks.live.playing import live
from benchmarks.live.traffic import Traffic
from benchmarks.machine import machine
from benchmarks.process import ConsumerFailed
from benchmarks.servers import Servers, open_servers
from benchmarks.table import plain
from benchmarks.verify import WrongResult
from tests.servers import ServerFailed, ServerMissing

_OUT = Path("build/latency.json")
_FILE = click.Path(dir_okay=False, path_type=Path)

Command = TypeVar("Command", bound=Callable[..., Any])


def _common(command: Command) -> Command:
    """The options that both measurements have."""
    for option in (
        click.option("--out", type=_FILE, default=_OUT, show_default=True, help="The other one's is kept."),
        click.option("--seed", default=1, show_default=True),
        click.option(
            "--replays",
            "copied_share",
            type=click.FloatRange(0, 0.95),
            default=0.3,
            show_default=True,
            help="The share of events that were handled before.",
        ),
    ):
        command = option(command)
    return command


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""\b
Examples:
  python -m benchmarks.latency rising                  two minutes
  python -m benchmarks.latency rising --rate 2000 --rate 4000 --seconds 20 --rounds 3
  python -m benchmarks.latency bursts                  a minute
  python -m benchmarks.latency bursts --size 50000 --quiet-seconds 20
  python -m benchmarks.latency report build/latency.json""",
)
def main() -> None:
    """Measure how long an event takes until other connections see it, on real servers."""


@main.command()
@click.option(
    "--rate",
    "rates",
    multiple=True,
    type=click.FloatRange(1),
    default=climbing.RATES,
    show_default=True,
    help="Events a second; may be given several times.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(1),
    default=8,
    show_default=True,
    help="Of each rate; a low one goes on for up to three times as long.",
)
@click.option("--rounds", type=click.IntRange(1), default=1, show_default=True)
@_common
def rising(
    *, rates: Sequence[float], seconds: float, rounds: int, seed: int, copied_share: float, out: Path
) -> None:
    """Rising rates, each offered whatever the service does, until one is too much."""
    plan = climbing.Plan(sorted(set(rates)), seconds, rounds, seed, copied_share)
    with _measuring(out) as (servers, latency):
        measured = latency.rising = Rising(machine(servers.versions()), rounds, seed, copied_share)
        for step in climbing.run(servers, plan, measured):
            click.echo(_line(step, rounds))
            write(latency, out)
    click.echo(f"\n{_rising_text(measured)}\nwritten: {out}")


@main.command()
@click.option(
    "--size",
    "sizes",
    multiple=True,
    type=click.IntRange(10),
    default=bursting.SIZES,
    show_default=True,
    help="Events that are due at once; may be given several times.",
)
@click.option(
    "--quiet-seconds",
    type=click.FloatRange(1),
    default=bursting.QUIET_SECONDS,
    show_default=True,
    help="Before each burst, and after it.",
)
@click.option(
    "--quiet-rate",
    type=click.FloatRange(10),
    default=bursting.QUIET_PER_SECOND,
    show_default=True,
    help="Events a second beside the bursts.",
)
@_common
def bursts(
    *,
    sizes: Sequence[int],
    quiet_seconds: float,
    quiet_rate: float,
    seed: int,
    copied_share: float,
    out: Path,
) -> None:
    """Quiet traffic with thousands of events at once, now and then."""
    plan = bursting.Plan(sizes, quiet_seconds, quiet_rate)
    with _measuring(out) as (servers, latency):
        traffic = Traffic(seed, copied_share=copied_share)
        with live(servers, traffic) as playing:
            click.echo(f"{len(sizes)} bursts, {plan.seconds:.0f} s")
            found = bursting.play_bursts(playing, plan)
        measured = latency.bursts = Bursts(
            machine(servers.versions()),
            seed,
            copied_share,
            quiet_rate,
            found.late_ms,
            found.bursts,
            found.moments,
        )
        write(latency, out)
    click.echo(f"\n{plain(BURSTS_HEAD, list(bursts_rows(measured)))}\nwritten: {out}")


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def report(file: Path) -> None:
    """Print the tables of FILE and write the section `latency` of docs/performance.md and its pictures."""
    latency = _read(file)
    if latency.rising:
        click.echo(_rising_text(latency.rising) + "\n")
    if latency.bursts:
        click.echo(plain(BURSTS_HEAD, list(bursts_rows(latency.bursts))) + "\n")
    for written in section.write(latency):
        click.echo(f"written: {written}")


@contextmanager
def _measuring(out: Path) -> Iterator[tuple[Servers, Latency]]:
    """Servers, and what `out` holds already; a line instead of a traceback for what can go wrong."""
    latency = _read(out) if out.exists() else Latency()
    try:
        with open_servers() as servers:
            yield servers, latency
    except (ConsumerFailed, ServerFailed, ServerMissing, WrongResult) as error:
        click.echo(f"failed: {error}", err=True)
        sys.exit(1)


def _read(file: Path) -> Latency:
    try:
        return read(file)
    except msgspec.MsgspecError as error:
        raise click.BadParameter(f"{file} is not what `benchmarks.latency` has written: {error}") from error


def _line(step: Step, rounds: int) -> str:
    delays = step.delays
    return (
        f"{step.round}/{rounds} {step.per_second:8,.0f} events/s  p50 {delays.p50_ms:8.1f} ms"
        f"  p99 {delays.p99_ms:8.1f} ms  {step.events / max(step.batches, 1):6.1f} events/batch"
        f"{'  saturated' if step.is_saturated else ''}"
    )


def _rising_text(rising: Rising) -> str:
    table = plain(RISING_HEAD, list(rising_rows(rising)))
    return f"{table}\n\nkept up with {kept_up(rising):,.0f} events/s"


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.latency")
