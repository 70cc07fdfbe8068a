"""The network between replicas and servers: refused, cut, swallowed, slow, flapping. Listed in `faults`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from tests.faults.chaos.fault import Place, Strike
from tests.faults.chaos.proxy import Cut, Proxy
from tests.faults.chaos.servers import Proxies

_FLAP_SECONDS = 0.7
_SLOW_SECONDS = 0.06
_COMMITS = 4  # of each replica

# Which of a replica's proxies.
Way = Callable[[Proxies], Proxy]
# What is done to a proxy; awaited where it is to be.
Do = Callable[[Proxy], object]


def everywhere(way: Way, do: Do) -> Strike:
    """The fault that does something to every replica's way to a server."""
    return _strike(lambda place: [way(proxies) for proxies in place.servers.proxies], do)


def of_one(way: Way, do: Do) -> Strike:
    """The fault that does something to one replica's way to a server."""
    return _strike(lambda place: [way(place.proxies)], do)


def flapping(way: Way) -> Strike:
    """The fault that takes a server away and gives it back, again and again."""

    @asynccontextmanager
    async def strike(place: Place) -> AsyncIterator[None]:
        proxies = [way(each) for each in place.servers.proxies]
        running = asyncio.create_task(_flap(proxies))
        yield
        running.cancel()
        await asyncio.wait([running])
        await _all_of(proxies, Proxy.flow)

    return strike


def slowed(proxy: Proxy) -> None:
    """Hold back every packet."""
    proxy.slow(_SLOW_SECONDS)


def commits_cut(when: Cut) -> Do:
    """Cut the connections of the next COMMITs."""
    return lambda proxy: proxy.cut_commits(_COMMITS, when)


def _strike(which: Callable[[Place], Iterable[Proxy]], do: Do) -> Strike:
    @asynccontextmanager
    async def strike(place: Place) -> AsyncIterator[None]:
        await _all_of(which(place), do)
        yield
        await _all_of(which(place), Proxy.flow)

    return strike


async def _flap(proxies: Iterable[Proxy]) -> None:
    while True:
        await _all_of(proxies, Proxy.refuse)
        await asyncio.sleep(_FLAP_SECONDS)
        await _all_of(proxies, Proxy.flow)
        await asyncio.sleep(_FLAP_SECONDS)


async def _all_of(proxies: Iterable[Proxy], do: Do) -> None:
    for proxy in proxies:
        done = do(proxy)
        if asyncio.iscoroutine(done):
            await done
