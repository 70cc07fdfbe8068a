"""What an outage looks like from outside: readiness, liveness, metrics, positions; and how long it lasts.

`play` lets one outage happen and writes down what it saw. It judges nothing but what only this moment shows;
the tables are judged at the end of a tour.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum

import httpx

from tests.e2e.service_process import Metrics, ServiceFailed
from tests.e2e.world import Log, read_progress
from tests.faults.outages.theatre import Theatre

# How long an outage lasts beyond what it takes to be noticed.
OUTAGE_SECONDS = float(os.environ.get("OUTAGE_SECONDS", "0"))
NOTICE_SECONDS = 15.0
# The aim is 10 s; a busy machine is given more.
RECOVERY_SECONDS = 30.0
_GIVE_UP_SECONDS = 90.0
_POLL_SECONDS = 0.2

Act = Callable[[Theatre], Awaitable[None]]
Alarm = Callable[[Metrics], bool]


class Shown(Enum):
    """What readiness says about an outage."""

    UNREADY = "503, and what fails is named"
    DEGRADED = "200, and what is away is named"
    MAYBE = "it may be noticed: work goes on"


@dataclass(frozen=True, slots=True)
class Outage:
    """One way in which a part fails.

    `named` stands in what readiness says of it, `alarm` is true of some scrape meanwhile. It lasts for at
    least `seconds`. `works`: records are handled meanwhile. `stops_kafka`: nobody can produce meanwhile.
    """

    name: str
    strike: Act
    heal: Act
    shown: Shown = Shown.UNREADY
    named: str = ""
    alarm: Alarm = lambda _metrics: True
    seconds: float = 0.0
    works: bool = False
    stops_kafka: bool = False


@dataclass(slots=True)
class Report:
    """What was seen of an outage, in seconds from its beginning and from its end; `troubles` must be none."""

    name: str
    shown_seconds: float | None = None
    said: str = ""
    recovery_seconds: float | None = None
    ready_seconds: float | None = None
    troubles: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.name}: shown after {_seconds(self.shown_seconds)} ({self.said or 'nothing said'});"
            f" after its end, work went on in {_seconds(self.recovery_seconds)},"
            f" all was well in {_seconds(self.ready_seconds)}"
        )


async def play(outage: Outage, theatre: Theatre) -> Report:
    """Let one outage happen, and wait until it is over and work goes on."""
    report = Report(outage.name)
    await theatre.stage.wait_for_progress(_GIVE_UP_SECONDS)
    if outage.stops_kafka:
        await theatre.feed.pause()
    await outage.strike(theatre)
    began = time.monotonic()
    try:
        await _during(outage, theatre, report, began)
    finally:
        await outage.heal(theatre)
    await _after(theatre, report)
    return report


async def _during(outage: Outage, theatre: Theatre, report: Report, began: float) -> None:
    alarmed = False
    lasts = max(outage.seconds, OUTAGE_SECONDS)
    while (passed := time.monotonic() - began) < max(lasts, NOTICE_SECONDS):
        said = await _look(outage, theatre, report)
        if report.shown_seconds is None and said:
            report.shown_seconds, report.said = round(passed, 1), said
        alarmed = alarmed or outage.alarm(await theatre.replica.metrics())
        noticed = report.shown_seconds is not None or outage.shown is Shown.MAYBE
        if noticed and alarmed and passed >= lasts:
            break
        await asyncio.sleep(_POLL_SECONDS)
    if report.shown_seconds is None and outage.shown is not Shown.MAYBE:
        report.troubles.append(f"readiness did not name {outage.named!r} within {NOTICE_SECONDS:g} s")
    if not alarmed:
        report.troubles.append("no metric alarmed")
    if outage.works:
        await _must_progress(theatre, report)


async def _look(outage: Outage, theatre: Theatre, report: Report) -> str:
    """What readiness says, when it says it as it should; notes what must never be seen."""
    async with theatre.replica._client() as client:
        live, ready = await client.get("/health/live"), await client.get("/health/ready")
    if live.status_code != 200:
        report.troubles.append(f"liveness: {live.text}")
    expected = 503 if outage.shown is Shown.UNREADY else 200
    if outage.shown is Shown.DEGRADED and ready.status_code != expected:
        report.troubles.append(f"not ready: {ready.text}")
    said = [each for each in _sayings(ready) if outage.named in each]
    return said[0] if said and ready.status_code == expected else ""


def _sayings(ready: httpx.Response) -> Iterator[str]:
    for name, part in ready.json()["parts"].items():
        if part["status"] != "ok":
            yield f"{name}: {part['reason']}"


async def _must_progress(theatre: Theatre, report: Report) -> None:
    try:
        await theatre.stage.wait_for_progress(NOTICE_SECONDS)
    except ServiceFailed:
        report.troubles.append("work did not go on meanwhile")


async def _after(theatre: Theatre, report: Report) -> None:
    """How long it takes until what is produced now is handled, and until the service is ready."""
    healed = time.monotonic()
    theatre.feed.resume()
    sent = await theatre.feed.send()
    targets: dict[Log, int] = {}
    for record in sent:
        targets[Log(record.place.topic, record.place.partition)] = record.place.offset
    while not await _reached(theatre, targets):
        if time.monotonic() - healed > _GIVE_UP_SECONDS:
            raise theatre.replica.failed(f"{report.name}: no recovery within {_GIVE_UP_SECONDS:g} s")
        await asyncio.sleep(_POLL_SECONDS / 2)
    report.recovery_seconds = round(time.monotonic() - healed, 1)
    await _all_well(theatre)
    report.ready_seconds = round(time.monotonic() - healed, 1)
    if report.recovery_seconds > RECOVERY_SECONDS:
        report.troubles.append(f"work went on only {report.recovery_seconds:g} s later")
    report.troubles += await _offsets_ahead(theatre)


async def _all_well(theatre: Theatre) -> None:
    """Wait until readiness has nothing to say any more, or the next outage would be taken for this one."""
    deadline = time.monotonic() + _GIVE_UP_SECONDS
    async with theatre.replica._client() as client:
        while said := list(_sayings(await client.get("/health/ready"))):
            if time.monotonic() > deadline:
                raise theatre.replica.failed(f"readiness goes on complaining: {said}")
            await asyncio.sleep(_POLL_SECONDS)


async def _reached(theatre: Theatre, targets: dict[Log, int]) -> bool:
    positions = await asyncio.to_thread(theatre.stage.positions)
    return all(positions.get(log, 0) > offset for log, offset in targets.items())


async def _offsets_ahead(theatre: Theatre) -> list[str]:
    """I3, while everything moves: Kafka is read first, and the database only moves on meanwhile."""
    progress = await read_progress(theatre.stage.world)
    return [
        f"group offset {offset} of {log} is ahead of the database"
        for log, offset in progress.group_offsets.items()
        if offset > progress.positions[log].next_offset
    ]


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:g} s"
