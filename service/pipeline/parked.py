"""Trying again what failed before: parked records that are due, and letters that an operator replays.

`app` runs a `Retrier` beside the lanes, `upsertd dead-letters replay` calls `try_again` for each letter. A
letter goes the way of a batch of one record, with its original coordinates: a late one is stale.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from service.core.errors import FenceLost, PermanentError, TemporaryError, Unavailable
from service.core.ports import Decode, Letters
from service.core.types import Action, Event, OpenLetter, Outcome, Record
from service.pipeline.isolate import ATTEMPTS
from service.pipeline.observe import Observer
from service.pipeline.process import unforeseen
from service.pipeline.retry import RetryPolicy, jittered_delays
from service.telemetry.logging import get_logger

ROUND_SECONDS = 2.0
ROUND_LETTERS = 100

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Again:
    """What became of another try: an outcome, or the error that it failed with; neither: not ours to try.

    After a failure it is tried again in `retry_in_seconds`; None: it is dead.
    """

    outcome: Outcome | None = None
    error: PermanentError | TemporaryError | None = None
    retry_in_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Return:
    """How the records of one topic are tried again."""

    decode: Decode
    observe: Observer


class Retrier:
    """Tries parked records when they are due; any number of replicas may do so side by side."""

    def __init__(self, letters: Letters, topics: Mapping[str, Return], policy: RetryPolicy) -> None:
        self._letters = letters
        self._topics = topics
        self._policy = policy

    async def run(self) -> None:
        """Look for due letters again and again, until cancelled; what is in flight then is rolled back."""
        while True:
            found = 0
            try:
                found = await self.round()
            except (Unavailable, TemporaryError) as error:
                log.debug("retries wait", reason=str(error))
            except Exception:
                log.exception("unexpected error", step="retry")
            if found < ROUND_LETTERS:
                await asyncio.sleep(ROUND_SECONDS)

    async def round(self) -> int:
        """Try what is due now, at most `ROUND_LETTERS`; returns how many there were. Raises `Unavailable`."""
        due = await self._letters.due(tuple(self._topics), ROUND_LETTERS)
        for letter in due:
            topic = self._topics[letter.record.partition.topic]
            topic.observe.retried()
            again = await try_again(letter, topic.decode, self._letters, self._policy)
            _tell(letter, again)
            if again.outcome is not None:
                topic.observe.settled(again.outcome)
            elif again.error is not None and again.retry_in_seconds is None:
                topic.observe.settled(Outcome.DEAD)
        return len(due)


async def try_again(
    letter: OpenLetter,
    decode: Decode,
    letters: Letters,
    policy: RetryPolicy | None = None,
    action: Action | None = None,
) -> Again:
    """Try one letter; a failure is counted, and without `policy` makes it dead. Raises `Unavailable`.

    After `ConnectionLost` nobody knows what became of it: read the letter again.
    """
    try:
        event = decoded(letter.record, decode)
    except PermanentError as error:
        return await _failed(letter, error, None, letters, action)
    try:
        return Again(await _retry(letter, event, letters, action))
    except FenceLost:
        return Again()
    except PermanentError as error:
        return await _failed(letter, error, None, letters, action)
    except TemporaryError as error:
        wait = policy.wait_seconds(event.operation, letter.attempts + 1) if policy else None
        return await _failed(letter, error, wait, letters, action)


def decoded(record: Record, decode: Decode) -> Event:
    """The event of a record; whatever goes wrong in decoding is a `PermanentError`."""
    try:
        return decode(record)
    except PermanentError:
        raise
    except Exception as error:
        raise unforeseen(error) from error


async def _retry(letter: OpenLetter, event: Event, letters: Letters, action: Action | None) -> Outcome:
    """Run the transaction a few times where that may help: a deadlock is no failure yet."""
    for delay_seconds in islice(jittered_delays(), ATTEMPTS - 1):
        try:
            return await letters.retry(letter, event, action)
        except TemporaryError:
            await asyncio.sleep(delay_seconds)
    return await letters.retry(letter, event, action)


async def _failed(
    letter: OpenLetter,
    error: PermanentError | TemporaryError,
    retry_in_seconds: float | None,
    letters: Letters,
    action: Action | None,
) -> Again:
    await letters.failed(letter, error, retry_in_seconds, action)
    return Again(None, error, retry_in_seconds)


def _tell(letter: OpenLetter, again: Again) -> None:
    where = {"partition": str(letter.record.partition), "offset": letter.record.offset, "letter": letter.id}
    if again.outcome is not None:
        log.info("retried", **where, outcome=again.outcome.value)
    elif again.error is not None:
        log.warning(
            "retry failed", **where, kind=again.error.error_class, dead=again.retry_in_seconds is None
        )
