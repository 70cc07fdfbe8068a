"""`upsertd dead-letters`: lists the events that were given up, and shows one with its original bytes.

What the letters hold came from outside: it goes to the terminal escaped, and as it is only with `--raw`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import click

from service.bookkeeping import DEAD_LETTER_STATUSES
from service.commands.ending import Failed
from service.commands.opening import open_database, run_briefly
from service.commands.terminal import base64_of, described, printable, text_of
from service.settings import DatabaseSettings, load_group
from service.stores.dead_letters import LetterFilter, StoredLetter, WholeLetter, find_letters, read_letter

_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?", re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1)
_MAX_ID = 2**63 - 1


class Moment(click.ParamType[datetime]):
    """An RFC 3339 time, as naive UTC; a time without a zone is UTC, a date its midnight."""

    name = "time"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        moment = _moment_of(value)
        if moment is None:
            raise click.BadParameter("must be a time such as 2026-11-21T10:15:30Z", ctx, param)
        return moment


def _moment_of(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text.upper()) if _TIME.fullmatch(text) else None
        return moment.astimezone(UTC).replace(tzinfo=None) if moment and moment.tzinfo else moment
    except (ValueError, OverflowError):
        return None


@click.group(
    name="dead-letters",
    epilog="""\b
Examples:
  upsertd dead-letters list --status dead --since 2026-11-21T00:00:00Z
  upsertd dead-letters show 4711""",
)
def dead_letters() -> None:
    """Look at the events that were given up."""


@dead_letters.command(
    name="list",
    epilog="""\b
Examples:
  upsertd dead-letters list
  upsertd dead-letters list --entity orders --status dead --limit 20
  upsertd dead-letters list --since 2026-11-21T10:00:00+01:00 --json

A line for each letter: id, status, record, entity, error, last failure. The newest come first.""",
)
@click.option("--entity", help="Of this entity.")
@click.option("--topic", help="Of this topic.")
@click.option("--error-class", help="Given up for this error.")
@click.option("--status", type=click.Choice(DEAD_LETTER_STATUSES), help="In this status.")
@click.option("--since", type=Moment(), help="Last failed at this time (RFC 3339) or later.")
@click.option("--until", type=Moment(), help="Last failed before this time.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many; all otherwise.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list with every column except the bytes.")
def list_letters(limit: int | None, as_json: bool, **filters: str | datetime | None) -> None:
    """List dead letters."""
    wanted = LetterFilter(**filters)  # type: ignore[arg-type]  # click gives each option its type
    run_briefly(_list(load_group(DatabaseSettings), wanted, limit, as_json))


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
@click.argument("letter_id", metavar="ID", type=click.IntRange(1, _MAX_ID))
@click.option("--json", "as_json", is_flag=True, help="Every column as JSON, bytes as base64 and as text.")
@click.option("--raw", is_flag=True, help="The value's bytes to stdout, exactly, and nothing else.")
def show(letter_id: int, as_json: bool, raw: bool) -> None:
    """Show one dead letter with key, value and headers."""
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


# ---------------------------------------------------------------- for people


def line_of(letter: StoredLetter) -> str:
    """A letter on one line, without anything of its payload."""
    record = f"{letter.partition}@{letter.offset}"
    when = _time(letter.last_failed_at)
    cells = (str(letter.id), f"{letter.status:<10}", record, _subject(letter), letter.error_class, when)
    return printable("  ".join(cells))


def story_of(whole: WholeLetter) -> Iterator[str]:
    """Everything about a letter, line by line; what belongs to the record is indented."""
    letter = whole.letter
    facts = {
        "id": str(letter.id),
        "status": letter.status,
        "record": f"{letter.partition}@{letter.offset}",
        "timestamp": _timestamp(letter.record_timestamp_ms),
        "event id": _event_id(letter) or "-",
        "entity": _subject(letter),
        "stage": letter.stage,
        "error": f"{letter.error_class}: {letter.error_message}",
        "attempts": str(letter.attempts),
        "next attempt": _time(letter.next_attempt_at) if letter.next_attempt_at else "-",
        "first failed": _time(letter.first_failed_at),
        "last failed": _time(letter.last_failed_at),
        "value size": f"{letter.size_bytes} bytes, SHA-256 {letter.digest}",
    }
    for name, fact in facts.items():
        yield f"{name:<14}{printable(fact)}"
    yield from _content_of(whole)


def _content_of(whole: WholeLetter) -> Iterator[str]:
    if not whole.kept:
        yield "the record was too large to keep: key, value and headers are not here"
        return
    for name, content in (("key", whole.key), ("value", whole.value)):
        yield from _part(f"{name:<14}", content)
    yield f"{'headers':<14}{len(whole.headers)}"
    for name, content in whole.headers:
        yield from _part(f"  {printable(name)}: ", content)


def _part(label: str, content: bytes | None) -> Iterator[str]:
    kind, lines = described(content)
    yield f"{label}{kind}"
    indent = " " * (len(label) - len(label.lstrip()) + 2)
    yield from (f"{indent}{line}" for line in lines)


def _subject(letter: StoredLetter) -> str:
    """`orders/4711`, as far as it is known."""
    entity_id = "-" if letter.entity_id is None else str(letter.entity_id)
    return f"{letter.entity or '-'}/{entity_id}"


def _event_id(letter: StoredLetter) -> str | None:
    return None if letter.event_id is None else letter.event_id.decode("utf-8", "backslashreplace")


def _time(moment: datetime) -> str:
    return f"{moment.isoformat(timespec='microseconds')}Z"


def _timestamp(milliseconds: int) -> str:
    try:
        return "-" if milliseconds < 0 else _time(_EPOCH + timedelta(milliseconds=milliseconds))
    except OverflowError:
        return f"{milliseconds} ms, which is no date"


# ---------------------------------------------------------------- as JSON


def columns_of(letter: StoredLetter) -> dict[str, object]:
    """The columns of a letter's row by their names, without the record's bytes."""
    return {
        "id": letter.id,
        "event_id": _event_id(letter),
        "entity": letter.entity,
        "entity_id": letter.entity_id,
        "topic": letter.partition.topic,
        "partition_id": letter.partition.number,
        "record_offset": letter.offset,
        "record_timestamp": letter.record_timestamp_ms,
        "size": letter.size_bytes,
        "digest": letter.digest,
        "stage": letter.stage,
        "error_class": letter.error_class,
        "error_message": letter.error_message,
        "attempts": letter.attempts,
        "status": letter.status,
        "next_attempt_at": None if letter.next_attempt_at is None else _time(letter.next_attempt_at),
        "first_failed_at": _time(letter.first_failed_at),
        "last_failed_at": _time(letter.last_failed_at),
    }


def whole_of(whole: WholeLetter) -> dict[str, object]:
    """All columns; bytes as `base64` and, where they are UTF-8, as `text`. `kept`: whether they are here."""
    headers = [{"name": name, "value": _bytes_of(content)} for name, content in whole.headers]
    return {
        **columns_of(whole.letter),
        "kept": whole.kept,
        "record_key": _bytes_of(whole.key),
        "record_value": _bytes_of(whole.value),
        "record_headers": headers,
    }


def _bytes_of(content: bytes | None) -> dict[str, str | None] | None:
    return None if content is None else {"base64": base64_of(content), "text": text_of(content)}
