"""`python -m benchmarks.compare`: takes both trees, opens servers, runs, writes JSON and a page."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import click

from benchmarks import json_file
from benchmarks.compare import report
from benchmarks.compare.python import NoPython, Python, python
from benchmarks.compare.results import Compared, Side
from benchmarks.compare.runs import Runner, run, runners
from benchmarks.compare.trees import NoSuchCommit, Tree, taken, unlike_installed
from benchmarks.drain import SCENARIOS, Scenario
from benchmarks.machine import machine
from benchmarks.process import ConsumerFailed
from benchmarks.servers import open_servers, schema_of
from benchmarks.verify import WrongResult
from tests.servers import ServerFailed, ServerMissing

_BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
_USUAL = ("customers-0", "mix-0", "customers-85-warm")
_OUT = Path("build/compare.json")


class _Plan(NamedTuple):
    """What is compared, how often, with how much."""

    commits: tuple[str, str | None]
    settings: tuple[Mapping[str, str], Mapping[str, str]]
    pythons: tuple[Python, Python]
    scenarios: Sequence[Scenario]
    rounds: int
    events: int
    seed: int


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=f"""\b
Scenarios: {", ".join(_BY_NAME)}

\b
Examples:
  python -m benchmarks.compare HEAD                      the last commit and the working tree as it is
  python -m benchmarks.compare v1 v2 --rounds 10 --scenario mix-0
  python -m benchmarks.compare HEAD HEAD                 how large differences are where there is none
  python -m benchmarks.compare HEAD HEAD --set-b BATCH_MAX_RECORDS=2000
  python -m benchmarks.compare HEAD HEAD --python-b other/bin/python""",
)
@click.argument("commit_a")
@click.argument("commit_b", required=False)
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
@click.option("--rounds", type=click.IntRange(1), default=6, show_default=True)
@click.option("--events", type=click.IntRange(1000), default=40_000, show_default=True, help="In each run.")
@click.option("--seed", default=1, show_default=True)
@click.option("--set", "both", multiple=True, metavar="NAME=VALUE", help="A setting of both sides.")
@click.option("--set-b", "only_b", multiple=True, metavar="NAME=VALUE", help="A setting of B alone.")
@click.option("--python-b", default=sys.executable, metavar="PROGRAM", help="B's, with upsertd installed.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=_OUT,
    show_default=True,
    help="The page is written beside it, as .html.",
)
def main(
    *,
    commit_a: str,
    commit_b: str | None,
    names: Sequence[str],
    rounds: int,
    events: int,
    seed: int,
    both: Sequence[str],
    only_b: Sequence[str],
    python_b: str,
    out: Path,
) -> None:
    """Measure the service of COMMIT_A and of COMMIT_B by turns on the same servers.

    Without COMMIT_B it is the working tree, copied as it is when this begins. Compared is the CPU time of
    an event, by part, round by round.
    """
    settings = (_settings(both), _settings((*both, *only_b)))
    scenarios = [_BY_NAME[name] for name in dict.fromkeys(names)]
    try:
        pythons = (Python(), python(python_b))
        plan = _Plan((commit_a, commit_b), settings, pythons, scenarios, rounds, events, seed)
        compared = _compare(plan, out)
    except (NoPython, NoSuchCommit) as error:
        raise click.BadParameter(str(error)) from error
    except (ConsumerFailed, ServerFailed, ServerMissing, WrongResult) as error:
        click.echo(f"failed: {error}", err=True)
        sys.exit(1)
    click.echo(f"\n{report.text(compared)}\nwritten: {out}, {_page(out)}")


def _compare(plan: _Plan, out: Path) -> Compared:
    with ExitStack() as stack:
        trees = [stack.enter_context(taken(commit)) for commit in plan.commits]
        servers = stack.enter_context(open_servers(trees[0].folder))
        schemas = [servers.schema, schema_of(servers.mariadb, trees[1].folder)]
        compared = _begun(plan, trees, servers.versions())
        for line in report.sides(compared):
            click.echo(line)
        both = runners(servers, list(zip(trees, plan.settings, schemas, plan.pythons, strict=True)))
        _run(both, plan, compared, out)
    return compared


def _run(both: Sequence[Runner], plan: _Plan, compared: Compared, out: Path) -> None:
    for line in run(both, plan.scenarios, compared):
        click.echo(line)
        # What an interrupted comparison has measured is kept.
        json_file.write(compared, out)
        _page(out).write_text(report.page(compared), encoding="utf-8")


def _begun(plan: _Plan, trees: Sequence[Tree], versions: Mapping[str, str]) -> Compared:
    a, b = (
        Side(tree.label, tree.title, dict(settings), [] if each.says else unlike_installed(tree), each.says)
        for tree, settings, each in zip(trees, plan.settings, plan.pythons, strict=True)
    )
    return Compared(machine(versions), a, b, plan.rounds, plan.events, plan.seed)


def _settings(given: Sequence[str]) -> Mapping[str, str]:
    for each in given:
        if "=" not in each:
            raise click.BadParameter(f"{each}: a setting is NAME=VALUE")
    return dict(each.split("=", 1) for each in given)


def _page(out: Path) -> Path:
    return out.with_suffix(".html")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.compare")
