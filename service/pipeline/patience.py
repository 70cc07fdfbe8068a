"""How a lane waits: steps are tried until they succeed, pauses have a name, a drain cuts every wait short."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from service.core.errors import (
    FenceLost,
    NotOwner,
    OffsetOutOfRange,
    TemporaryError,
    Unavailable,
    UpsertdError,
)
from service.core.types import Partition
from service.pipeline.flood import Flooded
from service.pipeline.observe import Observer
from service.pipeline.retry import FIRST_DELAY_SECONDS, jittered_delays
from service.telemetry.logging import get_logger

Result = TypeVar("Result")
log = get_logger(__name__)


class Drained(Exception):
    """The lane is to end and what it tried did not succeed: the next owner takes it from there."""


class Patience:
    """What a lane is doing, why it pauses, and how it waits.

    `paused` names why it does not move (`claiming`, `halted`, `flood`, `database`, `kafka`, `temporary`,
    `error`, `unassigned`) or is None, with `detail` for people, since `paused_at`; `step` says what it is
    doing, `moved_at` when it last got ahead or had nothing left to read (both in the loop's time).
    `unfinished` says what a drain had to leave undone, and why; None: nothing.
    """

    def __init__(self, partition: Partition, observe: Observer) -> None:
        self.partition = partition
        self.step = "claim"
        self.paused: str | None = None
        self.detail = ""
        self.unfinished: str | None = None
        self.moved_at = self.paused_at = self._loop_time()
        self._observe = observe
        self._draining = False
        self._wait: asyncio.Timeout | None = None

    def drain(self) -> None:
        """Ask the lane to finish what is in flight, write its position, commit it, and end."""
        self._draining = True
        # A wait that has just run out cannot be shortened any more.
        if self._wait is not None and not self._wait.expired():
            self._wait.reschedule(self._loop_time())

    def forget(self) -> None:
        """Take the lane's gauges back: its partition's next owner speaks for it."""
        self._observe.left(self.partition)

    def retrying(self, error: TemporaryError | Unavailable) -> None:
        """A step failed for now and is tried again."""
        if isinstance(error, TemporaryError):
            self._observe.retried()
            self._pause("temporary", str(error))
        else:
            self._pause(error.part, str(error))

    async def _patiently(self, step: str, attempt: Callable[[], Awaitable[Result]]) -> Result:
        """Try a step until it succeeds, pausing with backoff; raises what says that trying is in vain.

        An error that nobody foresaw pauses the lane too: it must neither skip a record nor bury it.
        """
        self.step = step
        for delay_seconds in jittered_delays():
            begun = self._loop_time()
            try:
                result = await attempt()
            except (FenceLost, Flooded, NotOwner, OffsetOutOfRange, Drained):
                raise
            except (TemporaryError, Unavailable) as error:
                self.retrying(error)
            except Exception as error:
                log.exception("unexpected error", partition=str(self.partition), step=step)
                # The text of our own errors is safe to show, a stranger's is not.
                self._pause("error", str(error) if isinstance(error, UpsertdError) else type(error).__name__)
            else:
                if self.paused not in ("claiming", "halted"):
                    self._resume()
                return result
            # Few objects that hold a lot: an exception, its frames, and in these a batch and its statements.
            # They are young; a whole collection would go through everything that lives.
            gc.collect(1)
            # An attempt that was silent for long has been a wait already.
            waited_seconds = self._loop_time() - begun
            await self._wait_for(max(FIRST_DELAY_SECONDS, delay_seconds - waited_seconds))
            if self._draining:
                raise Drained
        raise AssertionError("the delays have no end")

    async def _wait_for(self, seconds: float) -> None:
        async with self._interruptible(seconds):
            await asyncio.Event().wait()

    @asynccontextmanager
    async def _interruptible(self, seconds: float | None = None) -> AsyncIterator[None]:
        """A wait that is over after `seconds`, or at once when the lane is to drain; never raises for it."""
        try:
            async with asyncio.timeout(0 if self._draining else seconds) as self._wait:
                yield
        except TimeoutError:
            pass
        finally:
            self._wait = None

    def _pause(self, reason: str, detail: str = "") -> None:
        if reason != self.paused:
            self._observe.paused(self.partition, self.paused, reason)
            if detail:
                log.warning("paused", partition=str(self.partition), reason=reason, detail=detail)
            self.paused_at = self._loop_time()
        self.paused, self.detail = reason, detail

    def _resume(self) -> None:
        if self.paused is not None:
            self._observe.paused(self.partition, self.paused, None)
            if self.detail:
                seconds = round(self._loop_time() - self.paused_at, 1)
                log.info("resumed", partition=str(self.partition), reason=self.paused, after_seconds=seconds)
            self.paused, self.detail = None, ""
            self.moved_at = self._loop_time()

    def _loop_time(self) -> float:
        return asyncio.get_running_loop().time()
