"""`python -m benchmarks.peers` (`make bench-peers`): runs the peers; `report` makes a section of the docs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

import click
import msgspec

from benchmarks import sections
from benchmarks.load import ENTITIES, Generator
from benchmarks.machine import machine
from benchmarks.peers import debezium, picture, report, results
from benchmarks.peers.connect_jars import ConnectJars, find_connect
from benchmarks.peers.results import Results, Run, Setup, cpu_us, cpu_us_sum
from benchmarks.peers.runs import NAMES, SCENARIOS, Plan, run
from benchmarks.process import ConsumerFailed
from benchmarks.servers import ADDRESS_VARIABLES, Servers, open_servers
from benchmarks.verify import WrongResult
from tests.servers import ServerFailed, ServerMissing

_OUT = Path("build/peers.json")


class _Size(NamedTuple):
    """How much is run where the options say nothing else."""

    rounds: int
    events: int
    warm_up: int
    naive_events: int


_WHOLE = _Size(rounds=3, events=60_000, warm_up=50_000, naive_events=600)
_QUICK = _Size(rounds=1, events=4_000, warm_up=4_000, naive_events=100)


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=f"""\b
Loads: {", ".join(SCENARIOS)}
Contenders: {", ".join(NAMES)}

\b
Examples:
  python -m benchmarks.peers                     all of it, about eight minutes
  python -m benchmarks.peers --quick             one small round, a minute and a half
  python -m benchmarks.peers --load customers-0 --contender upsertd --contender load-data
  python -m benchmarks.peers --contender debezium --debezium use.reduction.buffer=true
  python -m benchmarks.peers report build/peers.json""",
)
@click.option("--rounds", type=click.IntRange(1), help=f"Rounds of everything; {_WHOLE.rounds}.")
@click.option("--events", type=click.IntRange(1000), help=f"Measured in each run; {_WHOLE.events}.")
@click.option("--warm-up", type=click.IntRange(0), help=f"Worked off before them; {_WHOLE.warm_up}.")
@click.option(
    "--naive-events", type=click.IntRange(100), help=f"The naive consumer's; {_WHOLE.naive_events}."
)
@click.option("--load", "loads", multiple=True, type=click.Choice(SCENARIOS), metavar="NAME")
@click.option("--contender", "contenders", multiple=True, type=click.Choice(NAMES), metavar="NAME")
@click.option("--debezium", "changed", multiple=True, metavar="NAME=VALUE", help="Another setting for it.")
@click.option("--quick", is_flag=True, help="One small round: to see that it works, not to be quoted.")
@click.option("--seed", default=1, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=_OUT, show_default=True)
@click.pass_context
def main(
    context: click.Context,
    *,
    rounds: int | None,
    events: int | None,
    warm_up: int | None,
    naive_events: int | None,
    loads: tuple[str, ...],
    contenders: tuple[str, ...],
    changed: tuple[str, ...],
    quick: bool,
    seed: int,
    out: Path,
) -> None:
    """Measure upsertd beside Debezium's JDBC sink, a naive consumer and LOAD DATA, on servers of its own.

    All get the same records; compared is the CPU time of an event, all processes counted.
    """
    if context.invoked_subcommand:
        return
    size = _QUICK if quick else _WHOLE
    plan = Plan(
        rounds=rounds or size.rounds,
        events=events or size.events,
        warm_up=size.warm_up if warm_up is None else warm_up,
        naive_events=naive_events or size.naive_events,
        seed=seed,
        scenarios=loads or SCENARIOS,
        contenders=contenders or NAMES,
        debezium_settings=_settings(changed),
    )
    _run(plan, out)


@main.command("report")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def write_report(file: Path) -> None:
    """Print the table of FILE, and write its section of docs/performance.md and its picture."""
    try:
        measured = results.read(file)
    except msgspec.MsgspecError as error:
        raise click.BadParameter(f"{file} is not what the peers have written: {error}") from error
    click.echo(report.text(measured))
    drawn = sections.IMAGES / report.PICTURE
    drawn.write_text(picture.draw(measured), encoding="utf-8")
    command = f"python -m benchmarks.peers report {file}"
    for written in (drawn, sections.write("peers", command, report.section(measured))):
        click.echo(f"written: {written}")


def _run(plan: Plan, out: Path) -> None:
    if ignored := [name for name in ADDRESS_VARIABLES if name in os.environ]:
        click.echo(f"{', '.join(ignored)}: not used, a benchmark has servers of its own")
    try:
        jars = find_connect()
        with open_servers() as servers:
            measured = _begun(servers, jars, plan)
            for done in run(servers, jars, plan):
                click.echo(_line(done, plan.rounds))
                measured.runs.append(done)
                results.write(measured, out)  # what an interrupted run has measured is kept
    except (ConsumerFailed, ServerFailed, ServerMissing, WrongResult) as error:
        click.echo(f"failed: {error}", err=True)
        sys.exit(1)
    click.echo(f"\n{report.text(measured)}\nwritten: {out}")


def _begun(servers: Servers, jars: ConnectJars, plan: Plan) -> Results:
    sizes = {kind: Generator(kind, plan.seed).mean_bytes() for kind in ENTITIES}
    return Results(
        Setup(
            machine=machine({**servers.versions(), **jars.versions()}),
            rounds=plan.rounds,
            events=plan.events,
            warm_up=plan.warm_up,
            naive_events=plan.naive_events,
            seed=plan.seed,
            mean_event_bytes=sizes,
            debezium_settings=debezium.told_settings(plan.debezium_settings),
        )
    )


def _line(done: Run, rounds: int) -> str:
    whole = done.whole
    parts = " ".join(f"{part} {cpu_us(whole, part):,.1f}" for part in whole.cpu_seconds)
    halves = "/".join(f"{cpu_us_sum(stretch):,.1f}" for stretch in done.stretches)
    by_half = f" halves {halves}" if len(done.stretches) > 1 else ""
    return (
        f"{done.round}/{rounds} {done.scenario:13} {done.contender:10}"
        f"{whole.events / whole.seconds:8,.0f} events/s {cpu_us_sum(whole):8,.1f} CPU us/event"
        f" ({parts}){by_half}"
    )


def _settings(given: tuple[str, ...]) -> dict[str, str]:
    for each in given:
        if "=" not in each:
            raise click.BadParameter(f"{each}: a setting is NAME=VALUE", param_hint="--debezium")
    return dict(each.split("=", 1) for each in given)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.peers")
