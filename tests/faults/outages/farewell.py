"""A replica that is told to end while a part is away: in time, with the right exit code, and saying why.

`tours` plays one at the end of each tour. What the next process finds is judged with the rest of the tour.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import httpx

from tests.faults.outages.theatre import SHUTDOWN_SECONDS, Theatre
from tests.faults.outages.watching import Act, Report

# Beyond the service's own limit: a busy machine, and what Python needs to end.
_SLACK_SECONDS = 10
_POLL_SECONDS = 0.1
# Long enough for the records to be fetched, too short for any deadline to pass.
_IN_FLIGHT_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Farewell:
    """SIGTERM after `strike`, with records in flight; it ends with `code`, and its log has `reason` then."""

    name: str
    strike: Act
    heal: Act
    code: int
    reason: str


async def say(farewell: Farewell, theatre: Theatre) -> Report:
    """Stop the replica while something is away; afterwards it is there again and the replica starts."""
    report = Report(farewell.name)
    await theatre.stage.wait_for_progress()
    written = len(theatre.replica.log)
    await farewell.strike(theatre)
    await theatre.feed.send()  # so that something is in flight
    await asyncio.sleep(_IN_FLIGHT_SECONDS)
    began = time.monotonic()
    listening = asyncio.create_task(_listen(theatre))
    try:
        code = await theatre.replica.sigterm(timeout_seconds=SHUTDOWN_SECONDS + _SLACK_SECONDS)
        report.recovery_seconds = round(time.monotonic() - began, 1)
        report.said = f"exit {code}, {await listening} answers"
    finally:
        listening.cancel()
        await farewell.heal(theatre)
    if code != farewell.code:
        report.troubles.append(f"exit code {code}, not {farewell.code}")
    if farewell.reason not in theatre.replica.log[written:]:
        report.troubles.append(f"{farewell.reason!r} is not in its log")
    theatre.replica.start()
    await theatre.replica.wait_ready()
    return report


async def _listen(theatre: Theatre) -> int:
    """Ask for liveness until nobody is there any more; returns how often it was well, raises when not."""
    answers = 0
    async with theatre.replica._client() as client:
        while theatre.replica.running:
            try:
                (await client.get("/health/live")).raise_for_status()
            except httpx.TransportError:
                break  # the drain is over
            answers += 1
            await asyncio.sleep(_POLL_SECONDS)
    return answers
