"""A TCP proxy that counts how often a client waits for a server: round trips, whatever the protocol.

It holds answers back until the client has been silent for a moment. So everything that a client sends without
having read an answer is one round trip, in however many packets it comes, and what it sends afterwards is
another one. A client that stalls for longer while it sends is counted once too often, never too seldom:
`fewest` takes the least of several attempts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Self

_SILENCE_SECONDS = 0.03
_ATTEMPTS = 5


class CountingProxy:
    """Forwards to `port` of this machine; `trips` and `connections` count from its start."""

    def __init__(self, port: int) -> None:
        self.trips = 0
        self.connections = 0
        self.port = 0
        self._server_port = port
        self._links: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def before(cls, port: int) -> AsyncIterator[Self]:
        """A proxy in front of `port`, listening on its own `port`."""
        proxy = cls(port)
        server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            server.close()
            for link in proxy._links:
                link.cancel()
            await asyncio.gather(*proxy._links, return_exceptions=True)
            await server.wait_closed()

    async def fewest(self, expected: int, act: Callable[[], Awaitable[object]]) -> int:
        """The fewest round trips that `act` took in a few attempts; one that takes `expected` is enough."""
        seen: list[int] = []
        while len(seen) < _ATTEMPTS and expected not in seen:
            before = self.trips
            await act()
            seen.append(self.trips - before)
        return min(seen)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        link = asyncio.ensure_future(_Link(self).run(self._server_port, reader, writer))
        self._links.add(link)
        # A task of its own: asyncio tells everybody when one of its own handlers is cancelled.
        await asyncio.wait([link])


class _Link:
    """One connection."""

    def __init__(self, proxy: CountingProxy) -> None:
        self._proxy = proxy
        self._answered = True
        self._silent = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward in both directions until one of the two ends has nothing more to say."""
        self._silent.set()
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
        both = [
            asyncio.ensure_future(self._ask(reader, server_writer)),
            asyncio.ensure_future(self._answer(server_reader, writer)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            for end in (writer, server_writer):
                end.close()
            await asyncio.gather(writer.wait_closed(), server_writer.wait_closed(), return_exceptions=True)

    async def _ask(self, client: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        while data := await client.read(65536):
            self._be_silent_later()
            if self._answered:
                self._proxy.trips += 1
                self._answered = False
            server.write(data)
            await server.drain()

    async def _answer(self, server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        while data := await server.read(65536):
            await self._silent.wait()
            self._answered = True
            client.write(data)
            await client.drain()

    def _be_silent_later(self) -> None:
        self._silent.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_SILENCE_SECONDS, self._silent.set)
