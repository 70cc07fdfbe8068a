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
from service.pipeline.isolate import ATTEMPTS, ATTEMPTS_SECONDS
from service.pipeline.observe import Observer
from service.pipeline.process import unforeseen
from service.pipeline.retry import RetryPolicy, jittered_delays
from service.telemetry.logging import get_logger

ROUND_SECONDS = 2.0
ROUND_LETTERS = 100
# So many that cannot be tried end a round: each may have waited for seconds.
ROUND_REFUSALS = 3

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
        self._refused: set[int] = set()

    async def run(self) -> None:
        """Look for due letters again and again, until cancelled; what is in flight then is rolled back."""
        while True:
            settled = 0
            try:
                settled = await self.round()
            except (Unavailable, TemporaryError) as error:
                log.debug("retries wait", reason=str(error))
            except Exception:
                log.exception("unexpected error", step="retry")
            if settled < ROUND_LETTERS:
                await asyncio.sleep(ROUND_SECONDS)

    async def round(self) -> int:
        """Try what is due now, at most `ROUND_LETTERS`; returns how many came to something.

        One that cannot be tried (its table is locked, say) comes last the next time: it holds up no other.
        After a few of them it is the database that is away. Raises `Unavailable`.
        """
        due = await self._letters.due(tuple(self._topics), ROUND_LETTERS)
        self._refused &= {letter.id for letter in due}
        settled = refused = 0
        for letter in sorted(due, key=lambda each: each.id in self._refused):
            try:
                settled += await self._try(letter)
            except (Unavailable, TemporaryError) as error:
                log.debug("retry refused", letter=letter.id, reason=str(error))
                self._refused.add(letter.id)
                refused += 1
                if refused == ROUND_REFUSALS:
                    break
        return settled

    async def _try(self, letter: OpenLetter) -> bool:
        """Whether it came to something: an outcome, or one more failure."""
        topic = self._topics[letter.record.partition.topic]
        topic.observe.retried()
        again = await try_again(letter, topic.decode, self._letters, self._policy)
        _tell(letter, again)
        if again.outcome is not None:
            topic.observe.settled(again.outcome)
        elif again.error is not None and again.retry_in_seconds is None:
            topic.observe.settled(Outcome.DEAD)
        return again.outcome is not None or again.error is not None


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
    """Run the transaction a few times, and for some seconds: a deadlock is no failure yet.

    One that has waited for a lock was patient already, and others are due.
    """
    now = asyncio.get_running_loop().time
    patient_until = now() + ATTEMPTS_SECONDS
    for delay_seconds in islice(jittered_delays(), ATTEMPTS - 1):
        try:
            return await letters.retry(letter, event, action)
        except TemporaryError:
            if now() >= patient_until:
                raise
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
