"""A TCP proxy between the service and one of its servers, which does to connections what networks do.

Scenarios put one before each server and change its `weather` while everything runs. It lives on a thread of
its own: a scenario that blocks holds nothing up, and the proxy outlives the event loop of a single test. It
knows nothing of the protocols, but `on_request` sees what clients send and may decide about it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from enum import Enum
from types import TracebackType
from typing import Self, TypeVar

from tests.servers.ports import free_port

SLOW_SECONDS = 0.2
_CHUNK_BYTES = 65_536
_CALL_SECONDS = 10
# Closing with this says RST instead of FIN, as a firewall or a dying host does.
_RESET = struct.pack("ii", 1, 0)

Answer = TypeVar("Answer")


class Weather(Enum):
    """What happens to connections, those that are there included."""

    CLEAR = "everything passes"
    REFUSED = "connections break, and nobody listens"
    BLACK_HOLE = "connections are taken and stay, but nothing passes, nor ever will on these"
    STALLED = "nothing passes until it clears up; then everything does that was held back"
    SLOW = "each packet takes its time"


class Fate(Enum):
    """What becomes of a packet of a client."""

    PASS = "the server gets it"
    CUT_BEFORE = "the connection breaks before the server gets it"
    CUT_AFTER = "the server gets it, and the connection breaks before the client gets the answer"
    HOLD = "it waits until `release`, with all that comes after it"


OnRequest = Callable[[bytes], Fate]


def pass_all(_packet: bytes) -> Fate:
    """Interfere with nothing."""
    return Fate.PASS


class Proxy:
    """Forwards from `port` to `server_port`, both on 127.0.0.1; a context manager."""

    def __init__(self, server_port: int, slow_seconds: float = SLOW_SECONDS) -> None:
        self.port = free_port()
        self.server_port = server_port
        self.on_request: OnRequest = pass_all
        self._slow_seconds = slow_seconds
        self._weather = Weather.CLEAR
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._links: dict[asyncio.Task[None], _Link] = {}
        self._moving = asyncio.Event()
        self._released = asyncio.Event()
        self._changing: asyncio.Task[None] | None = None

    @property
    def weather(self) -> Weather:
        """What happens to connections now."""
        return self._weather

    @weather.setter
    def weather(self, weather: Weather) -> None:
        self._call(self._change_to(weather))

    def flap(self, up_seconds: float = 1, down_seconds: float = 1) -> None:
        """Let connections break and be refused again and again, until the weather is set."""
        self._call(self._begin_to_flap(up_seconds, down_seconds))

    def cut(self) -> None:
        """Break every connection; new ones are welcome."""
        self._call(self._cut())

    def release(self) -> None:
        """Let pass what was held (`Fate.HOLD`)."""
        self._loop.call_soon_threadsafe(self._released.set)

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._change_to(Weather.CLEAR))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[object, object, Answer]) -> Answer:
        """Do `work` on the proxy's thread and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_SECONDS)

    async def _close(self) -> None:
        await self._change_to(Weather.REFUSED)
        await asyncio.gather(*self._links, return_exceptions=True)

    async def _begin_to_flap(self, up_seconds: float, down_seconds: float) -> None:
        await self._stop_changing()
        self._changing = asyncio.create_task(self._flap(up_seconds, down_seconds))

    async def _flap(self, up_seconds: float, down_seconds: float) -> None:
        while True:
            await self._turn(Weather.REFUSED)
            await asyncio.sleep(down_seconds)
            await self._turn(Weather.CLEAR)
            await asyncio.sleep(up_seconds)

    async def _change_to(self, weather: Weather) -> None:
        await self._stop_changing()
        await self._turn(weather)

    async def _stop_changing(self) -> None:
        if self._changing is not None:
            self._changing.cancel()
            await asyncio.gather(self._changing, return_exceptions=True)
            self._changing = None

    async def _turn(self, weather: Weather) -> None:
        self._weather = weather
        if weather is Weather.STALLED:
            self._moving.clear()
        else:
            self._moving.set()
        if weather is Weather.BLACK_HOLE:
            for link in self._links.values():
                link.dead = True
        await (self._refuse() if weather is Weather.REFUSED else self._listen())

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, backlog=256)

    async def _refuse(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        await self._cut()

    async def _cut(self) -> None:
        for task, link in self._links.items():
            link.reset()
            task.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(self, reader, writer)
        link.dead = self._weather is Weather.BLACK_HOLE
        task = self._loop.create_task(link.run(self.server_port))
        self._links[task] = link
        task.add_done_callback(self._links.pop)

    async def may_pass(self, link: _Link) -> bool:
        """Whether a packet gets through, after the time that this takes."""
        await self._moving.wait()
        if self._weather is Weather.SLOW:
            await asyncio.sleep(self._slow_seconds)
        return not link.dead

    async def released(self) -> None:
        """Wait until what is held may go on."""
        self._released.clear()
        await self._released.wait()


class _Link:
    """One connection of a client, and the one to the server that belongs to it."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.dead = False
        self._proxy = proxy
        self._reader = reader
        self._writers = [writer]
        self._cut_after = False

    async def run(self, server_port: int) -> None:
        """Forward until one side ends, or the proxy cuts it."""
        try:
            with suppress(OSError):
                await self._forward(server_port)
        finally:
            for writer in self._writers:
                writer.transport.abort()

    def reset(self) -> None:
        """Break it on both sides at once; what was on its way is gone."""
        for writer in self._writers:
            with suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    async def _forward(self, server_port: int) -> None:
        await self._proxy.may_pass(self)
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", server_port)
        [client_writer] = self._writers
        self._writers.append(server_writer)
        requests = asyncio.create_task(self._forward_requests(self._reader, server_writer))
        answers = asyncio.create_task(self._forward_answers(server_reader, client_writer))
        try:
            await asyncio.wait({requests, answers}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (requests, answers):
                task.cancel()
            await asyncio.gather(requests, answers, return_exceptions=True)

    async def _forward_requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while packet := await reader.read(_CHUNK_BYTES):
            fate = self._proxy.on_request(packet)
            if fate is Fate.CUT_BEFORE:
                self.reset()
                return
            if fate is Fate.HOLD:
                await self._proxy.released()
            self._cut_after |= fate is Fate.CUT_AFTER
            await self._pass_on(packet, writer)
        await self._proxy.may_pass(self)  # the end comes no sooner than a packet would

    async def _forward_answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while packet := await reader.read(_CHUNK_BYTES):
            if self._cut_after:
                self.reset()
                return
            await self._pass_on(packet, writer)
        await self._proxy.may_pass(self)

    async def _pass_on(self, packet: bytes, writer: asyncio.StreamWriter) -> None:
        if await self._proxy.may_pass(self):
            writer.write(packet)
            await writer.drain()
