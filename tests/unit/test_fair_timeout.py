"""When a fair time limit runs out; in a busy loop it is watched beside a real Redis, in its outages."""

from __future__ import annotations

import asyncio

import pytest

from service.stores.fair_timeout import fair_timeout


@pytest.mark.looptime
async def test_silence_is_a_timeout(looptime: float) -> None:
    """After just so long."""
    with pytest.raises(TimeoutError):
        async with fair_timeout(2):
            await asyncio.Event().wait()
    assert looptime == 2


@pytest.mark.looptime
async def test_what_is_in_time_leaves_nothing_behind(looptime: float) -> None:
    """No later moment cuts off what comes after it."""
    async with fair_timeout(2):
        await asyncio.sleep(1.9)
    await asyncio.sleep(10)
    assert looptime == 11.9


async def test_a_cancelled_wait_is_cancelled() -> None:
    """Not taken for one that has run out."""

    async def wait() -> None:
        async with fair_timeout(10):
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
