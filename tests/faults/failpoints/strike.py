"""Carrying a fault out, whatever the client; what it looks like to which client is in `nerves`."""

from __future__ import annotations

import asyncio
import os
import signal
import time

from tests.faults.failpoints.kinds import Kind
from tests.faults.failpoints.nerves import Nerve

# Long enough for heartbeats and timers to be late, short enough for the membership to stay.
_BLOCKED_SECONDS = 1.5


async def strike(kind: Kind, nerve: Nerve) -> None:
    """Let a request meet a fault; returns only where the request fails by itself afterwards."""
    if kind.instead:
        await nerve.refuse(kind)
    elif kind is Kind.ANSWER_LOST:
        await nerve.lose_answer()
    elif kind is Kind.HANG:
        await asyncio.Event().wait()
    else:
        strike_at_once(kind)
        await asyncio.sleep(0)  # where a lane that was cut off is cancelled


def strike_at_once(kind: Kind) -> None:
    """Do what needs no client: end the process, cut the lane off, block everything for a while, or raise."""
    if kind is Kind.CRASH:
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()
    elif kind is Kind.CUT_OFF:
        os.kill(os.getpid(), signal.SIGTERM)
        lane = asyncio.current_task()
        assert lane is not None
        lane.cancel()
    elif kind is Kind.HANG:
        time.sleep(_BLOCKED_SECONDS)
    else:
        raise RuntimeError("a failpoint")
