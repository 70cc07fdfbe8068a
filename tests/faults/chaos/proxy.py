"""A TCP proxy between the service and a server: refuses, cuts, slows, swallows, and lets flow again.

`servers` puts one between each replica and each server, `faults` turns them. It knows one thing of the
protocols: what MariaDB's COMMIT looks like.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from enum import Enum

from tests.servers.ports import free_port

_CHUNK_BYTES = 65_536
_COMMIT = b"\x03COMMIT"
# Closing with this says RST instead of FIN, as a firewall or a dying host does.
_RESET = struct.pack("ii", 1, 0)


class Cut(Enum):
    """When the connection that asks for a COMMIT breaks."""

    BEFORE = "before the server gets it"
    AFTER = "after the server got it, before the client has the answer"


class Proxy:
    """Forwards from `port` to a server's port, both on 127.0.0.1; `flow` ends whatever else it was told."""

    def __init__(self) -> None:
        self.port = free_port()
        self._server_port = 0
        self._listener: asyncio.Server | None = None
        self._links: dict[asyncio.Task[None], _Link] = {}
        self._passing = asyncio.Event()
        self._delay_seconds = 0.0
        self._commits_to_cut = 0
        self._cut = Cut.BEFORE

    async def start(self, server_port: int) -> None:
        """Listen and forward."""
        self._server_port = server_port
        await self.flow()

    async def stop(self) -> None:
        """Close everything."""
        await self.refuse()
        await asyncio.gather(*self._links)

    async def flow(self) -> None:
        """Let everything pass; what was swallowed arrives now, unless its connection was given up."""
        self._delay_seconds = 0.0
        self._commits_to_cut = 0
        self._passing.set()
        if self._listener is None:
            self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def refuse(self) -> None:
        """Break every connection and refuse new ones."""
        if self._listener is not None:
            self._listener.close()
            await self._listener.wait_closed()
            self._listener = None
        self.cut()

    def cut(self) -> None:
        """Break every connection; new ones are accepted."""
        for task, link in self._links.items():
            link.reset()
            task.cancel()

    def swallow(self) -> None:
        """Let nothing pass in either direction: connections stay open, new ones are never answered."""
        self._passing.clear()

    def slow(self, delay_seconds: float) -> None:
        """Hold every packet back for this long."""
        self._delay_seconds = delay_seconds

    def cut_commits(self, number: int, when: Cut) -> None:
        """Break the connections of the next COMMITs."""
        self._commits_to_cut, self._cut = number, when

    async def pass_on(self) -> None:
        """Wait as long as a packet has to."""
        await self._passing.wait()
        if self._delay_seconds:
            await asyncio.sleep(self._delay_seconds)

    def fate_of(self, request: bytes) -> Cut | None:
        """Whether the connection of this request is to break, and when."""
        if not self._commits_to_cut or not request.endswith(_COMMIT):
            return None
        self._commits_to_cut -= 1
        return self._cut

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(self, reader, writer)
        task = asyncio.create_task(link.run(self._server_port))
        self._links[task] = link
        task.add_done_callback(self._links.pop)


class _Link:
    """One connection of a client, and the one to the server that belongs to it."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writers = [writer]
        self._fate: Cut | None = None

    async def run(self, server_port: int) -> None:
        """Forward until either side is gone, or the proxy resets it."""
        with suppress(OSError, asyncio.CancelledError):
            await self._proxy.pass_on()
            answers, server = await asyncio.open_connection("127.0.0.1", server_port)
            self._writers.append(server)
            [client, _] = self._writers
            pumps = [_pump(self._reader, server, self._ask), _pump(answers, client, self._answer)]
            await _first_of(pumps)
        self.reset()

    def reset(self) -> None:
        """Break both connections at once; what was on its way is gone."""
        for writer in self._writers:
            connection = writer.get_extra_info("socket")
            with suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    async def _ask(self, request: bytes) -> None:
        await self._proxy.pass_on()
        self._fate = self._fate or self._proxy.fate_of(request)
        if self._fate is Cut.BEFORE:
            raise ConnectionResetError

    async def _answer(self, _: bytes) -> None:
        await self._proxy.pass_on()
        if self._fate is Cut.AFTER:
            raise ConnectionResetError


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, may_pass: Callable[[bytes], Awaitable[None]]
) -> None:
    """Hand on what is read, the end included: a side that closes during a silence is not missed either."""
    while data := await reader.read(_CHUNK_BYTES):
        await may_pass(data)
        writer.write(data)
        await writer.drain()
    await may_pass(b"")


async def _first_of(pumps: Iterable[Awaitable[None]]) -> None:
    """Run both directions until one ends, however it ends."""
    tasks = [asyncio.ensure_future(pump) for pump in pumps]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
