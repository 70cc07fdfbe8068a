"""The proxy does to connections what it is told, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults.chaos.proxy import Cut, Proxy

COMMIT = b"\x07\x00\x00\x00\x03COMMIT"


class Echo:
    """A server that says everything back; `heard` is what reached it."""

    def __init__(self) -> None:
        self.heard = b""
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while data := await reader.read(100):
                self.heard += data
                writer.write(data)
        except ConnectionResetError:
            pass
        writer.close()

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


class Client:
    """A connection by the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, data: bytes) -> bytes:
        self.say(data)
        return await self.hear(len(data))

    def say(self, data: bytes) -> None:
        self._writer.write(data)

    async def hear(self, size: int) -> bytes:
        async with asyncio.timeout(10):
            return await self._reader.readexactly(size)

    def close(self) -> None:
        self._writer.transport.abort()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest_asyncio.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    """A proxy in front of the echo."""
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    proxy = Proxy()
    await proxy.start(server.sockets[0].getsockname()[1])
    yield proxy
    await proxy.stop()
    echo.close()
    server.close()
    await server.wait_closed()


@pytest_asyncio.fixture
async def client(proxy: Proxy) -> AsyncIterator[Client]:
    client = await connected(proxy)
    yield client
    client.close()


async def connected(proxy: Proxy) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", proxy.port))


async def test_what_is_said_passes(client: Client) -> None:
    """Both directions, unaltered."""
    assert await client.ask(b"one") == b"one"
    assert await client.ask(b"two") == b"two"


async def test_refused(proxy: Proxy, client: Client) -> None:
    """Open connections break, new ones are refused, until it flows again."""
    await client.ask(b"one")
    await proxy.refuse()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await client.ask(b"two")
    with pytest.raises(ConnectionRefusedError):
        await connected(proxy)
    await proxy.flow()
    again = await connected(proxy)
    assert await again.ask(b"three") == b"three"
    again.close()


async def test_cut(proxy: Proxy, client: Client) -> None:
    """Open connections break, new ones are as good as ever."""
    await client.ask(b"one")
    proxy.cut()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await client.ask(b"two")
    again = await connected(proxy)
    assert await again.ask(b"three") == b"three"
    again.close()


async def test_swallowed(proxy: Proxy, client: Client, echo: Echo) -> None:
    """Nothing passes, not even on a new connection; it arrives when it flows again."""
    await client.ask(b"one")
    proxy.swallow()
    late = await connected(proxy)
    client.say(b"two")
    late.say(b"three")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.hear(1)
    assert echo.heard == b"one"
    await proxy.flow()
    assert await client.hear(3) == b"two"
    assert await late.hear(5) == b"three"
    late.close()


async def test_slow(proxy: Proxy, client: Client) -> None:
    """Each direction costs the delay; nothing is lost."""
    await client.ask(b"one")
    proxy.slow(0.05)
    begun = asyncio.get_running_loop().time()
    assert await client.ask(b"two") == b"two"
    assert asyncio.get_running_loop().time() - begun >= 0.1


@pytest.mark.parametrize(("when", "reaches"), [(Cut.BEFORE, False), (Cut.AFTER, True)])
async def test_a_commit_is_cut(proxy: Proxy, client: Client, echo: Echo, when: Cut, reaches: bool) -> None:
    """The client never learns what became of its COMMIT; only one is cut."""
    assert await client.ask(b"SELECT") == b"SELECT"
    proxy.cut_commits(1, when)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await client.ask(COMMIT)
    assert (COMMIT in echo.heard) is reaches
    again = await connected(proxy)
    assert await again.ask(COMMIT) == COMMIT
    again.close()
