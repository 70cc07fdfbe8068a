"""The proxy does to connections what it is told, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults.proxy import Fate, Proxy, Weather

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
    with Proxy(server.sockets[0].getsockname()[1], slow_seconds=0.05) as proxy:
        yield proxy
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
    """Open connections break, new ones are refused, until it clears up."""
    await client.ask(b"one")
    proxy.weather = Weather.REFUSED
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await client.ask(b"two")
    with pytest.raises(ConnectionRefusedError):
        await connected(proxy)
    proxy.weather = Weather.CLEAR
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


async def test_stalled(proxy: Proxy, client: Client, echo: Echo) -> None:
    """Nothing passes, not even on a new connection; it arrives when it clears up."""
    await client.ask(b"one")
    proxy.weather = Weather.STALLED
    late = await connected(proxy)
    client.say(b"two")
    late.say(b"three")
    await hear_nothing(client)
    assert echo.heard == b"one"
    proxy.weather = Weather.CLEAR
    assert await client.hear(3) == b"two"
    assert await late.hear(5) == b"three"
    late.close()


async def test_slow(proxy: Proxy, client: Client) -> None:
    """Each direction costs the delay; nothing is lost."""
    await client.ask(b"one")
    proxy.weather = Weather.SLOW
    begun = asyncio.get_running_loop().time()
    assert await client.ask(b"two") == b"two"
    assert asyncio.get_running_loop().time() - begun >= 0.1


async def test_black_hole(proxy: Proxy, client: Client, echo: Echo) -> None:
    """What was connected is lost for good, also when it clears up; new connections are not."""
    await client.ask(b"one")
    proxy.weather = Weather.BLACK_HOLE
    late = await connected(proxy)
    client.say(b"two")
    late.say(b"three")
    await hear_nothing(client)
    proxy.weather = Weather.CLEAR
    client.say(b"four")
    await hear_nothing(client)
    assert echo.heard == b"one"
    again = await connected(proxy)
    assert await again.ask(b"five") == b"five"
    for each in (late, again):
        each.close()


async def test_flapping(proxy: Proxy, client: Client) -> None:
    """Connections break again and again, until the weather is set."""
    await client.ask(b"one")
    proxy.flap(up_seconds=0.01, down_seconds=0.01)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await ask_on(client)
    proxy.weather = Weather.CLEAR
    again = await connected(proxy)
    assert await again.ask(b"three") == b"three"
    again.close()


@pytest.mark.parametrize(("fate", "reaches"), [(Fate.CUT_BEFORE, False), (Fate.CUT_AFTER, True)])
async def test_a_request_is_cut(proxy: Proxy, client: Client, echo: Echo, fate: Fate, reaches: bool) -> None:
    """The client never learns what became of it; others go on."""
    proxy.on_request = lambda packet: fate if packet == b"COMMIT" else Fate.PASS
    other = await connected(proxy)
    assert await client.ask(b"SELECT") == b"SELECT"
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await client.ask(b"COMMIT")
    assert (b"COMMIT" in echo.heard) is reaches
    assert await other.ask(b"SELECT") == b"SELECT"
    other.close()


async def test_a_request_is_held(proxy: Proxy, client: Client, echo: Echo) -> None:
    """It arrives when it is released, and what came after it."""
    proxy.on_request = lambda packet: Fate.HOLD if packet == b"one" else Fate.PASS
    client.say(b"one")
    await hear_nothing(client)
    client.say(b"two")
    proxy.release()
    assert await client.hear(6) == b"onetwo"


async def test_what_was_held_is_lost_with_its_connection(proxy: Proxy, client: Client, echo: Echo) -> None:
    """A server never gets what a broken connection had still to bring."""
    await client.ask(b"one")
    proxy.weather = Weather.STALLED
    client.say(b"two")
    late = await connected(proxy)
    late.say(b"three")
    await hear_nothing(late)
    proxy.cut()
    proxy.weather = Weather.CLEAR
    again = await connected(proxy)
    assert await again.ask(b"four") == b"four"
    assert echo.heard == b"onefour"
    for each in (late, again):
        each.close()


async def ask_on(client: Client) -> None:
    """Ask until the connection breaks."""
    while True:
        await client.ask(b"two")


async def hear_nothing(client: Client) -> None:
    """Long enough for what is on its way here."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.hear(1)
