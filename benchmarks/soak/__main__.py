"""`python -m benchmarks.soak`: a steady load for any length; `report` makes a section of a page."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from benchmarks.live.playing import live
from benchmarks.live.traffic import Traffic
from benchmarks.machine import machine
from benchmarks.process import ConsumerFailed
from benchmarks.servers import Servers, open_servers
from benchmarks.soak import report as section
from benchmarks.soak.playing import Plan, play
from benchmarks.soak.results import Sample, Soak, read, write
from benchmarks.soak.verdict import findings
from benchmarks.verify import WrongResult
from tests.servers import ServerFailed, ServerMissing

_OUT = Path("build/soak.json")


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""\b
Ends with 1 when something grows, or when the service did not do its work.

\b
Examples:
  python -m benchmarks.soak                             ten minutes
  python -m benchmarks.soak --minutes 720 --sample-seconds 60
  python -m benchmarks.soak --per-second 2000 --hostile 0.01
  python -m benchmarks.soak report build/soak.json""",
)
@click.option("--minutes", type=click.FloatRange(0.05), default=10, show_default=True)
@click.option("--per-second", type=click.FloatRange(1), default=500, show_default=True, help="Events.")
@click.option(
    "--replays",
    "copied_share",
    type=click.FloatRange(0, 0.9),
    default=0.3,
    show_default=True,
    help="The share of events that were handled before.",
)
@click.option(
    "--hostile",
    "hostile_share",
    type=click.FloatRange(0, 0.1),
    default=0.002,
    show_default=True,
    help="The share of records that nobody can apply.",
)
@click.option("--sample-seconds", type=click.FloatRange(0.1), default=5, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=_OUT, show_default=True)
@click.pass_context
def main(
    context: click.Context,
    *,
    minutes: float,
    per_second: float,
    copied_share: float,
    hostile_share: float,
    sample_seconds: float,
    seed: int,
    out: Path,
) -> None:
    """Watch memory, connections, lag and CPU of the service under a steady load, on real servers."""
    if context.invoked_subcommand:
        return
    try:
        with open_servers() as servers:
            made = machine(servers.versions())
            soak = Soak(made, minutes, per_second, copied_share, hostile_share, sample_seconds, seed)
            _soak(servers, soak, out)
    except (ConsumerFailed, ServerFailed, ServerMissing, WrongResult) as error:
        click.echo(f"failed: {error}", err=True)
        sys.exit(1)
    click.echo(f"\n{section.text(soak)}\nwritten: {out}")
    sys.exit(any(finding.grows for finding in findings(soak.samples)))


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def report(file: Path) -> None:
    """Print the findings of FILE and write the section `soak` of docs/performance.md and its picture."""
    try:
        soak = read(file)
    except msgspec.MsgspecError as error:
        raise click.BadParameter(f"{file} is not what `benchmarks.soak` has written: {error}") from error
    click.echo(section.text(soak))
    for written in section.write(soak):
        click.echo(f"written: {written}")


def _soak(servers: Servers, soak: Soak, out: Path) -> None:
    """Play it, and keep each sample as soon as it is there."""

    def keep(sample: Sample) -> None:
        soak.samples.append(sample)
        write(soak, out)
        click.echo(_line(sample))

    traffic = Traffic(soak.seed, copied_share=soak.copied_share, hostile_share=soak.hostile_share)
    with live(servers, traffic) as playing:
        play(playing, Plan(soak.minutes * 60, soak.per_second, soak.sample_seconds), keep)
        soak.sent = {kind.value: number for kind, number in playing.sight.kinds.items()}
    write(soak, out)


def _line(sample: Sample) -> str:
    delay = "" if sample.delay_p99_ms is None else f"  p99 {sample.delay_p99_ms:7.1f} ms"
    return (
        f"{sample.at_seconds / 60:7.2f} min  {sample.memory_mb:7.1f} MB  {sample.connections} connections"
        f"  {sample.open_files} files  lag {sample.lag:5}  {sample.cpu_us_per_event:6.0f} CPU us/event{delay}"
    )


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.soak")
