"""`upsertd dead-letters`: lists the events that were given up, shows, replays and discards them.

How they look is in `letters_shown`, the work of a replay in `letters_replayed`. What the letters hold came
from outside: it goes to the terminal escaped, and as it is only with `--raw`.
"""

from __future__ import annotations

import getpass
import json
import socket
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import click

from service.app import retry_policy
from service.commands.ending import Failed
from service.commands.letters_replayed import Order, Told, discard_letters, replay_letters
from service.commands.letters_shown import columns_of, line_of, story_of, whole_of
from service.commands.moments import Moment
from service.commands.opening import open_database, run_briefly
from service.core.types import Action, LetterStatus
from service.settings import DatabaseSettings, RetrySettings, load_group
from service.stores.dead_letters import LetterFilter, WholeLetter, find_letters, read_letter

_MAX_ID = 2**63 - 1
_STATUSES = [each.value for each in LetterStatus]
_OPEN = (LetterStatus.RETRYING, LetterStatus.DEAD)

Command = TypeVar("Command", bound=Callable[..., object])
_Id = click.IntRange(1, _MAX_ID)


def _filters(command: Command) -> Command:
    """The options that say which letters are meant."""
    options = (
        click.option("--entity", help="Of this entity."),
        click.option("--topic", help="Of this topic."),
        click.option("--error-class", help="Given up for this error."),
        click.option("--status", type=click.Choice(_STATUSES), help="In this status."),
        click.option("--since", type=Moment(), help="Last failed at this time (RFC 3339) or later."),
        click.option("--until", type=Moment(), help="Last failed before this time."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _work(command: Command) -> Command:
    """The options of what is done to letters: which, by whom and why."""
    options = (
        click.argument("ids", metavar="[ID]...", nargs=-1, type=_Id),
        click.option("--all", "everything", is_flag=True, help="Every open letter."),
        click.option("--dry-run", is_flag=True, help="Only list the letters that are meant."),
        click.option("--by", "actor", help="Who does it, for the record; you on this machine otherwise."),
        click.option("--reason", help="Why, for the record."),
        click.option("--json", "as_json", is_flag=True, help="A JSON list of what became of each."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group(
    name="dead-letters",
    epilog="""\b
Examples:
  upsertd dead-letters list --status dead --since 2026-11-21T00:00:00Z
  upsertd dead-letters show 4711
  upsertd dead-letters replay 4711 --reason "column widened"
  upsertd dead-letters discard --entity orders --error-class InvalidJson""",
)
def dead_letters() -> None:
    """Look at the events that were given up, try them again, or close them."""


@dead_letters.command(
    name="list",
    epilog="""\b
Examples:
  upsertd dead-letters list
  upsertd dead-letters list --entity orders --status dead --limit 20
  upsertd dead-letters list --since 2026-11-21T10:00:00+01:00 --json

A line for each letter: id, status, record, entity, error, last failure. The newest come first.""",
)
@_filters
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many; all otherwise.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list with every column except the bytes.")
def list_letters(limit: int | None, as_json: bool, **filters: str | datetime | None) -> None:
    """List dead letters."""
    run_briefly(_list(load_group(DatabaseSettings), _wanted(filters, None), limit, as_json))


async def _list(settings: DatabaseSettings, wanted: LetterFilter, limit: int | None, as_json: bool) -> None:
    separator = "["
    async with open_database(settings) as database:
        async for letter in find_letters(database, wanted, limit):
            if as_json:
                click.echo(f"{separator}\n{json.dumps(columns_of(letter))}", nl=False)
                separator = ","
            else:
                click.echo(line_of(letter))
    if as_json:
        click.echo("[]" if separator == "[" else "\n]")


@dead_letters.command(
    epilog="""\b
Examples:
  upsertd dead-letters show 4711
  upsertd dead-letters show 4711 --json
  upsertd dead-letters show 4711 --raw > value.json

Text is shown with its control characters escaped, anything that is not UTF-8 as base64."""
)
@click.argument("letter_id", metavar="ID", type=_Id)
@click.option("--json", "as_json", is_flag=True, help="Every column as JSON, bytes as base64 and as text.")
@click.option("--raw", is_flag=True, help="The value's bytes to stdout, exactly, and nothing else.")
def show(letter_id: int, as_json: bool, raw: bool) -> None:
    """Show one dead letter with key, value and headers, and what was done to it."""
    if as_json and raw:
        raise click.UsageError("--json and --raw exclude each other.")
    whole = run_briefly(_read(load_group(DatabaseSettings), letter_id))
    if raw:
        _write_value(whole)
    elif as_json:
        click.echo(json.dumps(whole_of(whole), indent=2))
    else:
        for line in story_of(whole):
            click.echo(line)


async def _read(settings: DatabaseSettings, letter_id: int) -> WholeLetter:
    async with open_database(settings) as database:
        whole = await read_letter(database, letter_id)
    if whole is None:
        raise Failed(f"there is no dead letter {letter_id}")
    return whole


def _write_value(whole: WholeLetter) -> None:
    if not whole.kept:
        raise Failed(f"the record of dead letter {whole.letter.id} was too large to keep: it has no bytes")
    if whole.value is None:
        click.echo("upsertd: the value is null: there are no bytes", err=True)
    sys.stdout.buffer.write(whole.value or b"")


@dead_letters.command(
    epilog="""\b
Examples:
  upsertd dead-letters replay 4711 --reason "column widened"
  upsertd dead-letters replay --entity orders --error-class DataTooLong
  upsertd dead-letters replay --all --dry-run
  upsertd dead-letters replay 4711 --value-file corrected.json

Asks nothing and works while the service runs: each record goes through the transaction of a batch of its
own, with its original coordinates, so that one that was overtaken changes nothing (`superseded`). What fails
again is dead, but a parked one that fails for now waits for its next attempt (RETRY_*). Without --status the
open ones are meant. Exits with 1 when a letter named by its ID could not be settled."""
)
@_work
@_filters
@click.option(
    "--value-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Send this file in the place of the value of one letter; the original is kept beside it.",
)
def replay(
    *,
    ids: tuple[int, ...],
    everything: bool,
    dry_run: bool,
    actor: str | None,
    reason: str | None,
    as_json: bool,
    value_file: Path | None,
    **filters: str | datetime | None,
) -> int:
    """Try dead letters again, in the order in which they were written."""
    wanted = _chosen(ids, everything, filters)
    if value_file is not None and len(ids) != 1:
        raise click.UsageError("--value-file is for one ID.")
    value = None if value_file is None else value_file.read_bytes()
    order = Order(wanted, Action("replay", actor or _whoever(), reason), dry_run)
    settings, retries = load_group(DatabaseSettings), retry_policy(load_group(RetrySettings))
    return run_briefly(replay_letters(settings, order, Told(as_json), retries, value))


@dead_letters.command(
    epilog="""\b
Examples:
  upsertd dead-letters discard 4711 --reason "test data"
  upsertd dead-letters discard --entity orders --until 2026-11-01T00:00:00Z
  upsertd dead-letters discard --all --dry-run

Asks nothing. The letters keep their bytes until their retention ends; `replay ID` still takes them."""
)
@_work
@_filters
def discard(
    *,
    ids: tuple[int, ...],
    everything: bool,
    dry_run: bool,
    actor: str | None,
    reason: str | None,
    as_json: bool,
    **filters: str | datetime | None,
) -> int:
    """Close dead letters that nobody wants applied."""
    wanted = _chosen(ids, everything, filters)
    order = Order(wanted, Action("discard", actor or _whoever(), reason), dry_run)
    return run_briefly(discard_letters(load_group(DatabaseSettings), order, Told(as_json)))


def _chosen(
    ids: tuple[int, ...], everything: bool, filters: dict[str, str | datetime | None]
) -> LetterFilter:
    """The letters that ids, filters or `--all` mean: exactly one of the three."""
    ways = (bool(ids), everything, any(value is not None for value in filters.values()))
    if sum(ways) != 1:
        raise click.UsageError("Say which letters: IDs, filters, or --all.")
    # An id means its letter whatever became of it: who names it is told.
    return LetterFilter(ids=ids) if ids else _wanted(filters, _OPEN)


def _wanted(
    filters: dict[str, str | datetime | None], otherwise: tuple[LetterStatus, ...] | None
) -> LetterFilter:
    status = filters.pop("status")
    statuses = otherwise if status is None else (LetterStatus(str(status)),)
    return LetterFilter(statuses=statuses, **filters)  # type: ignore[arg-type]  # click gives each option its type


def _whoever() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = "somebody"
    return f"{user}@{socket.gethostname()}"
