"""The network between replicas and servers: refused, cut, swallowed, slow, flapping. Listed in `faults`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import chain, repeat

from tests.faults.chaos.fault import Place, Strike
from tests.faults.chaos.servers import Proxies
from tests.faults.proxy import Fate, Proxy, Weather, pass_all

_FLAP_SECONDS = 0.7
_COMMITS = 4  # of each replica
_COMMIT = b"\x03COMMIT"  # MySQL's

# Which of a replica's proxies.
Way = Callable[[Proxies], Proxy]
# What is done to a proxy.
Do = Callable[[Proxy], None]


def everywhere(way: Way, do: Do) -> Strike:
    """The fault that does something to every replica's way to a server."""
    return _strike(lambda place: [way(proxies) for proxies in place.servers.proxies], do)


def of_one(way: Way, do: Do) -> Strike:
    """The fault that does something to one replica's way to a server."""
    return _strike(lambda place: [way(place.proxies)], do)


def refused(proxy: Proxy) -> None:
    """Break every connection and refuse new ones."""
    proxy.weather = Weather.REFUSED


def cut(proxy: Proxy) -> None:
    """Break every connection once."""
    proxy.cut()


def swallowed(proxy: Proxy) -> None:
    """Let nothing pass, like a network that drops packets: what was sent arrives when it has healed."""
    proxy.weather = Weather.STALLED


def slowed(proxy: Proxy) -> None:
    """Hold back every packet."""
    proxy.weather = Weather.SLOW


def flapping(proxy: Proxy) -> None:
    """Take the server away and give it back, again and again."""
    proxy.flap(_FLAP_SECONDS, _FLAP_SECONDS)


def commits_cut(fate: Fate) -> Do:
    """Cut the connections of the next COMMITs."""

    def do(proxy: Proxy) -> None:
        fates = chain(repeat(fate, _COMMITS), repeat(Fate.PASS))
        proxy.on_request = lambda packet: next(fates) if packet.endswith(_COMMIT) else Fate.PASS

    return do


def _strike(which: Callable[[Place], Iterable[Proxy]], do: Do) -> Strike:
    @asynccontextmanager
    async def strike(place: Place) -> AsyncIterator[None]:
        for proxy in which(place):
            do(proxy)
        yield
        for proxy in which(place):
            proxy.weather = Weather.CLEAR
            proxy.on_request = pass_all

    return strike
