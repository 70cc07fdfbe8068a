"""Purges what is over, beside the lanes and slower than they are: rounds, pauses, and what becomes of errors.

`app` runs one for each process. What is over, and how it is deleted, is the business of the purges
(`stores.purging`); here is only when.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta

from service.core.errors import UpsertdError
from service.core.retention import FIRST_ROWS, rows_of_next_batch
from service.stores.purging import Purge, Step
from service.telemetry.logging import get_logger

# Replicas that start together do not begin together.
FIRST_ROUND_SECONDS = (5.0, 15.0)
ROUND_SECONDS = 60.0
# How much longer than a batch took the lanes then have the database for themselves.
REST_RATIO = 5.0
# Less of it for who has fallen behind: the table would grow and grow, and hurt the lanes in the end.
BEHIND = timedelta(days=1)
REST_RATIO_BEHIND = 1.0
SHORTEST_REST_SECONDS = 0.02

log = get_logger(__name__)


class Retention:
    """Runs `purges` round after round.

    Each batch waits for its `turn`, so that those who look after the database take one connection together.
    `on_purged` is called with the table and the number of rows of each batch.
    """

    def __init__(
        self, purges: Sequence[Purge], turn: asyncio.Lock, on_purged: Callable[[str, int], None]
    ) -> None:
        self._purges = purges
        self._turn = turn
        self._on_purged = on_purged
        self._rows = {purge.table: FIRST_ROWS for purge in purges}
        self._trouble: dict[str, str] = {}
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Purge until `stop` or cancelled; raises nothing."""
        await self._rest(random.uniform(*FIRST_ROUND_SECONDS))  # noqa: S311 - no secret depends on it
        while not self._stopping.is_set():
            for purge in self._purges:
                await self._round(purge)
            await self._rest(ROUND_SECONDS)

    def stop(self) -> None:
        """End after the batch that is under way."""
        self._stopping.set()

    async def _round(self, purge: Purge) -> None:
        """Purge until nothing is left; what fails waits for the next round, and takes less at once then."""
        try:
            purge.begin()
            while not self._stopping.is_set() and await self._step(purge):
                pass
        except UpsertdError as error:
            self._failed(purge.table, str(error))
        except Exception as error:
            log.exception("unexpected error", table=purge.table)
            self._failed(purge.table, type(error).__name__)
        else:
            if self._trouble.pop(purge.table, None):
                log.info("purging again", table=purge.table)

    async def _step(self, purge: Purge) -> bool:
        """One batch and a rest in proportion; whether anything is left."""
        step, seconds = await self._timed(purge)
        if step.removed:
            self._on_purged(purge.table, step.removed)
        self._rows[purge.table] = rows_of_next_batch(self._rows[purge.table], seconds)
        ratio = REST_RATIO if step.overdue < BEHIND else REST_RATIO_BEHIND
        await self._rest(max(SHORTEST_REST_SECONDS, ratio * seconds))
        return step.left

    async def _timed(self, purge: Purge) -> tuple[Step, float]:
        clock = asyncio.get_running_loop().time
        async with self._turn:
            began = clock()
            step = await purge.step(self._rows[purge.table])
            return step, clock() - began

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _failed(self, table: str, reason: str) -> None:
        self._rows[table] = rows_of_next_batch(self._rows[table], float("inf"))
        if self._trouble.get(table) != reason:
            self._trouble[table] = reason
            log.warning("not purged, waiting for the next round", table=table, reason=reason)
