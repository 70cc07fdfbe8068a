"""The work of `upsertd dead-letters replay` and `discard`: letter by letter, told as it goes.

Each letter is a transaction of its own, so that the commands may be interrupted, repeated, and run beside the
service and beside each other.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeVar

import click
from msgspec import structs

from service.app import utc_now
from service.bookkeeping import OPEN_STATUSES
from service.commands.ending import DONE, FAILED, Failed
from service.commands.letters_shown import columns_of, line_of
from service.commands.opening import open_database
from service.commands.terminal import printable
from service.core.errors import PermanentError, TemporaryError, Unavailable
from service.core.ports import Decode
from service.core.types import Action, LetterStatus
from service.database import Database
from service.entities.registry import ENTITIES
from service.formats.native import decoder
from service.pipeline.parked import Again, decoded, try_again
from service.pipeline.retry import RetryPolicy, jittered_delays
from service.settings import DatabaseSettings
from service.sinks.letters import SqlLetters
from service.sinks.sql import SqlSink
from service.stores.dead_letters import (
    LetterFilter,
    StoredLetter,
    count_letters,
    pages_of_letters,
    read_letter,
)
from service.stores.letter_actions import correct, discard, reopen

# A database that is away for longer is somebody's business: what is done is done.
_ATTEMPTS = 8
_PROGRESS_SECONDS = 2.0
# The sink writes no position here.
_NO_GROUP = ""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Order:
    """What an operator wants done, and to which letters; with `dry_run` they are only told."""

    wanted: LetterFilter
    action: Action
    dry_run: bool


@dataclass
class Told:
    """Tells what became of each letter: a line, or one JSON list; how far it is, on stderr."""

    as_json: bool
    counts: Counter[str] = field(default_factory=Counter)
    _letters: list[dict[str, object]] = field(default_factory=list)
    _begun: float = field(default_factory=time.monotonic)
    _told_at: float = field(default_factory=time.monotonic)

    def letter(self, letter: StoredLetter, status: str, why: str = "") -> None:
        """One letter is done with; its `status` now, and why where it is not what was wanted."""
        self.counts[status] += 1
        if self.as_json:
            self._letters.append({**columns_of(letter), "status": status, "why": why or None})
        else:
            click.echo(line_of(replace(letter, status=status)) + (f"  {printable(why)}" if why else ""))

    def progress(self, of: int) -> None:
        """Say now and then how far it is, of so many letters."""
        if time.monotonic() - self._told_at >= _PROGRESS_SECONDS:
            self._told_at = time.monotonic()
            done = self.counts.total()
            rate = done / (self._told_at - self._begun)
            click.echo(f"upsertd: {done} of {of} letters, {rate:.0f}/s", err=True)

    def end(self) -> None:
        """The list of letters as JSON, and the sum on stderr."""
        if self.as_json:
            click.echo(json.dumps(self._letters, indent=2))
        sums = ", ".join(f"{number} {status}" for status, number in sorted(self.counts.items()))
        click.echo(f"upsertd: {sums or 'no letters'}", err=True)


async def replay_letters(
    settings: DatabaseSettings,
    order: Order,
    told: Told,
    retries: RetryPolicy,
    value: bytes | None = None,
) -> int:
    """Try the letters again, the oldest first, a single one with `value`; returns the exit code.

    A parked one that fails for now is parked again as `retries` says. Raises `Failed` and `Unavailable`.
    """
    async with open_database(settings) as database:
        replaying = _Replaying(database, order.action, told, retries)
        if value is not None and not order.dry_run:
            await replaying.correct(*order.wanted.ids or (), value=value)
        await _each(database, order, told, replaying.replay)
    told.end()
    return FAILED if order.wanted.ids and replaying.failed else DONE


async def discard_letters(settings: DatabaseSettings, order: Order, told: Told) -> int:
    """Close the letters; returns the exit code. Raises `Failed` and `Unavailable`."""
    async with open_database(settings) as database:

        async def close(letter: StoredLetter) -> None:
            closed = await _patiently(lambda: discard(database, [letter.id], order.action, utc_now))
            told.letter(letter, LetterStatus.DISCARDED if closed else letter.status)

        await _each(database, order, told, close)
    told.end()
    return DONE


class _Replaying:
    """Tries one letter after the other; `failed` counts those that could not be settled."""

    def __init__(self, database: Database, action: Action, told: Told, retries: RetryPolicy) -> None:
        self.failed = 0
        self._database = database
        self._letters = SqlLetters(database, SqlSink(database, ENTITIES, _NO_GROUP, utc_now), utc_now)
        self._action = action
        self._told = told
        self._retries = retries

    async def replay(self, stored: StoredLetter) -> None:
        """Try a letter, and tell what became of it."""
        if stored.status == LetterStatus.DISCARDED:
            await _patiently(lambda: reopen(self._database, stored.id))
        # After a lost connection the letter itself knows whether it was settled.
        again = await _patiently(lambda: self._try(stored))
        whole = await _patiently(lambda: read_letter(self._database, stored.id))
        status = "gone" if whole is None else whole.letter.status
        self.failed += status in OPEN_STATUSES
        self._told.letter(stored, status, str(again.error or again.outcome or "closed, or being tried"))

    async def correct(self, letter_id: int, *, value: bytes) -> None:
        """Keep a corrected value with a letter, if it can be read as an event at all. Raises `Failed`."""
        whole = await read_letter(self._database, letter_id)
        if whole is None:
            raise Failed(f"there is no dead letter {letter_id}")
        await reopen(self._database, letter_id)
        letter = await self._letters.open_letter(letter_id)
        if letter is None:
            raise Failed(f"dead letter {letter_id} is {whole.letter.status}: it needs no correction")
        record = structs.replace(letter.record, value=value, missing_bytes=None)
        try:
            decoded(record, _decode(whole.letter))
        except PermanentError as error:
            raise Failed(f"the corrected value is no event: {error.error_class}: {error}") from error
        action = structs.replace(self._action, kind="correct")
        await correct(self._database, letter_id, value, action, utc_now)

    async def _try(self, stored: StoredLetter) -> Again:
        letter = await self._letters.open_letter(stored.id)
        if letter is None:
            return Again()
        # Only what was waiting for the service goes on doing so: the dead stay with people.
        retries = self._retries if stored.status == LetterStatus.RETRYING else None
        return await try_again(letter, _decode(stored), self._letters, retries, self._action)


def _decode(letter: StoredLetter) -> Decode:
    entity = ENTITIES.get(letter.entity or "")
    if entity is None:
        raise Failed(f"dead letter {letter.id} is of {letter.entity}, which this version does not know")
    return decoder(entity)


async def _each(
    database: Database, order: Order, told: Told, work: Callable[[StoredLetter], Awaitable[None]]
) -> None:
    """Do the work for every letter that fits, oldest first. Raises `Failed` for ids that are not there."""
    wanted = order.wanted
    number = await _patiently(lambda: count_letters(database, wanted))
    if wanted.ids and number < len(set(wanted.ids)):
        await _name_the_missing(database, wanted)
    async for page in pages_of_letters(database, wanted):
        for letter in page:
            if order.dry_run:
                told.letter(letter, letter.status)
            else:
                await work(letter)
                told.progress(of=number)


async def _name_the_missing(database: Database, wanted: LetterFilter) -> None:
    found = {letter.id async for page in pages_of_letters(database, wanted) for letter in page}
    missing = ", ".join(str(each) for each in wanted.ids or () if each not in found)
    raise Failed(f"there is no dead letter {missing}")


async def _patiently(work: Callable[[], Awaitable[Result]]) -> Result:
    """Do it again while the database is away, or the service holds the letter, for some seconds."""
    for delay_seconds in islice(jittered_delays(), _ATTEMPTS):
        try:
            return await work()
        except (TemporaryError, Unavailable):
            await asyncio.sleep(delay_seconds)
    return await work()
