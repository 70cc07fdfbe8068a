"""The matrix: every outage of every part, on six stages side by side, because most of it is waiting.

`test_outages` asks for the reports of those that it is to show.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace

from service.sources.kafka_admin import KafkaAdmin
from service.sources.kafka_options import KafkaOptions
from tests.faults.outages import database_outages, kafka_outages, redis_outages
from tests.faults.outages.farewell import Farewell, say
from tests.faults.outages.theatre import Servers, Theatre, opened
from tests.faults.outages.watching import Outage, Report, play
from tests.faults.proxied import kafka_behind
from tests.faults.proxy import Proxy
from tests.servers import Kafka, MariaDb, Redis


@dataclass(frozen=True, slots=True)
class Tour:
    """Outages that one stage goes through. `own` names the server that they break: it is the tour's own."""

    name: str
    outages: tuple[Outage, ...]
    farewell: Farewell | None = None
    own: str = ""

    def only(self, wanted: Collection[str]) -> Tour | None:
        """What of it is wanted: outages and the farewell by name, or all of it with its own name."""
        outages = tuple(each for each in self.outages if each.name in wanted)
        farewell = self.farewell if self.farewell is not None and self.farewell.name in wanted else None
        there = outages or farewell or self.name in wanted
        return replace(self, outages=outages, farewell=farewell) if there else None


TOURS = (
    Tour("the database's network", database_outages.NETWORK, database_outages.BLACK_HOLED_AT_THE_END),
    Tour(
        "the database's sessions",
        (*database_outages.SESSIONS, *database_outages.COMMITS),
        database_outages.LOCKED_AT_THE_END,
    ),
    Tour("the database's server", database_outages.SERVER, own="mariadb"),
    Tour("redis", redis_outages.OUTAGES, redis_outages.BLACK_HOLED_AT_THE_END, own="redis"),
    Tour("kafka's network", kafka_outages.NETWORK, kafka_outages.BLACK_HOLED_AT_THE_END, own="kafka"),
    Tour("kafka's broker", kafka_outages.BROKER, own="kafka"),
)

# Much like others of their tour: played with `OUTAGES=all`.
VARIANTS = {
    "database stalled",
    "database restarted",
    "database disk full (1021)",
    "database disk full (3)",
    "redis refused",
    "redis frozen",
    "kafka stalled",
    "kafka restarted",
}


def play_all(shared: Servers, wanted: Collection[str], seed: int) -> Mapping[str, Report]:
    """The reports of the outages that are `wanted`, by name, and of each tour's end by the tour's."""
    tours = [only for tour in TOURS if (only := tour.only(wanted)) is not None]
    with ThreadPoolExecutor(len(tours) or 1) as threads:
        reports = threads.map(lambda tour: asyncio.run(_play(tour, shared, seed)), tours)
        return {report.name: report for each in reports for report in each}


async def _play(tour: Tour, shared: Servers, seed: int) -> list[Report]:
    reports: list[Report] = []
    end = Report(tour.name)
    try:
        with ExitStack() as own:
            proxy = own.enter_context(Proxy(0)) if tour.own == "kafka" else None
            servers = await asyncio.to_thread(_with_own, tour.own, shared, own, proxy)
            async with opened(servers, proxy, seed) as theatre:
                for outage in tour.outages:
                    reports.append(await play(outage, theatre))
                    print(f"{time.strftime('%X')} {reports[-1]}", flush=True)
                if tour.farewell is not None:
                    reports.append(await say(tour.farewell, theatre))
                    print(f"{time.strftime('%X')} {reports[-1]}", flush=True)
                await _end(theatre)
    except Exception:  # noqa: BLE001 - the other tours have their own story
        end.troubles.append(traceback.format_exc())
    return [*reports, end]


def _with_own(own: str, shared: Servers, closing: ExitStack, proxy: Proxy | None) -> Servers:
    if own == "mariadb":
        return replace(shared, mariadb=closing.enter_context(MariaDb()))
    if own == "redis":
        return replace(shared, redis=closing.enter_context(Redis()))
    if own == "kafka":
        assert proxy is not None
        kafka: Kafka = closing.enter_context(kafka_behind(proxy))
        return replace(shared, kafka=kafka)
    return shared


async def _end(theatre: Theatre) -> None:
    """What all of it must have left: nothing lost, nothing doubled, one tidy process."""
    await theatre.feed.stop()
    await theatre.stage.settle()
    await theatre.stage.judge(resets=True)
    assert await theatre.replica.sigterm() == 0
    assert await _members(theatre) == 0
    assert theatre.stage.connections() == 0


async def _members(theatre: Theatre) -> int:
    world = theatre.stage.world
    admin = KafkaAdmin(KafkaOptions(world.bootstrap, world.group_id, tuple(world.topics.values())))
    try:
        return await admin.member_count()
    finally:
        await admin.close()
