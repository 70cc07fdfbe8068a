"""A time limit that does not count the time in which the event loop was busy with somebody else's work.

An ordinary one runs out while a dozen lanes decode their batches, though the answer has long arrived: the
loop comes by later than the limit, and a healthy peer is taken for a silent one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# A look at the clock that comes late counts no more than one that comes in time; in between the loop has
# heard what has arrived, and whoever waited for it has gone on.
_LOOKS = 4


class _Looks:
    """Looks at the clock so often before `limit` is over."""

    def __init__(self, limit: asyncio.Timeout, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._limit = limit
        self._seconds = seconds / _LOOKS
        self._next(_LOOKS)

    def stop(self) -> None:
        self._timer.cancel()

    def _next(self, left: int) -> None:
        self._timer = self._loop.call_later(self._seconds, self._look, left - 1)

    def _look(self, left: int) -> None:
        if left:
            self._next(left)
        else:
            self._limit.reschedule(self._loop.time())


@asynccontextmanager
async def fair_timeout(seconds: float) -> AsyncIterator[None]:
    """Raise `TimeoutError` once the loop has had `seconds` for what is inside; never before."""
    async with asyncio.timeout(None) as limit:
        looks = _Looks(limit, seconds)
        try:
            yield
        finally:
            looks.stop()
