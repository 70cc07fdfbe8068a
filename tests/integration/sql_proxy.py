"""A TCP proxy in front of a database that loses connections at the worst moments.

For tests of what a broken or silent network does to a transaction. It knows one thing of the protocols: what
a COMMIT looks like.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum

# How a packet ends that commits: MySQL's, PostgreSQL's.
_COMMITS = (b"\x03COMMIT", b"COMMIT;\0")


class At(Enum):
    """What happens to the next COMMIT."""

    NOTHING = "it passes"
    BEFORE = "the connection breaks before the server gets it"
    AFTER = "the connection breaks before the client gets the answer"
    SILENCE = "neither gets anything any more, and the connection stays"


class SqlProxy:
    """Forwards to `port` of this machine; `connections` counts those that clients have opened."""

    def __init__(self, port: int) -> None:
        self.connections = 0
        self.at_commit = At.NOTHING
        self.silent = asyncio.Event()
        self._server_port = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> int:
        """Listen, and return the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        for writer in self._writers:
            writer.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        link = _Link(self, reader, writer)
        self._writers.add(writer)
        task = asyncio.ensure_future(link.run(self._server_port))
        self._tasks.add(task)
        with suppress(asyncio.CancelledError):
            await task


class _Link:
    """One connection of a client."""

    def __init__(self, proxy: SqlProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._client = (reader, writer)
        self._fate = At.NOTHING

    async def run(self, port: int) -> None:
        reader, writer = self._client
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, server_writer, self._may_ask))
                both.create_task(_pump(server_reader, writer, self._may_answer))
        except* ConnectionError:
            pass
        finally:
            for each in (writer, server_writer):
                each.close()

    async def _may_ask(self, data: bytes) -> None:
        if data.endswith(_COMMITS):
            self._fate, self._proxy.at_commit = self._proxy.at_commit, At.NOTHING
        if self._fate is At.BEFORE:
            raise ConnectionResetError
        await self._be_silent()

    async def _may_answer(self, _: bytes) -> None:
        if self._fate is At.AFTER:
            raise ConnectionResetError
        await self._be_silent()

    async def _be_silent(self) -> None:
        if self._fate is At.SILENCE:
            self._proxy.silent.set()
            await asyncio.Event().wait()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, may_pass: Callable[[bytes], Awaitable[None]]
) -> None:
    while data := await reader.read(65536):
        await may_pass(data)
        writer.write(data)
        await writer.drain()
    raise ConnectionResetError
