"""How Redis fails. Work goes on without it, and readiness says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import redis

from tests.e2e.service_process import Metrics
from tests.faults.outages.database_outages import flapping, weather
from tests.faults.outages.farewell import Farewell
from tests.faults.outages.theatre import Theatre
from tests.faults.outages.watching import Act, Outage, Shown
from tests.faults.proxy import Proxy, Weather


def proxy(theatre: Theatre) -> Proxy:
    return theatre.redis


def told(do: Callable[[redis.Redis], object]) -> Act:
    """An act of an administrator."""

    def tell(theatre: Theatre) -> None:
        with redis.Redis.from_url(theatre.servers.redis.url) as client:
            do(client)

    async def act(theatre: Theatre) -> None:
        await asyncio.to_thread(tell, theatre)

    return act


async def kill(theatre: Theatre) -> None:
    await asyncio.to_thread(theatre.servers.redis.kill)


async def start(theatre: Theatre) -> None:
    await asyncio.to_thread(theatre.servers.redis.start)


async def freeze(theatre: Theatre) -> None:
    theatre.servers.redis.suspend()


async def thaw(theatre: Theatre) -> None:
    theatre.servers.redis.resume()


def degraded(metrics: Metrics) -> bool:
    """The gauge of the part."""
    return metrics.samples[("upsertd_part_ready", frozenset({("part", "redis")}))] == 0


def opened(metrics: Metrics) -> bool:
    """The circuit breaker."""
    return metrics.total("upsertd_circuit_breaker_open", part="redis") == 1


CLEAR = weather(proxy, Weather.CLEAR)


def outage(name: str, strike: Act, heal: Act, alarm: Callable[[Metrics], bool] = opened) -> Outage:
    """An outage of Redis: degraded and named, work goes on."""
    return Outage(f"redis {name}", strike, heal, Shown.DEGRADED, "redis", alarm, works=True)


OUTAGES = (
    outage("refused", weather(proxy, Weather.REFUSED), CLEAR),
    outage("black-holed", weather(proxy, Weather.BLACK_HOLE), CLEAR),
    outage("slow", weather(proxy, Weather.SLOW), CLEAR),
    Outage("redis flapping", flapping(proxy), CLEAR, Shown.MAYBE, seconds=6, works=True),
    outage("killed", kill, start),
    outage("frozen", freeze, thaw),
    outage(
        "read-only",
        told(lambda client: client.replicaof("127.0.0.1", "1")),
        told(lambda client: client.replicaof("NO", "ONE")),
        degraded,
    ),
    outage(
        "out of memory",
        told(lambda client: client.config_set("maxmemory", "1")),
        told(lambda client: client.config_set("maxmemory", "0")),
        degraded,
    ),
)
BLACK_HOLED_AT_THE_END = Farewell(
    "stopped while redis is black-holed", weather(proxy, Weather.BLACK_HOLE), CLEAR, code=0, reason="stopped"
)
