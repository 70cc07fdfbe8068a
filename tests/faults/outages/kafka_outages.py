"""How Kafka fails: its network and its broker. Nobody can produce while the broker is away."""

from __future__ import annotations

import asyncio

from tests.e2e.service_process import Metrics
from tests.faults.outages.database_outages import flapping, weather
from tests.faults.outages.farewell import Farewell
from tests.faults.outages.theatre import Theatre
from tests.faults.outages.watching import Outage, Shown
from tests.faults.proxy import Proxy, Weather

# The stage's session timeout is 6 s: the group has given the member up by then.
_BEYOND_SESSION_SECONDS = 10


def proxy(theatre: Theatre) -> Proxy:
    assert theatre.kafka is not None
    return theatre.kafka


async def stop(theatre: Theatre) -> None:
    await asyncio.to_thread(theatre.servers.kafka.stop)


async def kill(theatre: Theatre) -> None:
    await asyncio.to_thread(theatre.servers.kafka.kill)


async def start(theatre: Theatre) -> None:
    await asyncio.to_thread(theatre.servers.kafka.start)


async def freeze(theatre: Theatre) -> None:
    theatre.servers.kafka.suspend()


async def thaw(theatre: Theatre) -> None:
    theatre.servers.kafka.resume()


def away(metrics: Metrics) -> bool:
    """The gauge of the part."""
    return metrics.samples[("upsertd_part_ready", frozenset({("part", "kafka")}))] == 0


CLEAR = weather(proxy, Weather.CLEAR)
_LONG = _BEYOND_SESSION_SECONDS

NETWORK = (
    Outage("kafka refused", weather(proxy, Weather.REFUSED), CLEAR, named="kafka", alarm=away),
    Outage(
        "kafka black-holed",
        weather(proxy, Weather.BLACK_HOLE),
        CLEAR,
        named="kafka",
        alarm=away,
        seconds=_LONG,
    ),
    Outage("kafka stalled", weather(proxy, Weather.STALLED), CLEAR, named="kafka", alarm=away, seconds=_LONG),
    Outage("kafka slow", weather(proxy, Weather.SLOW), CLEAR, Shown.MAYBE, seconds=4, works=True),
    Outage("kafka flapping", flapping(proxy), CLEAR, Shown.MAYBE, seconds=8),
)
BROKER = (
    Outage("kafka restarted", stop, start, named="kafka", alarm=away, stops_kafka=True),
    Outage("kafka killed", kill, start, named="kafka", alarm=away, stops_kafka=True),
    Outage("kafka frozen", freeze, thaw, named="kafka", alarm=away, seconds=_LONG, stops_kafka=True),
)
BLACK_HOLED_AT_THE_END = Farewell(
    "stopped while kafka is black-holed",
    weather(proxy, Weather.BLACK_HOLE),
    CLEAR,
    code=1,
    reason="not drained in time",
)
